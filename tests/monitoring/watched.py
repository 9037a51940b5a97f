"""A small model that is watched: four weeks of predictions in two districts, its labels, and what went wrong."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from monitoring.configuration import Configuration, MonitoredModel
from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_table
from storage.records import Window
from storage.regions import load_regions
from tests.storage.plain import Square, write_regions

START = datetime(2026, 3, 2)
WEEKS = [Window(START + timedelta(days=7 * week), START + timedelta(days=7 * week + 7)) for week in range(5)]
LAST = WEEKS[3]
SQUARES = (Square("north", 60, 40, 4), Square("a", 60, 40, 2, "north"), Square("b", 62, 42, 2, "north"))
BODY = {
    "classes": ["wheat", "rice"],
    "features": {"ndvi": "numeric", "sensor": "categorical"},
    "regions": "districts",
    "reference": {"from": "2026-03-02", "to": "2026-03-22"},
}


def configuration(folder: Path, **changes: object) -> Configuration:
    body = {name: value for name, value in {**BODY, **changes}.items() if value is not None}
    regions = {"districts": {"path": "regions.geojson"}} if "regions" in body else {}
    return Configuration.model_validate({"regions": regions, "models": {"crops": body}, "folder": folder})


def predictions(seed: int = 1, per_week: int = 400, *, shifted: bool = True) -> pd.DataFrame:
    """Four weeks, a third each in a, in b and in no region; in the last week the sensor in b shows other values."""
    generator = np.random.default_rng(seed)
    count = 4 * per_week
    week = np.arange(count) // per_week
    where = generator.integers(0, 3, count)
    label = generator.choice(["wheat", "rice"], count)
    broken = (week == 3) & (where == 1) & shifted
    right = generator.uniform(size=count) < np.where(broken, 0.4, 0.9)
    return pd.DataFrame(
        {
            "id": [f"s{number}" for number in range(count)],
            "version": "1",
            "time": pd.Timestamp(START)
            + pd.to_timedelta(week * 7 * 86_400 + generator.integers(0, 7 * 86_400, count), unit="s"),
            "lon": np.choose(where, [61.0, 63.0, 10.0]),
            "lat": np.choose(where, [41.0, 43.0, 10.0]),
            "predicted": np.where(right, label, np.where(label == "wheat", "rice", "wheat")),
            "confidence": np.clip(generator.normal(0.9, 0.03, count), 0, 1),
            "ndvi": generator.normal(0.4, 0.1, count) + np.where(broken, 0.3, 0),
            "sensor": generator.choice(["A", "B"], count),
            "label": label,
        }
    )


def filled(database: Database, settings: Configuration, frame: pd.DataFrame) -> MonitoredModel:
    """The model of `settings`, registered in `database` with its regions and predictions."""
    model = settings.models["crops"]
    if model.regions is not None:
        load_regions(database, "districts", write_regions(SQUARES, settings.folder / "regions.geojson"))
    register_model(database, model.stored)
    if len(frame):
        ingest_table(database, model.stored, pa.Table.from_pandas(frame), "predictions")
    return model
