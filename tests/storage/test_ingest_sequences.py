"""After any sequence of ingests, labels and region sets, the store holds the rows it should, and sums them right."""

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage import grid, queries, rollups
from storage.batches import batches, rejected_rows
from storage.catalog import class_names, register_model
from storage.database import Database
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.queries import Bins, Filter
from storage.records import BatchResult
from storage.regions import load_regions, region_set
from tests.storage.plain import (
    CLASSES,
    MODEL,
    SENSOR,
    Plain,
    Row,
    Square,
    assert_alike,
    grouped,
    least_rows,
    stored,
    table,
)
from tests.storage.plain import write_regions as write

REGION_SETS = (
    (Square("north", 60, 40, 4), Square("a", 60, 40, 2, "north"), Square("b'; --", 62, 42, 2, "north")),
    (Square("b'; --", 60, 40, 1), Square("south", 63, 40, 2)),
)
FAULTS: dict[str, Row] = {
    "id missing": {"id": ""},
    "time unreadable": {"time": "yesterday"},
    "wrong type: lon": {"lon": "east"},
    "coordinates missing": {"lat": None},
    "coordinates outside the world": {"lat": 91.0},
    "class missing": {"predicted": None},
    "unknown class": {"predicted": "barley"},
    "confidence outside 0–1": {"confidence": 1.5},
    "wrong type: ndvi": {"ndvi": "green"},
}

ids = st.sampled_from([f"s{number}" for number in range(8)])
rows = st.fixed_dictionaries(
    {
        "id": ids,
        "version": st.sampled_from(["1", "2"]),
        "time": st.integers(0, 3).map(lambda day: datetime(2026, 3, 1, 23, 59) + timedelta(days=day)),
        "lon": st.integers(0, 9).map(lambda step: 60.25 + step / 2),
        "lat": st.integers(0, 9).map(lambda step: 40.25 + step / 2),
        "predicted": st.sampled_from(CLASSES),
        "confidence": st.none() | st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]) | st.floats(0, 1),
        "entropy": st.none() | st.floats(0, 1.5, width=32),
        "area_m2": st.none() | st.floats(0, 1e6),
        "ndvi": st.none() | st.floats(-1, 1, width=32),
        SENSOR: st.sampled_from([None, "A", "'); --", '"B"']),
        "label": st.none() | st.sampled_from(CLASSES),
        "fault": st.sampled_from([None] * 12 + list(FAULTS)),
    }
)
labels = st.fixed_dictionaries(
    {"id": ids | st.just("unheard of"), "label": st.sampled_from([*CLASSES, "barley", None])}
)


def place(value: float, bins: Bins) -> float:
    """The bin of a value. So far out that no bin is numbered that far, it counts as the last one."""
    return float(np.clip((value - bins.origin) // bins.width, -1e9, 1e9))


def with_fault(row: Row) -> Row:
    return {**row, **FAULTS[row["fault"]]} if row["fault"] else row


class Sequences(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.folder = Path(tempfile.mkdtemp())
        self.database = Database.open(str(self.folder / "driftmap.duckdb"))
        self.plain = Plain()
        self.last_file: pa.Table | None = None
        self.last_kind: Any = None

    def teardown(self) -> None:
        self.patched.undo()
        self.database.close()
        shutil.rmtree(self.folder)

    @initialize(least=st.sampled_from([None, 0.01, 0.3]))
    def register(self, least: float | None) -> None:
        if least is not None:  # that even a few rows are rolled up
            self.patched.setattr(rollups, "LEAST_ROWS", least_rows(least))
            self.patched.setattr(rollups, "LEAST_PERIODS", 0)
        self.replace_regions(REGION_SETS[0])
        register_model(self.database, MODEL)

    @rule(squares=st.sampled_from(REGION_SETS))
    def replace_regions(self, squares: tuple[Square, ...]) -> None:
        load_regions(self.database, str(MODEL.regions), write(squares, self.folder / "regions.geojson"))
        self.plain.squares = squares

    @rule(rows=st.lists(rows, min_size=1, max_size=10))
    def ingest(self, rows: list[Row]) -> None:
        file = pa.Table.from_pandas(table([with_fault(row) for row in rows]), preserve_index=False)
        result = ingest_table(self.database, MODEL, file, "rows")
        self.check(result, self.plain.ingest(rows))
        faults = [row["fault"] for row in rows if row["fault"]]
        assert result.refused == {fault: faults.count(fault) for fault in faults}
        assert len(rejected_rows(self.database, result.batch)) == len(faults)
        self.last_file, self.last_kind = file, ingest_table

    @rule(labels=st.lists(labels, min_size=1, max_size=6))
    def label(self, labels: list[Row]) -> None:
        file = pa.Table.from_pylist(labels, schema=pa.schema([("id", pa.string()), ("label", pa.string())]))
        self.check(label_table(self.database, MODEL, file, "labels"), self.plain.label(labels))
        self.last_file, self.last_kind = file, label_table

    @precondition(lambda self: self.last_file is not None)
    @rule()
    def repeat_the_last_file(self) -> None:
        known, refused = len(batches(self.database)), self.refused()
        again = self.last_kind(self.database, MODEL, self.last_file, "the same again")
        assert again.accepted == again.replaced == 0
        assert len(batches(self.database)) == known
        assert self.refused() == refused

    def refused(self) -> int:
        return int(self.database.rows("SELECT count(*) FROM rejected_row")[0][0])

    def check(self, result: BatchResult, expected: dict[str, int]) -> None:
        refused = sum(result.refused.values())
        counts = {"accepted": result.accepted, "replaced": result.replaced, "unchanged": result.unchanged}
        assert {**counts, "refused": refused} == expected
        assert result.rows == sum(expected.values())

    @invariant()
    def rows_and_roll_ups_are_what_they_should_be(self) -> None:
        if not self.database.rows("SELECT 1 FROM model"):
            return
        names = class_names(self.database, MODEL.name)
        keys = {region.key: region.id for region in region_set(self.database, MODEL.regions).regions}
        expected = self.plain.frame()
        rows = queries.predictions(self.database, Filter(MODEL.name))
        assert sorted(zip(rows["version"], rows["id"], strict=True)) == sorted(self.plain.rows)
        by = ["region", "predicted", "label", "bin"]
        sums = ["n", "sum_confidence", "sum_confidence2"]
        for version in ("1", "2"):
            outcomes = queries.outcomes_by_region(self.database, Filter(MODEL.name, version))
            outcomes["region"] = outcomes["region"].map(lambda region: keys.get(region))
            for column in ("predicted", "label"):
                outcomes[column] = [None if pd.isna(code) else names[int(code)] for code in outcomes[column]]
            outcomes = outcomes.rename(columns={"confidence_bin": "bin"})
            assert_alike(stored(outcomes, by, sums), grouped(expected[expected["version"] == version], by, sums))
        self.cells_are_what_they_should_be(expected)
        self.feature_counts_are_what_they_should_be(expected, keys)

    def cells_are_what_they_should_be(self, expected: Any) -> None:
        sums = list(rollups.CELL_SUMS)
        for level in (0, 4, 7, 9, 12, 30):
            found = queries.cells(self.database, Filter(MODEL.name), level)
            x, y = (
                expected[axis].map(lambda place, width=1 << grid.DEPTH - level: place // width) for axis in ("x", "y")
            )
            cells = expected.assign(x=x, y=y)
            assert_alike(stored(found, ["x", "y"], sums), grouped(cells, ["x", "y"], sums))

    def feature_counts_are_what_they_should_be(self, expected: Any, keys: dict[int, str]) -> None:
        bins = queries.feature_bins(self.database, MODEL.name).get("ndvi")
        expected = expected.assign(
            place=[None if v is None or bins is None else place(v, bins) for v in expected["ndvi"]]
        )
        for feature, column, name in (("ndvi", "bin", "place"), (SENSOR, "category", SENSOR)):
            found = queries.feature_histogram(self.database, Filter(MODEL.name), feature)
            found["region"] = found["region"].map(lambda region: keys.get(region))
            assert_alike(stored(found, ["region", column], ["n"]), grouped(expected, ["region", name], ["n"]))

    @invariant()
    def every_kept_level_says_the_same(self) -> None:
        kept = self.database.rows("SELECT DISTINCT rollup, period, level FROM rollup_level")
        n = len(self.plain.rows)
        for name, period, level in kept:
            place = f"AND level = {level}" if rollups.ROLLUPS[name].by_cell else ""
            found = self.database.rows(f"SELECT sum(n) FROM {name}_rollup WHERE period = {period} {place}")
            assert found == [(n,)], (name, period, level)

    @invariant()
    def recorded_batches_add_up(self) -> None:
        for batch in batches(self.database, limit=1000):
            assert batch.rows == batch.accepted + batch.replaced + batch.unchanged + batch.refused


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    max_examples=8,
    stateful_step_count=8,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
