"""Server time from a moved viewport to the map's image, beside datashader over all rows in memory.

    python benchmarks/pan.py --rows 1000000 --json

Both draw the same four figures (count, share correct, mean confidence, mean entropy) for the same seeded path of
pans and zooms. driftmap asks its store; datashader goes through a DataFrame that already holds every row.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import datashader as ds
import numpy as np
import pandas as pd
from world import HEIGHT, MODEL, SOUTH, WEST, WIDTH, frame, labels, machine, predictions, write_regions

from app.filters import grown
from app.pages.explore_map import PIXELS, read_cells
from app.views.layers import LAYERS, raster
from storage import grid
from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.queries import Filter
from storage.regions import load_regions

HIGH = 600  # pixels


def path_of_views(moves: int, seed: int) -> list[grid.Bounds]:
    """Views in EPSG:3857 metres: from the whole extent a random walk of pans, zooms in and zooms out."""
    generator = np.random.default_rng(seed)
    x, y = grid.position(np.array([WEST, WEST + WIDTH]), np.array([SOUTH, SOUTH + HEIGHT]))
    (west, east), (south, north) = grid.to_metres(x, y)
    widest = east - west
    centre, width, views = np.array([(west + east) / 2, (south + north) / 2]), widest, []
    for _ in range(moves):
        height = width * HIGH / PIXELS
        views.append((centre[0] - width / 2, centre[1] - height / 2, centre[0] + width / 2, centre[1] + height / 2))
        move = generator.choice(["pan", "in", "out"], p=[0.6, 0.22, 0.18])
        width = float(np.clip(width * {"pan": 1, "in": 0.5, "out": 2}[move], widest / 256, widest))
        centre = np.clip(centre + generator.uniform(-0.4, 0.4, 2) * width, (west, south), (east, north))
    return views


def driftmap_seconds(database: Database, views: list[grid.Bounds]) -> list[float]:
    layer, wanted = LAYERS["errors"], Filter("crops")
    taken = []
    for view in [views[0], *views]:  # the first look warms datashader up
        started = time.perf_counter()
        table, level, _ = read_cells(database, replace(wanted, bounds=grown(view, 0.12)), layer, view)
        if len(table):
            raster(table, level)
        taken.append(time.perf_counter() - started)
    return taken[1:]


def datashader_seconds(rows: pd.DataFrame, views: list[grid.Bounds]) -> list[float]:
    figures = ds.summary(
        n=ds.count(), accuracy=ds.mean("correct"), confidence=ds.mean("confidence"), entropy=ds.mean("entropy")
    )
    taken = []
    for xmin, ymin, xmax, ymax in [views[0], *views]:
        started = time.perf_counter()
        ds.Canvas(PIXELS, HIGH, (xmin, xmax), (ymin, ymax)).points(rows, "x", "y", agg=figures)
        taken.append(time.perf_counter() - started)
    return taken[1:]


def percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}_ms": round(float(np.percentile(seconds, share)) * 1000, 1) for share in (50, 95)}


def measure(rows: int, moves: int, seed: int, folder: Path) -> dict[str, object]:
    table = predictions(rows, seed)
    marked = labels(table)
    views = path_of_views(moves, seed)
    with Database.open(str(folder / "driftmap.duckdb")) as database:
        load_regions(database, "districts", write_regions(folder))
        register_model(database, MODEL)
        ingest_table(database, MODEL, table, "predictions")
        label_table(database, MODEL, marked, "labels")
        ours = driftmap_seconds(database, views)
    everything = frame(table, marked)
    x, y = grid.to_metres(*grid.position(everything["lon"].to_numpy(), everything["lat"].to_numpy()))
    theirs = datashader_seconds(everything.assign(x=x, y=y), views)
    driftmap, datashader = percentiles(ours), percentiles(theirs)
    return {
        "rows": rows,
        "moves": moves,
        "driftmap": driftmap,
        "baseline": "datashader.Canvas.points over a DataFrame in memory, four aggregates",
        "datashader": datashader,
        "share_of_baseline_p50": round(driftmap["p50_ms"] / datashader["p50_ms"], 2),
        "share_of_baseline_p95": round(driftmap["p95_ms"] / datashader["p95_ms"], 2),
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.rows, options.moves, options.seed, Path(folder))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
