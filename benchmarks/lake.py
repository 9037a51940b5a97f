"""What a lake costs beside an embedded file: the same world in both, on this machine.

    python benchmarks/lake.py --rows 1000000 --json

Ingest from Parquet, late labels, a small batch, and the questions that the dashboard asks most, each over a month of
a quarter of the map; answers must be equal. The lake's catalog is a PostgreSQL of the benchmark's own on this machine,
its files are on the local disk, so what a network adds is not in the figures. Needs PostgreSQL's server programs.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from harness import Figures, fill, measured, options, percentiles, ratio
from world import DAYS, START, World

from storage import queries
from storage.database import Database
from storage.ingest import ingest_file
from storage.labels import label_file
from storage.lake import compact_lake
from storage.queries import Filter

sys.path.append(str(Path(__file__).parents[1]))
from tests.postgres import cluster

TURNS = 15
SMALL = 1000  # rows of a small batch

QUESTIONS: dict[str, Callable[[Database, Filter], object]] = {
    "map": lambda db, view: queries.cells(db, view, 9),
    "map by class": lambda db, view: queries.class_cells(db, view, 9),
    "outcomes in a box": queries.outcomes,
    "outcomes by day in a box": queries.outcomes_by_day,
    "outcomes by region": lambda db, view: queries.outcomes_by_region(db, whole(view)),
    "outcomes by day": lambda db, view: queries.outcomes_by_day(db, whole(view)),
    "histogram of a feature": lambda db, view: queries.feature_histogram(db, whole(view), "band_0"),
    "single predictions": lambda db, view: queries.predictions(db, view, 1000),
}


def whole(view: Filter) -> Filter:
    return Filter(view.model, start=view.start, end=view.end)


def views(database: Database, seed: int) -> list[Filter]:
    """Boxes of half the map's width and height somewhere on it, each over 30 days."""
    generator = np.random.default_rng(seed)
    extent = queries.extent(database, "crops")
    assert extent is not None
    west, south, east, north = extent
    found = []
    for _ in range(TURNS):
        x, y = west + generator.random() * (east - west) / 2, south + generator.random() * (north - south) / 2
        start = START + timedelta(days=int(generator.integers(0, DAYS - 30)))
        box = (x, y, x + (east - west) / 2, y + (north - south) / 2)
        found.append(Filter("crops", start=start, end=start + timedelta(days=30), bounds=box))
    return found


def asked(databases: tuple[Database, Database], chosen: list[Filter]) -> tuple[tuple[Figures, Figures], list[str]]:
    """Percentiles of the time that each question takes, asked of both in turn; and which answers differ."""
    figures: tuple[Figures, Figures] = ({}, {})
    wrong = []
    for name, question in QUESTIONS.items():
        taken: tuple[list[float], list[float]] = ([], [])
        for turn, view in enumerate([chosen[0], *chosen]):
            answers = []
            for database, times in zip(databases, taken, strict=True):
                started = time.perf_counter()
                answers.append(question(database, view))
                if turn:
                    times.append(time.perf_counter() - started)
            if not same(*answers):
                wrong.append(name)
        for each, times in zip(figures, taken, strict=True):
            each[name] = percentiles(times)
    return figures, wrong


def same(one: object, other: object) -> bool:
    if not isinstance(one, pd.DataFrame) or not isinstance(other, pd.DataFrame):
        return one == other
    if list(one) != list(other) or len(one) != len(other):
        return False
    pair = [frame.sort_values(list(frame), ignore_index=True) for frame in (one, other)]
    return bool(pair[0].equals(pair[1]))


def seconds(work: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def filled(database: Database, world: World, folder: Path) -> Figures:
    """Seconds for all predictions, for late labels of a tenth of them, and for a batch of about a thousand rows."""
    taken = fill(database, world)
    late = seconds(label_file, database, world.model, world.late_labels(world.rows // 10, folder))
    days = [SMALL + number for number in range(5)]  # batches of the next day, each a little larger than the last
    small = [seconds(ingest_file, database, world.model, world.next_day(rows, folder)) for rows in days]
    return {
        "ingest_seconds": round(sum(taken), 2),
        "ingest_rows_per_second": round(world.rows / sum(taken)),
        "late_labels_seconds": round(late, 2),
        "small_batch_seconds": round(float(np.median(small)), 3),
    }


@contextmanager
def lake(folder: Path) -> Iterator[Database]:
    with cluster() as server, Database.open(server.new_lake(), str(folder / "lake")) as database:
        yield database


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    path = folder / "embedded.duckdb"
    with Database.open(str(path)) as file, lake(folder) as shared:
        embedded, many = (filled(database, world, folder) for database in (file, shared))
        boxes = views(file, chosen.seed)
        (embedded["questions"], many["questions_before_compaction"]), wrong = asked((file, shared), boxes)
        tidied = compact_lake(shared, keep=timedelta(0))
        many["compaction"] = {"files": tidied.files_before, "after": tidied.files_after, "seconds": tidied.seconds}
        (embedded["questions"], many["questions"]), wrong_after = asked((file, shared), boxes)
    embedded["bytes"] = path.stat().st_size
    many["bytes"] = sum(file.stat().st_size for file in (folder / "lake").rglob("*.parquet"))
    times = ("ingest_seconds", "late_labels_seconds", "small_batch_seconds", "bytes")
    p50 = {name: [each["questions"][name]["p50_ms"] for each in (many, embedded)] for name in QUESTIONS}
    return {
        "exact": {
            "answers_compared": 2 * (TURNS + 1) * len(QUESTIONS),
            "answers_that_differ": len(wrong + wrong_after),
            "which": sorted({*wrong, *wrong_after}),
        },
        "embedded": embedded,
        "lake": many,
        "lake_to_embedded": {
            **{name: ratio(many[name], embedded[name]) for name in times},
            **{name: ratio(*pair) for name, pair in p50.items()},
        },
        "lake_minus_embedded_p50_ms": {name: round(pair[0] - pair[1], 1) for name, pair in p50.items()},
    }


def main() -> None:
    measured("lake", options(__doc__), measure)


if __name__ == "__main__":
    main()
