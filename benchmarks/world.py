"""A seeded world to measure in: 300 regions, clusters and background, 90 days, 12 features, 60% labelled."""

import importlib.metadata
import os
import platform
from datetime import datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from storage.models import Model

START = datetime(2026, 1, 1)
DAYS = 90
CLASSES = ("cotton", "wheat", "rice", "orchard", "alfalfa", "fallow")
NUMERIC, CATEGORICAL = 10, 2
CLUSTERS, BACKGROUND, LABELLED = 200, 0.2, 0.6
WEST, SOUTH, WIDTH, HEIGHT = 60.0, 36.0, 12.0, 8.0
COLUMNS, ROWS = 20, 15

FEATURES = {f"ndvi_{number}": "numeric" for number in range(NUMERIC)} | {
    f"sensor_{number}": "categorical" for number in range(CATEGORICAL)
}
MODEL = Model(name="crops", classes=CLASSES, features=FEATURES, regions="districts")


def write_regions(folder: Path) -> Path:
    """300 districts with wavy borders that neighbours share, of 80 vertices each, as GeoJSON."""
    t = np.linspace(0, 1, 21)[:-1]
    width, height = WIDTH / COLUMNS, HEIGHT / ROWS

    def wave(place: np.ndarray) -> np.ndarray:
        return 0.1 * np.sin(2 * np.pi * place) * np.sin(7 * np.pi * place)

    shapes = []
    for number in range(COLUMNS * ROWS):
        column, row = number % COLUMNS, number // COLUMNS
        sides = [
            (column + t, row + wave(t)),
            (column + 1 + wave(t), row + t),
            (column + 1 - t, row + 1 + wave(1 - t)),
            (column + wave(1 - t), row + 1 - t),
        ]
        x, y = (np.concatenate([side[axis] for side in sides]) for axis in (0, 1))
        shapes.append(shapely.make_valid(shapely.Polygon(np.column_stack([WEST + x * width, SOUTH + y * height]))))
    names = [f"d{number}" for number in range(len(shapes))]
    path = folder / "regions.geojson"
    gpd.GeoDataFrame({"region_id": names, "name": names}, geometry=shapes, crs=4326).to_file(path, driver="GeoJSON")
    return path


def predictions(rows: int, seed: int = 1) -> pa.Table:
    """Predictions in order of time, as a model would write them day by day."""
    generator = np.random.default_rng(seed)
    centres = generator.uniform((WEST, SOUTH), (WEST + WIDTH, SOUTH + HEIGHT), (CLUSTERS, 2))
    place = centres[generator.integers(0, CLUSTERS, rows)] + generator.normal(0, 0.12, (rows, 2))
    spread = generator.uniform(size=rows) < BACKGROUND
    place[spread] = generator.uniform((WEST, SOUTH), (WEST + WIDTH, SOUTH + HEIGHT), (int(spread.sum()), 2))
    seconds = np.sort(generator.integers(0, DAYS * 86_400, rows))
    code = generator.integers(0, len(CLASSES), rows)
    confidence = np.round(generator.beta(6, 2, rows), 4)
    columns: dict[str, object] = {
        "id": [f"field-{number}" for number in range(rows)],
        "time": np.datetime64(START, "s") + seconds.astype("timedelta64[s]"),
        "lon": place[:, 0],
        "lat": place[:, 1],
        "predicted": pa.array(CLASSES).take(pa.array(code)),
        "confidence": confidence,
        "entropy": (1.8 * (1 - confidence)).astype(np.float32),
    }
    for number in range(NUMERIC):
        columns[f"ndvi_{number}"] = generator.normal(0.4, 0.1 + number / 50, rows).astype(np.float32)
    for number in range(CATEGORICAL):
        columns[f"sensor_{number}"] = pa.array(["A", "B", "C"]).take(pa.array(generator.integers(0, 3, rows)))
    return pa.table(columns)


def labels(table: pa.Table, seed: int = 2) -> pa.Table:
    """Labels of 60% of the predictions, right where confidence says so."""
    generator = np.random.default_rng(seed)
    chosen = np.flatnonzero(generator.uniform(size=table.num_rows) < LABELLED)
    part = table.select(["id", "predicted", "confidence"]).take(chosen)
    right = generator.uniform(size=len(chosen)) < part["confidence"].to_numpy()
    other = generator.choice(CLASSES, len(chosen))
    return pa.table({"id": part["id"], "label": np.where(right, part["predicted"].to_pandas(), other)})


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    packages = ("duckdb", "pyarrow", "pandas", "numpy", "datashader")
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def frame(table: pa.Table, marked: pa.Table) -> pd.DataFrame:
    """Predictions in memory with the share correct: what a person would give to datashader without driftmap."""
    rows = table.select(["id", "lon", "lat", "predicted", "confidence", "entropy"]).to_pandas()
    rows = rows.merge(marked.to_pandas(), on="id", how="left")
    correct = (rows["label"].astype(object) == rows["predicted"].astype(object)).astype(float)
    return rows.assign(correct=correct.where(rows["label"].notna()))
