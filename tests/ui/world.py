"""A small world to look at: 16 districts in 4 provinces, 20,000 predictions, one district that fails."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

CLASSES = ("wheat", "cotton", "rice", "orchard", "fallow")
WEST, SOUTH, EAST, NORTH = 64.0, 38.0, 68.0, 41.0
FAILING = "d10"
START = datetime(2026, 3, 2)
DAYS = 56

CONFIGURATION = {
    "database": "driftmap.duckdb",
    "regions": {"districts": {"path": "regions.geojson", "id": "region_id", "name": "name", "parent": "parent_id"}},
    "models": {
        "crops": {
            "classes": list(CLASSES),
            "features": {"ndvi": "numeric", "rain": "numeric", "sensor": "categorical"},
            "regions": "districts",
            "reference": {"from": "2026-03-02", "to": "2026-03-29"},
            "window": "7d",
        }
    },
}


def rectangle(west: float, south: float, east: float, north: float) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def regions() -> dict:
    """4 provinces of 4 districts each: p0…p3, d00…d33."""
    features = []
    for p in range(4):
        west, south = WEST + (p % 2) * 2, SOUTH + (p // 2) * 1.5
        features.append((f"p{p}", f"Province {p + 1}", None, rectangle(west, south, west + 2, south + 1.5)))
        for d in range(4):
            left, low = west + (d % 2), south + (d // 2) * 0.75
            features.append(
                (f"d{p}{d}", f"District {p + 1}.{d + 1}", f"p{p}", rectangle(left, low, left + 1, low + 0.75))
            )
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"region_id": key, "name": name, "parent_id": parent},
                "geometry": shape,
            }
            for key, name, parent, shape in features
        ],
    }


def predictions(rows: int = 20_000, seed: int = 7) -> pa.Table:
    """Right in about 9 of 10 cases; in the failing district in 4 of 10, as confident as elsewhere."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(WEST, EAST, rows), rng.uniform(SOUTH, NORTH, rows)
    # Denser along two valleys, so that the map has a shape.
    valley = rng.random(rows) < 0.6
    lat = np.where(valley, 39.0 + 0.5 * np.sin(lon * 2.2) + rng.normal(0, 0.22, rows), lat)
    lat = np.clip(lat, SOUTH, NORTH - 1e-6)
    failing = (lon >= 66) & (lon < 67) & (lat >= 38) & (lat < 38.75)
    label = (np.floor(lon * 3) + np.floor(lat * 4) + rng.integers(0, 2, rows)).astype(int) % len(CLASSES)
    confidence = np.clip(rng.beta(8, 1.6, rows), 0.21, 0.999)
    right = rng.random(rows) < np.where(failing, 0.4, confidence)
    predicted = np.where(right, label, (label + rng.integers(1, len(CLASSES), rows)) % len(CLASSES))
    others = ((1 - confidence) / (len(CLASSES) - 1))[:, None]
    probabilities = np.repeat(others, len(CLASSES), axis=1)
    probabilities[np.arange(rows), predicted] = confidence
    days = rng.integers(0, DAYS, rows)
    time = [
        START + timedelta(days=int(day), seconds=int(s))
        for day, s in zip(days, rng.integers(0, 86400, rows), strict=True)
    ]
    labelled = days < DAYS - 14
    names = np.array(CLASSES)
    return pa.table(
        {
            "id": [f"s{i:06d}" for i in range(rows)],
            "time": time,
            "lon": lon,
            "lat": lat,
            "predicted": names[predicted],
            "confidence": confidence,
            **{f"p_{name}": probabilities[:, i] for i, name in enumerate(CLASSES)},
            "label": [name if known else None for name, known in zip(names[label], labelled, strict=True)],
            "ndvi": rng.normal(0.5, 0.1, rows),
            "rain": rng.gamma(2, 5, rows),
            "sensor": np.where(rng.random(rows) < 0.5, "A", "B"),
        }
    )


def write_world(folder: Path, rows: int = 20_000) -> Path:
    """driftmap.yaml, regions.geojson and predictions.parquet in `folder`; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "regions.geojson").write_text(json.dumps(regions()))
    pq.write_table(predictions(rows), folder / "predictions.parquet")
    path = folder / "driftmap.yaml"
    path.write_text(yaml.safe_dump(CONFIGURATION))
    return path
