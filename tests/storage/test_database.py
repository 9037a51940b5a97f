"""One writer, many readers, one process; a database that is newer, taken or closed says so."""

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from storage.database import Database, Stop, migrations, quote
from storage.errors import DatabaseInUseError, DatabaseVersionError, DriftmapError

OPEN = "import sys; from storage.database import Database; Database.open(sys.argv[1])"


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "driftmap.duckdb")


def test_a_second_process_is_told_that_the_database_is_in_use(location: str) -> None:
    with Database.open(location):
        second = subprocess.run([sys.executable, "-c", OPEN, location], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert f"DatabaseInUseError: {location}: in use by another process (process " in second.stderr


def test_a_database_that_another_process_owns_is_refused(location: str) -> None:
    holder = "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, location], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DatabaseInUseError, match=f"process {other.pid}"):
            Database.open(location)
        other.communicate()
    with Database.open(location) as database:
        assert database.rows("SELECT count(*) FROM prediction") == [(0,)]


def test_a_path_that_cannot_be_opened_is_not_taken_for_one_in_use(tmp_path: Path) -> None:
    with pytest.raises(DriftmapError, match="cannot be opened") as raised:
        Database.open(str(tmp_path / "lock" / "driftmap.duckdb"))
    assert not isinstance(raised.value, DatabaseInUseError)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "driftmap.duckdb"
    file.write_bytes(b"id,time\n" * 1000)
    with pytest.raises(DriftmapError, match=r"driftmap\.duckdb"):
        Database.open(str(file))


def test_a_database_of_a_newer_driftmap_is_refused_and_left_as_it_was(location: str) -> None:
    with Database.open(location) as database:
        database.write(lambda connection: connection.execute("INSERT INTO schema_version VALUES (99, NULL)"))
    with pytest.raises(DatabaseVersionError, match="newer driftmap"):
        Database.open(location)
    with duckdb.connect(location) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (99,)


def test_every_migration_is_applied_once(location: str) -> None:
    for _ in range(3):
        with Database.open(location) as database:
            applied = database.rows("SELECT version FROM schema_version ORDER BY version")
    assert applied == [(version,) for version in range(1, len(migrations()) + 1)]


def test_a_failing_write_is_rolled_back_raises_and_leaves_the_writer_alive(location: str) -> None:
    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')")
        connection.execute("CREATE TEMP TABLE half_done (a INTEGER)")
        raise ValueError("half-way")

    with Database.open(location) as database:
        for _ in range(2):
            with pytest.raises(ValueError, match="half-way"):
                database.write(fail)
        with pytest.raises(duckdb.Error):
            database.write(lambda connection: connection.execute("SELECT nonsense"))
        assert database.rows("SELECT count(*) FROM model_class") == [(0,)]
        database.write(lambda connection: connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')"))
        assert database.rows("SELECT count(*) FROM model_class") == [(1,)]


def test_readers_see_all_of_a_write_or_nothing_while_writes_go_on(location: str) -> None:
    def pair(connection: duckdb.DuckDBPyConnection) -> None:
        for code in (1, 2):
            connection.execute("INSERT INTO model_class VALUES ('crops', ?, 'wheat')", [code])

    seen: list[int] = []
    failures: list[BaseException] = []
    with Database.open(location) as database:
        done = threading.Event()

        def read() -> None:
            try:
                while not done.is_set():
                    seen.append(database.rows("SELECT count(*) FROM model_class")[0][0])
            except BaseException as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(30):
            database.write(pair)
        done.set()
        for reader in readers:
            reader.join()
        assert database.rows("SELECT count(*) FROM model_class") == [(60,)]
    assert not failures
    assert seen
    assert all(count % 2 == 0 for count in seen)


def test_what_is_read_together_is_of_one_moment(location: str) -> None:
    def add(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')")

    count = "SELECT count(*) FROM model_class"
    with Database.open(location) as database:
        with database.reading():
            assert database.rows(count) == [(0,)]
            database.write(add)
            assert database.rows(count) == [(0,)]
            with database.reading(), database.cursor() as cursor:
                assert cursor.execute(count).fetchall() == [(0,)]
            assert database.frame(count).iloc[0, 0] == 0
        assert database.rows(count) == [(1,)]
        with pytest.raises(duckdb.Error), database.reading():
            database.rows("SELECT nonsense")
        assert database.rows(count) == [(1,)]


def test_what_is_remembered_of_a_moment_is_not_kept_beyond_a_write(location: str) -> None:
    def add(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')")

    with Database.open(location) as database:

        def remembered() -> int:
            return database.remembered("n", lambda: database.rows("SELECT count(*) FROM model_class")[0][0])

        with database.reading():
            database.rows("SELECT 1 FROM model_class")
            database.write(add)
            assert remembered() == 0
        assert remembered() == 1
        database.write(add)
        assert remembered() == 2


def test_writes_from_many_threads_are_queued(location: str) -> None:
    def add_one(connection: duckdb.DuckDBPyConnection) -> None:
        ((known,),) = connection.execute("SELECT count(*) FROM model_class").fetchall()
        connection.execute("INSERT INTO model_class VALUES ('crops', ?, 'wheat')", [known])

    with Database.open(location) as database:
        threads = [threading.Thread(target=database.write, args=[add_one]) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert database.rows("SELECT count(DISTINCT code) FROM model_class") == [(20,)]


def test_a_write_within_a_write_is_refused_instead_of_waiting_for_itself(location: str) -> None:
    with Database.open(location) as database, pytest.raises(RuntimeError, match="pass the connection on"):
        database.write(lambda _: database.write(lambda _: None))


def test_a_closed_database_says_so(location: str) -> None:
    database = Database.open(location)
    database.close()
    database.close()
    for use in (lambda: database.rows("SELECT 1"), lambda: database.frame("SELECT 1"), lambda: database.write(print)):
        with pytest.raises(DriftmapError, match="The database is closed"):
            use()


def test_writes_that_wait_are_finished_before_the_file_is_closed(location: str) -> None:
    database = Database.open(location)
    started, go_on = threading.Event(), threading.Event()

    def slow(connection: duckdb.DuckDBPyConnection) -> None:
        started.set()
        go_on.wait()
        connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')")

    writer = threading.Thread(target=database.write, args=[slow])
    writer.start()
    started.wait()
    closer = threading.Thread(target=database.close)
    closer.start()
    go_on.set()
    closer.join()
    writer.join()
    with Database.open(location) as again:
        assert again.rows("SELECT count(*) FROM model_class") == [(1,)]


@pytest.mark.parametrize("name", ["plain", 'with "quotes"', "'; DROP TABLE prediction; --", "a.b", "ä ö"])
def test_any_name_can_be_quoted(name: str) -> None:
    relation = duckdb.sql(f"SELECT 1 AS {quote(name)}")
    assert relation.columns == [name]


def test_a_reading_can_be_ended_by_another_thread_and_the_next_one_goes_on() -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    with Database.open(":memory:") as database:
        stop, ended = Stop(), threading.Event()

        def read() -> None:
            with pytest.raises(duckdb.InterruptException), database.reading(stop):
                database.rows(endless)
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        while not ended.wait(0.05):
            stop.ask()
        reader.join()
        stop.ask()  # nobody reads any more
        assert database.rows("SELECT 1") == [(1,)]
