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


def asked(database: Database, chosen: list[Filter]) -> tuple[Figures, dict[str, list[object]]]:
    """Percentiles of the time that each question takes, and the answers."""
    figures, answers = {}, {}
    for name, question in QUESTIONS.items():
        question(database, chosen[0])
        taken, answers[name] = [], []
        for view in chosen:
            started = time.perf_counter()
            answers[name].append(question(database, view))
            taken.append(time.perf_counter() - started)
        figures[name] = percentiles(taken)
    return figures, answers


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


def differing(expected: dict[str, list[object]], found: dict[str, list[object]]) -> list[str]:
    return [name for name in QUESTIONS for pair in zip(expected[name], found[name], strict=True) if not same(*pair)]


@contextmanager
def lake(folder: Path) -> Iterator[Database]:
    with cluster() as server, Database.open(server.new_lake(), str(folder / "lake")) as database:
        yield database


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    path = folder / "embedded.duckdb"
    with Database.open(str(path)) as file:
        embedded = filled(file, world, folder)
        boxes = views(file, chosen.seed)
        embedded["questions"], expected = asked(file, boxes)
    embedded["bytes"] = path.stat().st_size
    with lake(folder) as shared:
        many = filled(shared, world, folder)
        many["questions"], found = asked(shared, boxes)
        wrong = differing(expected, found)
        tidied = compact_lake(shared, keep=timedelta(0))
        many["compaction"] = {"files": tidied.files_before, "after": tidied.files_after, "seconds": tidied.seconds}
        many["questions_after_compaction"], found = asked(shared, boxes)
        wrong += differing(expected, found)
    many["bytes"] = sum(file.stat().st_size for file in (folder / "lake").rglob("*.parquet"))
    times = ("ingest_seconds", "late_labels_seconds", "small_batch_seconds", "bytes")
    return {
        "exact": {"answers_compared": 2 * TURNS * len(QUESTIONS), "answers_that_differ": len(wrong)},
        "differing": sorted(set(wrong)),
        "embedded": embedded,
        "lake": many,
        "lake_to_embedded": {name: ratio(many[name], embedded[name]) for name in times},
        "lake_minus_embedded_p50_ms": {
            name: round(many["questions_after_compaction"][name]["p50_ms"] - embedded["questions"][name]["p50_ms"], 1)
            for name in QUESTIONS
        },
    }


def main() -> None:
    measured("lake", options(__doc__), measure)


if __name__ == "__main__":
    main()
