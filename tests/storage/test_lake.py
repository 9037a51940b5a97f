"""A lake answers as a file does, and many may open it at once."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from storage import lake, queries
from storage.batches import batches, rejected_rows
from storage.catalog import class_names, register_model, versions
from storage.database import Database, migrations
from storage.errors import DatabaseVersionError, DriftmapError
from storage.findings import findings, finish_run, report_html, runs, start_run
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.lake import compact_lake, count_files
from storage.models import Model
from storage.queries import Filter
from storage.records import Finding, Verdict, Window
from storage.regions import load_regions, region_set
from tests.postgres import Cluster
from tests.storage.plain import Square, write_regions

CLASSES = ("wheat", "rice", "fallow")
MODEL = Model(name="crops", classes=CLASSES, features={"ndvi": "numeric", "sensor": "categorical"}, regions="districts")
SQUARES = (Square("north", 60, 40, 4), Square("a", 60, 40, 2, "north"), Square("b", 62, 42, 2, "north"))
START = datetime(2026, 3, 1)
DISTRICT = Filter("crops", region="a")
SINCE = Filter("crops", start=START + timedelta(days=2), end=START + timedelta(days=4), classes=("wheat", "rice"))
SURE = Filter("crops", version="2", confidence=(0.5, 1.0))


def rows(count: int, seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"s{number}" for number in range(count)],
            "version": generator.choice(["1", "2"], count),
            "time": pd.Timestamp(START) + pd.to_timedelta(generator.integers(0, 5 * 86_400, count), unit="s"),
            "lon": generator.uniform(59.5, 65, count).round(6),
            "lat": generator.uniform(39.5, 44.5, count).round(6),
            "predicted": generator.choice([*CLASSES, "unknown"], count, p=[0.4, 0.3, 0.29, 0.01]),
            "confidence": generator.uniform(0, 1, count).round(4),
            "ndvi": generator.normal(0, 1, count).round(4),
            "sensor": generator.choice(["A", "B", None], count),
        }
    )
    return pa.Table.from_pandas(frame)


def fill(database: Database, folder: Path) -> None:
    """Regions, two ingests of which one replaces rows of the other, late labels, a run: most of what there is."""
    load_regions(database, "districts", write_regions(SQUARES, folder / "regions.geojson"))
    register_model(database, MODEL)
    ingest_table(database, MODEL, rows(900, 1), "first")
    ingest_table(database, MODEL, rows(600, 2), "second")
    ingest_table(database, MODEL, rows(600, 2), "second again")
    late = {"id": [f"s{number}" for number in range(0, 1000, 2)], "label": [CLASSES[n % 3] for n in range(500)]}
    label_table(database, MODEL, pa.table(late), "labels")
    window = Window(START, START + timedelta(days=7))
    finding = Finding("crops", "1", None, None, *(window.start, window.end), "accuracy", 0.5, 0.4, 0.6, 9, Verdict.OK)
    finish_run(database, start_run(database, "crops", window), [finding], report=("<p>ä</p>", {"seed": 1}))


ANSWERS: dict[str, Callable[[Database], object]] = {
    "extent": lambda db: queries.extent(db, "crops"),
    "time extent": lambda db: queries.time_extent(db, "crops"),
    "classes": lambda db: class_names(db, "crops"),
    "versions": lambda db: versions(db, "crops"),
    "regions": lambda db: [(each.key, each.id, each.parent) for each in region_set(db, "districts").regions],
    "outcomes": lambda db: queries.outcomes(db, Filter("crops")),
    "outcomes of a district": lambda db: queries.outcomes(db, DISTRICT),
    "outcomes of some": lambda db: queries.outcomes(db, SURE),
    "by region": lambda db: queries.outcomes_by_region(db, SINCE),
    "by day": lambda db: queries.outcomes_by_day(db, Filter("crops")),
    "cells": lambda db: queries.cells(db, SINCE, 8),
    "cells of the sure": lambda db: queries.cells(db, SURE, 9),
    "classes of cells": lambda db: queries.class_cells(db, Filter("crops"), 7),
    "ndvi": lambda db: queries.feature_histogram(db, DISTRICT, "ndvi"),
    "sensor": lambda db: queries.feature_histogram(db, DISTRICT, "sensor"),
    "count": lambda db: queries.count(db, DISTRICT),
    "predictions": lambda db: queries.predictions(db, SINCE, limit=2000).sort_values(["id", "version"]),
    "sample": lambda db: len(queries.sample(db, SINCE, 100, seed=1)),
    "batches": lambda db: [(each.kind, each.accepted, each.replaced, each.unchanged) for each in batches(db)][::-1],
    "refused": lambda db: rejected_rows(db, batches(db)[-1].id),
    "findings": lambda db: [(each.metric, each.value, each.verdict) for each in findings(db, "crops")],
    "report": lambda db: report_html(db, runs(db)[0].id),
}


@pytest.fixture(scope="module")
def pair(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    """A file and a lake that had the same work."""
    folder = tmp_path_factory.mktemp("pair")
    with (
        Database.open(str(folder / "driftmap.duckdb")) as file,
        Database.open(postgres.ready_lake(folder / "lake"), str(folder / "lake")) as shared,
    ):
        fill(file, folder)
        fill(shared, folder)
        yield file, shared


@pytest.mark.parametrize("question", ANSWERS)
def test_a_lake_answers_as_a_file_does(pair: tuple[Database, Database], question: str) -> None:
    file, shared = (ANSWERS[question](database) for database in pair)
    if isinstance(file, pd.DataFrame):
        assert isinstance(shared, pd.DataFrame)
        columns = list(file.columns)
        same = [frame.sort_values(columns).reset_index(drop=True) for frame in (file, shared)]
        pd.testing.assert_frame_equal(*same, check_exact=False, rtol=1e-9)
        assert len(file)
    else:
        assert file == shared
        assert file


def test_a_lake_is_shared_and_a_file_is_not(pair: tuple[Database, Database]) -> None:
    file, shared = pair
    assert (file.shared, shared.shared) == (False, True)


def test_many_that_open_a_new_lake_at_once_make_its_tables_once(postgres: Cluster, tmp_path: Path) -> None:
    location, failures = postgres.new_lake(), []

    def open_it() -> None:
        try:
            with Database.open(location, str(tmp_path)) as database:
                assert database.rows("SELECT count(*) FROM prediction") == [(0,)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with Database.open(location, str(tmp_path)) as database:
        applied = database.rows("SELECT version FROM schema_version ORDER BY version")
    assert applied == [(version,) for version in range(1, len(migrations()) + 1)]


def test_two_that_look_first_and_then_write_do_not_both_write(postgres: Cluster, tmp_path: Path) -> None:
    location = postgres.ready_lake(tmp_path / "lake")

    def add_one(connection: duckdb.DuckDBPyConnection) -> None:
        ((known,),) = connection.execute("SELECT count(*) FROM model_class").fetchall()
        connection.execute("INSERT INTO model_class VALUES ('crops', ?, 'wheat')", [known])

    with Database.open(location) as one, Database.open(location) as other:
        threads = [threading.Thread(target=database.write, args=[add_one]) for database in (one, other) * 10]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.rows("SELECT count(*), count(DISTINCT code) FROM model_class") == [(20, 20)]


def test_a_write_that_another_program_overtook_is_tried_again(postgres: Cluster, tmp_path: Path) -> None:
    """Another program, as the DuckDB shell, knows nothing of the lock that our writers hold."""
    location = postgres.ready_lake(tmp_path / "lake")
    with Database.open(location) as database:
        database.write(lambda connection: connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'a')"))
        tries = 0

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            nonlocal tries
            tries += 1
            connection.execute("UPDATE model_class SET name = name || 'b' WHERE code = 0")
            if tries == 1:
                with lake.connect(location, None) as other:
                    other.execute("UPDATE lake.model_class SET name = name || 'c' WHERE code = 0")

        database.write(work)
        assert tries == 2
        assert database.rows("SELECT name FROM model_class") == [("acb",)]


def test_what_is_read_together_is_of_one_moment(postgres: Cluster, tmp_path: Path) -> None:
    location, count = postgres.ready_lake(tmp_path / "lake"), "SELECT count(*) FROM model_class"
    with Database.open(location) as one, Database.open(location) as other:
        for known in range(3):
            with one.reading():
                assert one.rows(count) == [(known,)]
                other.write(lambda connection: connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'a')"))
                assert one.rows(count) == [(known,)]
        assert one.rows(count) == [(3,)]


def test_what_is_remembered_is_forgotten_when_another_process_writes(postgres: Cluster, tmp_path: Path) -> None:
    location, reads = postgres.ready_lake(tmp_path / "lake"), []
    with Database.open(location) as one, Database.open(location) as other:

        def remembered() -> int:
            def read() -> int:
                reads.append(1)
                return one.rows("SELECT count(*) FROM model_class")[0][0]

            with one.reading():
                return one.remembered("n", read)

        assert [remembered(), remembered()] == [0, 0]
        assert len(reads) == 1
        other.write(lambda connection: connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'a')"))
        assert [remembered(), remembered()] == [1, 1]
        assert len(reads) == 2


def test_a_catalog_that_was_away_is_found_again(postgres: Cluster, tmp_path: Path) -> None:
    location = postgres.ready_lake(tmp_path / "lake")

    def add(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')")

    def cut_off(connection: duckdb.DuckDBPyConnection) -> None:
        add(connection)
        postgres.cut(location, only_locks=True)

    with Database.open(location) as database:
        database.write(add)
        postgres.cut(location)
        assert database.rows("SELECT count(*) FROM model_class") == [(1,)]
        postgres.cut(location)
        database.write(add)
        with pytest.raises(DriftmapError, match="nothing was written"):
            database.write(cut_off)
        database.write(add)
        assert database.rows("SELECT count(*) FROM model_class") == [(3,)]


def test_regions_that_another_process_replaced_count_at_once(postgres: Cluster, tmp_path: Path) -> None:
    location = postgres.ready_lake(tmp_path / "lake")
    here = pa.table({"id": ["s1"], "time": ["2026-03-01"], "lon": [61.0], "lat": [41.0], "predicted": ["wheat"]})
    plain = Model(name="crops", classes=CLASSES, regions="districts")
    with Database.open(location) as one, Database.open(location) as other:
        for database, square in ((other, Square("a", 60, 40, 2)), (one, Square("b", 20, 10, 2))):
            load_regions(database, "districts", write_regions((square,), tmp_path / "regions.geojson"))
            register_model(other, plain)
            ingest_table(other, plain, here.set_column(0, "id", [[square.id]]), square.id)
        assert one.rows("SELECT id, region FROM prediction ORDER BY id") == [("a", 0), ("b", 0)]


def test_a_failing_write_leaves_nothing_and_gives_the_lock_back(postgres: Cluster, tmp_path: Path) -> None:
    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO model_class VALUES ('crops', 0, 'wheat')")
        connection.execute("CREATE TEMP TABLE half_done (a INTEGER)")
        raise ValueError("half-way")

    location = postgres.ready_lake(tmp_path / "lake")
    with Database.open(location) as one, Database.open(location) as other:
        for _ in range(2):
            with pytest.raises(ValueError, match="half-way"):
                one.write(fail)
        other.write(lambda connection: connection.execute("INSERT INTO model_class VALUES ('crops', 1, 'rice')"))
        assert one.rows("SELECT code FROM model_class") == [(1,)]


def test_compaction_leaves_fewer_files_and_the_same_answers(postgres: Cluster, tmp_path: Path) -> None:
    with Database.open(postgres.ready_lake(tmp_path / "lake"), str(tmp_path / "lake")) as database:
        fill(database, tmp_path)
        for seed in range(4):
            ingest_table(database, MODEL, rows(300, 10 + seed), f"more {seed}")
        before = queries.predictions(database, Filter("crops"), limit=5000)
        orphan = tmp_path / "lake" / "main" / "prediction" / "ducklake-of-a-writer-that-died.parquet"
        pa.parquet.write_table(rows(5, 1), orphan)
        tidied = compact_lake(database, keep=timedelta(0))
        assert tidied.files_before > tidied.files_after == count_files(database)
        assert tidied.snapshots_ended > 10
        assert tidied.files_deleted >= tidied.files_before - tidied.files_after
        assert not orphan.exists()
        after = queries.predictions(database, Filter("crops"), limit=5000)
        pd.testing.assert_frame_equal(
            *(each.sort_values(["id", "version"], ignore_index=True) for each in (before, after))
        )
        assert compact_lake(database).files_deleted == 0  # of the last day nothing goes


def test_a_lake_of_a_newer_driftmap_is_refused(postgres: Cluster, tmp_path: Path) -> None:
    location = postgres.ready_lake(tmp_path / "lake")
    with Database.open(location) as database:
        database.write(lambda connection: connection.execute("INSERT INTO schema_version VALUES (99, NULL)"))
    with pytest.raises(DatabaseVersionError, match="newer driftmap"):
        Database.open(location)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("ducklake:postgres:dbname=none host=127.0.0.1 port=1", "cannot be opened.*refused"),
        ("ducklake:postgres:dbname=none host=127.0.0.1 password=hunter2", "PGPASSWORD"),
        ("ducklake:other.sqlite", "catalog in PostgreSQL"),
    ],
)
def test_a_lake_that_cannot_be_reached_is_said_in_one_line(location: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DriftmapError, match=said) as raised:
        Database.open(location)
    assert "\n" not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_another_data_path_than_the_lake_was_made_with_is_refused(postgres: Cluster, tmp_path: Path) -> None:
    location = postgres.new_lake()
    Database.open(location, str(tmp_path / "one")).close()
    with pytest.raises(DriftmapError, match="cannot be opened"):
        Database.open(location, str(tmp_path / "other"))
