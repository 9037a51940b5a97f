"""Compaction changes what is read, never what is answered."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from storage import queries, rollups
from storage.catalog import register_model
from storage.compaction import WORTH, compact
from storage.database import Database
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.models import Model
from storage.queries import Filter
from tests.storage.plain import least_rows

CLASSES = ("wheat", "rice")
MODEL = Model(name="crops", classes=CLASSES)
START = pd.Timestamp("2026-03-02")  # a Monday


def day(number: int, rows: int = 300) -> pa.Table:
    generator = np.random.default_rng(number)
    frame = pd.DataFrame(
        {
            "id": [f"{number}-{row}" for row in range(rows)],
            "time": START + pd.Timedelta(days=number) + pd.to_timedelta(generator.integers(0, 86_400, rows), unit="s"),
            "lon": generator.uniform(60, 64, rows), "lat": generator.uniform(40, 44, rows),
            "predicted": generator.choice(CLASSES, rows), "confidence": generator.uniform(0, 1, rows).round(2),
        }
    )  # fmt: skip
    return pa.Table.from_pandas(frame)


@pytest.fixture
def daily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Sixteen days that came in one by one, and labels."""
    monkeypatch.setattr(rollups, "LEAST_ROWS", least_rows(1))
    with Database.open(str(tmp_path / "driftmap.duckdb")) as database:
        register_model(database, MODEL)
        for number in range(16):
            ingest_table(database, MODEL, day(number), f"day {number}")
        labels = pa.table({"id": [f"{number}-{row}" for number in range(16) for row in range(0, 300, 2)],
                           "label": ["rice"] * 16 * 150})  # fmt: skip
        label_table(database, MODEL, labels, "labels")
        yield database


def answers(database: Database) -> list[list[tuple]]:
    filter_ = Filter("crops")
    frames = [queries.cells(database, filter_, 9), queries.outcomes(database, filter_),
              queries.outcomes_by_region(database, filter_), queries.outcomes_by_day(database, filter_),
              queries.predictions(database, filter_, 5000)]  # fmt: skip
    return [sorted(frame.map(str).itertuples(index=False, name=None)) for frame in frames]


def test_answers_stay_the_same_and_roll_ups_have_a_row_for_each_place(daily: Database) -> None:
    before = answers(daily)
    done = compact(daily)
    assert done.rows_after < done.rows_before
    assert answers(daily) == before
    for rollup in rollups.ROLLUPS.values():
        places = ", ".join(("version", "period", "start", *rollup.keys))
        needed = daily.rows(f"SELECT count(*) FROM (SELECT DISTINCT {places} FROM {rollup.table})")[0][0]
        assert daily.rows(f"SELECT count(*) FROM {rollup.table}")[0][0] <= WORTH * needed
    assert compact(daily).rows_before == done.rows_after


def test_weeks_that_are_over_are_sorted_once_and_again_when_more_comes(daily: Database) -> None:
    def spread(week: int) -> float:
        """How far apart on the map neighbours in the table are."""
        first = START + pd.Timedelta(weeks=week)
        found = daily.frame(
            "SELECT x, y FROM prediction WHERE predicted_at >= ? AND predicted_at < ? ORDER BY rowid",
            [first, first + pd.Timedelta(weeks=1)],
        )
        return float(found.diff().abs().mean().sum())

    mixed = spread(0)
    assert compact(daily).weeks_sorted == 2  # the third has only begun
    assert spread(0) < 0.6 * mixed
    assert compact(daily).weeks_sorted == 0
    late = pa.Table.from_pandas(day(3).to_pandas().assign(id=[f"late {row}" for row in range(300)]))
    ingest_table(daily, MODEL, late, "late")
    assert compact(daily).weeks_sorted == 1
