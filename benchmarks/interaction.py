"""Server time from what a person does on the page Explore to the new map image and all linked charts.

    python benchmarks/interaction.py --rows 1000000 --json

An answer is the first picture of the map and every chart; finer cells, which follow where rows are many and nobody
moves on, are given apart. A walk of pans and zooms over every layer and window of time; every brush, and every two
together; the first look and the first brush after the database was opened. A sample of the answers is held against
plain sums over all rows. Beside it: `datashader.Canvas.points` with the same four aggregates over a DataFrame that
already lies in memory, for the same walk. The network and the browser are not in it (see users.py).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import datashader as ds
import duckdb
import exact
import numpy as np
import pandas as pd
from dashboard import HIGH, Answer, Event, Explorer, brushed, moves, whole_map
from harness import Figures, measured, mib, opened, options, percentiles, ratio
from world import World

from app.filters import grown
from app.pages.explore_ground import Ground
from app.pages.explore_looks import PIXELS
from app.selection import Box
from app.views.layers import fitting_level
from app.warmup import warm_up
from storage.database import Database
from storage.looks import CellsOf, look
from storage.queries import Filter

COLUMNS = ("x", "y", "correct", "confidence", "entropy")  # what datashader is given, as FLOAT
METRES = 20037508.342789244


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    with opened(world, chosen, folder) as database:
        location = database.location
    warm_up()
    walk, brushes = moves(chosen.moves, world.seed), brushed(chosen.brushes, world.seed)
    with Database.open(location) as database:
        explorer = Explorer(database)
        first = explorer.answer(Event("first look", {}))
        first_box = explorer.answer(next(event for event in brushes if event.kind == "box"))
        walked = [explorer.answer(event) for event in walk]
        brushing = [explorer.answer(event) for event in brushes]
        figures = {
            "moves": {**summary(walk, walked), "of": by(walk, walked, lambda event: event.kind.split(", "))},
            "brushes": {**summary(brushes, brushing), "of": by(brushes, brushing, lambda event: [event.kind])},
            "first_look_ms": round(first.total * 1000, 1),
            "first_look_before_it_is_drawn_ms": round(
                max(first.parts["first_picture"], first.parts["charts"]) * 1000, 1
            ),
            "first_brush_ms": round(first_box.total * 1000, 1),
            "from_rows": answered_with_rows(database, brushes, brushing, explorer.ground),
        }
        wrong = exactness(database, explorer.ground, walk, brushes, chosen.sample)
        baseline_views = [event.chosen["view"] for event in walk[: chosen.baseline_moves]]
        ours = [cells_and_raster(database, view) for view in baseline_views]
    return figures | {"exact": wrong, "baseline": baseline(world, baseline_views, ours, walked)}


def summary(events: Sequence[Event], answers: Sequence[Answer]) -> Figures:
    """Percentiles of the whole answer and of its parts; the slowest event, so that it can be looked at."""
    slowest = int(np.argmax([answer.total for answer in answers]))
    return {
        **percentiles([answer.total for answer in answers]),
        "single_predictions_drawn": sum(answer.single for answer in answers),
        "parts": {name: percentiles([answer.parts[name] for answer in answers]) for name in sorted(answers[0].parts)},
        "slowest": {"kind": events[slowest].kind, "chosen": str(events[slowest].chosen)},
    }


def by(events: Sequence[Event], answers: Sequence[Answer], kinds: Callable[[Event], list[str]]) -> Figures:
    taken: dict[str, list[float]] = {}
    for event, answer in zip(events, answers, strict=True):
        for kind in kinds(event):
            taken.setdefault(kind, []).append(answer.total)
    return {kind: percentiles(seconds) for kind, seconds in taken.items()}


def answered_with_rows(
    database: Database, events: Sequence[Event], answers: Sequence[Answer], ground: Ground
) -> Figures:
    """Of the brushes: which were answered, if only for a day, from rows; and how long those took and the others."""
    needed = [exact.days_of_rows(database, ground, event) for event in events]
    both = list(zip(events, answers, needed, strict=True))
    return {
        "kinds": sorted({event.kind for event, _, rows in both if rows}),
        "with_rows": percentiles([answer.total for _, answer, rows in both if rows]),
        "without": percentiles([answer.total for _, answer, rows in both if not rows]),
    }


def exactness(
    database: Database, ground: Ground, walk: Sequence[Event], brushes: Sequence[Event], sample: int
) -> Figures:
    found = exact.Differences()
    for events in (walk, brushes):
        for event in events[:: max(1, len(events) // max(sample, 1))][:sample]:
            exact.check(database, ground, event, found)
    return {
        "answers_compared": found.compared,
        "answers_that_differ": len(found.differ),
        "which": found.differ[:10],
    }


def cells_and_raster(database: Database, view: Box) -> float:
    """Seconds for what datashader does: the sums of a view as images, without layer, charts and lines."""
    started = time.perf_counter()
    look(database, "crops", cells=CellsOf(Filter("crops", bounds=grown(view, 0.12)), fitting_level(view, PIXELS)))
    return time.perf_counter() - started


def baseline(world: World, views: Sequence[Box], ours: Sequence[float], walked: Sequence[Answer]) -> Figures:
    rows = in_memory(world)
    sums = ds.summary(
        n=ds.count(), accuracy=ds.mean("correct"), confidence=ds.mean("confidence"), entropy=ds.mean("entropy")
    )
    theirs = []
    for xmin, ymin, xmax, ymax in [whole_map(), *views]:  # the first compiles
        started = time.perf_counter()
        ds.Canvas(PIXELS, HIGH, (xmin, xmax), (ymin, ymax)).points(rows, "x", "y", agg=sums)
        theirs.append(time.perf_counter() - started)
    theirs = theirs[1:]
    alike, whole = percentiles(ours), percentiles([answer.total for answer in walked[: len(views)]])
    slow = percentiles(theirs)
    return {
        "what": "datashader.Canvas.points, four aggregates, over a DataFrame in memory, any time",
        "columns_in_memory": f"{', '.join(COLUMNS)} as float32, {mib(int(rows.memory_usage().sum()))} MiB",
        "datashader": slow,
        "driftmap_cells_and_raster": alike,
        "driftmap_map_and_all_charts": whole,
        "times_faster_p50": ratio(slow["p50_ms"], alike["p50_ms"]),
        "times_faster_p95": ratio(slow["p95_ms"], alike["p95_ms"]),
        "times_faster_with_all_charts_p50": ratio(slow["p50_ms"], whole["p50_ms"]),
    }


def in_memory(world: World) -> pd.DataFrame:
    """All predictions as datashader takes them; filled part by part, so that no second copy is ever in memory."""
    columns = {name: np.empty(world.rows, np.float32) for name in COLUMNS}
    place = 0
    with duckdb.connect() as connection:
        for part in world.parts():
            reader = connection.execute(
                f"""SELECT (lon * {METRES} / 180)::FLOAT AS x,
                    (ln(tan((90 + lat) * pi() / 360)) / pi() * {METRES})::FLOAT AS y,
                    (label = predicted)::INTEGER::FLOAT AS correct, confidence::FLOAT AS confidence, entropy
                FROM read_parquet('{part}')"""
            ).to_arrow_reader(1_000_000)
            for batch in reader:
                for name, column in columns.items():
                    column[place : place + batch.num_rows] = batch[name].to_numpy(zero_copy_only=False)
                place += batch.num_rows
    return pd.DataFrame(columns, copy=False)


def few(rows: int) -> int:
    """So many looks by datashader that they take half a minute at most."""
    return max(5, min(40, 300_000_000 // max(rows, 1)))


def main() -> None:
    chosen = options(
        __doc__,
        ("--moves", {"type": int, "default": 100, "help": "pans and zooms"}),
        ("--brushes", {"type": int, "default": 6, "help": "of each kind"}),
        ("--sample", {"type": int, "help": "moves, and brushes, whose answers are computed from rows"}),
        ("--baseline-moves", {"type": int, "help": "looks by datashader"}),
    )
    if chosen.sample is None:
        chosen.sample = 8 if chosen.rows <= 10_000_000 else 3
    chosen.baseline_moves = chosen.baseline_moves or min(chosen.moves, few(chosen.rows))
    measured("interaction", chosen, measure)


if __name__ == "__main__":
    main()
