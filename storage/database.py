"""The one object that owns every connection to the database."""

import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from importlib.resources import files
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import duckdb
import pandas as pd
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from storage import lake
from storage.errors import DatabaseInUseError, DatabaseVersionError, DriftmapError

T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[duckdb.DuckDBPyConnection], Any]

CLOSED = "The database is closed."
MEMORY_TO_READ = "1GB"
IDLE = 16  # cursors kept for the next reader


class Stop:
    """Lets another thread end what one reads within `Database.reading`, which then raises duckdb.InterruptException."""

    def __init__(self) -> None:
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._held = threading.Lock()

    def ask(self) -> None:
        with self._held:
            if self._cursor is not None:
                self._cursor.interrupt()

    @contextmanager
    def at(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        self._cursor = cursor
        try:
            yield
        finally:
            with self._held:
                self._cursor = None


class Database:
    """A DuckDB file, or a DuckLake, with one writer thread and a cursor for every reader.

    DuckDB lets one process own a file, and within it any number of threads read while one writes; a lake is
    `shared` by any number of processes. Writes are queued and each is one transaction: all of it is kept, or
    nothing. On a lake a transaction may be tried more than once.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, location: str) -> None:
        self.location = location
        self.shared = lake.is_lake(location)
        self._connection = connection
        self._idle: deque[duckdb.DuckDBPyConnection] = deque(maxlen=IDLE)  # of a lake, where a new one takes its time
        self._reading = threading.local()
        self._writes: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._memory: dict[Hashable, Any] = {}
        self._memory_of: tuple[int, dict[Hashable, Any]] = (-1, {})  # of a lake, by snapshot
        self._memory_to_write: str = connection.execute("SELECT current_setting('memory_limit')").fetchall()[0][0]
        self._limit_memory(MEMORY_TO_READ)
        self._closing = threading.Lock()
        self._closed = False
        self._writer = threading.Thread(target=self._write_loop, name="driftmap-writer", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, location: str, data_path: str | None = None) -> Self:
        """The database in the file `location` (or ':memory:'), created and brought up to date where needed;
        or the lake of the catalog 'ducklake:postgres:…' with its Parquet files in `data_path`.

        Raises DatabaseInUseError where another process owns the file, DatabaseVersionError where a newer
        driftmap wrote it.
        """
        connection = lake.connect(location, data_path) if lake.is_lake(location) else _connect(location)
        try:
            # A larger threshold lets DuckDB group by flat integer keys in an array, not a hash table.
            connection.execute("SET GLOBAL TimeZone = 'UTC'; SET GLOBAL perfect_ht_threshold = 20")
            if lake.is_lake(location):
                connection.execute(f"USE {lake.CATALOG}")
                with connection.cursor() as lock, lake.locked(lock, lake.OPENING):
                    if migrate(connection, location):
                        connection.execute(lake.LAYOUT)
            else:
                migrate(connection, location)
        except BaseException:
            connection.close()
            raise
        return cls(connection, location)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that `sql` answers. Safe from any thread."""
        with self.cursor() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """What `sql` answers, as a DataFrame. Safe from any thread."""
        with self.cursor() as cursor:
            return cursor.execute(sql, parameters).df()

    def remembered(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` returns, kept under `key` until the next write: for what is asked again and again.

        Within `reading` it is kept with what else was read of that moment. Outside of it a lake, where other
        processes write too, is read every time.
        """
        memory = getattr(self._reading, "memory", None)
        if memory is None:
            if self.shared:
                return read()
            memory = self._memory
        if key not in memory:
            memory[key] = read()  # of before a write, it goes into the memory of before that write
        found: T = memory[key]
        return found

    def write(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """What `work(connection)` returns, run in the writer thread inside one transaction.

        Raises what `work` raises, after rolling back.
        """
        if threading.current_thread() is self._writer:
            raise RuntimeError("write() was called from within write(): pass the connection on instead")
        outcome: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise DriftmapError(CLOSED)
            self._writes.put((work, outcome))
        return outcome.result()

    def close(self) -> None:
        """Finish the writes that wait, then close the file."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._writes.put(None)
        self._writer.join()
        for cursor in self._idle:
            cursor.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own for one reader, in one thread; within `reading` the one that is read with."""
        if self._closed:
            raise DriftmapError(CLOSED)
        if (reading := getattr(self._reading, "cursor", None)) is not None:
            yield reading
            return
        cursor = self._idle.pop() if self._idle else self._new_cursor()
        try:
            yield cursor
        except BaseException:
            cursor.close()
            raise
        if self.shared and not self._closed:
            self._idle.append(cursor)
        else:
            cursor.close()

    @contextmanager
    def reading(self, stop: Stop | None = None) -> Iterator[None]:
        """Everything that this thread reads within is of one moment, whatever is written meanwhile.

        On a lake it is quicker too: what there is at that moment is looked up once. `stop` ends it early.
        """
        if getattr(self._reading, "cursor", None) is not None:
            yield
            return
        with self.cursor() as cursor, nullcontext() if stop is None else stop.at(cursor):
            memory = self._memory  # before the moment of the transaction, lest what is old then be kept as new
            cursor.begin()
            try:
                self._reading.memory = self._memory_of_lake(cursor) if self.shared else memory
                self._reading.cursor = cursor
                yield
            finally:
                self._reading.cursor = self._reading.memory = None
                _roll_back(cursor)

    def _memory_of_lake(self, cursor: duckdb.DuckDBPyConnection) -> dict[Hashable, Any]:
        """What is remembered of the snapshot that `cursor` reads, whichever process made it."""
        snapshot = lake.snapshot(cursor)
        known, memory = self._memory_of
        if known != snapshot:
            memory = {}
            self._memory_of = snapshot, memory
        return memory

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        if self.shared:
            cursor.execute(f"USE {lake.CATALOG}")  # the one thing that a cursor does not inherit
        return cursor

    @contextmanager
    def _room_to_write(self) -> Iterator[None]:
        """A write may use the memory that DuckDB takes by itself (most of the machine's); readers need little."""
        self._limit_memory(self._memory_to_write)
        try:
            yield
        finally:
            self._limit_memory(MEMORY_TO_READ)

    def _limit_memory(self, limit: str) -> None:
        if self.location != ":memory:":
            with suppress(duckdb.OutOfMemoryException):  # what is in use now cannot be given up now
                self._connection.execute(f"SET GLOBAL memory_limit = '{limit}'")

    def _write_loop(self) -> None:
        connection, lock = self._new_cursor(), self._connection.cursor()
        while (item := self._writes.get()) is not None:
            work, outcome = item
            try:
                with self._room_to_write():
                    if self.shared:
                        with lake.writing(lock):
                            result = RETRYING(_transaction, connection, work, lambda: lake.confirm(lock))
                    else:
                        result = _transaction(connection, work)
            except BaseException as error:
                outcome.set_exception(error)
            else:
                self._memory = {}
                outcome.set_result(result)
        connection.close()
        lock.close()


RETRYING = Retrying(
    retry=retry_if_exception(lake.is_conflict),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    stop=stop_after_delay(60),
    reraise=True,
)


def _transaction(connection: duckdb.DuckDBPyConnection, work: Work, confirm: Callable[[], None] | None = None) -> Any:
    """What `work` returns, after its transaction was committed; or rolled back, and its error raised."""
    try:
        connection.begin()
        result = work(connection)
        if confirm is not None:
            confirm()
        connection.commit()
    except BaseException:
        _roll_back(connection)
        raise
    return result


def _connect(location: str) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(location)
    except duckdb.IOException as error:
        if "Could not set lock" in str(error):
            raise DatabaseInUseError(f"{location}: in use by another process{_owner(error)}.") from error
        raise DriftmapError(f"{location}: cannot be opened: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise DriftmapError(f"{location}: is no DuckDB file: {_first_line(error)}") from error


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.rollback()
    except duckdb.Error:  # the failure itself ended the transaction
        return


def migrate(connection: duckdb.DuckDBPyConnection, location: str) -> bool:
    """Run every migration that the database has not had, each in its own transaction; whether there was one."""
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER, applied_at TIMESTAMP)")
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    current = row[0] if row else 0
    scripts = migrations()
    if current > len(scripts):
        raise DatabaseVersionError(
            f"{location}: written by a newer driftmap (schema {current}, this one knows {len(scripts)}). "
            "Upgrade driftmap to open it."
        )
    for version, script in enumerate(scripts[current:], start=current + 1):
        connection.begin()
        connection.execute(script)
        connection.execute("INSERT INTO schema_version VALUES (?, now()::TIMESTAMP)", [version])
        connection.commit()
    return current < len(scripts)


def migrations() -> list[str]:
    """The migration scripts in order; the first is version 1."""
    folder = files("storage").joinpath("migrations")
    names = sorted(item.name for item in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", item.name))
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in names]


def at_one_moment(question: Callable[Concatenate[Database, P], T]) -> Callable[Concatenate[Database, P], T]:
    """A function of a database whose reads are all of one moment."""

    @wraps(question)
    def asked(database: Database, /, *arguments: P.args, **named: P.kwargs) -> T:
        with database.reading():
            return question(database, *arguments, **named)

    return asked


def quote(identifier: str) -> str:
    """`identifier` quoted for SQL. The only place where names become part of a statement."""
    return '"' + identifier.replace('"', '""') + '"'


def _owner(error: Exception) -> str:
    match = re.search(r"PID (\d+)", str(error))
    return f" (process {match[1]})" if match else ""


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
