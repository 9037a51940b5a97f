"""What writers and readers of a lake do, each in a process of its own: `python -m tests.storage.lake_work …`.

Every line on stdout is JSON: what a writer was told is kept, or what a reader saw.
"""

import json
import sys
import time
from itertools import count
from typing import Any

import pyarrow as pa

from storage import queries
from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.models import Model
from storage.queries import Filter

MODEL = Model(name="crops", classes=("wheat", "rice"), features={"ndvi": "numeric"})
ROWS = 200
EVERYTHING = Filter("crops")


def batch(name: str) -> pa.Table:
    return pa.table(
        {
            "id": [f"{name}-{row}" for row in range(ROWS)],
            "time": [f"2026-03-{row % 9 + 1:02}" for row in range(ROWS)],
            "lon": [60 + row / 100 for row in range(ROWS)],
            "lat": [40 + row / 100 for row in range(ROWS)],
            "predicted": [("wheat", "rice")[row % 2] for row in range(ROWS)],
            "confidence": [row / ROWS for row in range(ROWS)],
            "ndvi": [row / 7 for row in range(ROWS)],
        }
    )


def labels(name: str) -> pa.Table:
    """Labels of half of a batch."""
    return pa.table({"id": [f"{name}-{row}" for row in range(0, ROWS, 2)], "label": ["wheat"] * (ROWS // 2)})


def write(database: Database, writer: str, until: float) -> None:
    """Batches of ids that only this writer has; labels of half of each; and a batch that all writers send."""
    for number in count():
        if time.time() > until:
            return
        name = f"{writer}-{number}"
        say("rows", name, ingest_table(database, MODEL, batch(name), name).accepted)
        say("labels", name, label_table(database, MODEL, labels(name), name).accepted)
        ingest_table(database, MODEL, batch(f"shared-{number // 3}"), "shared")
        say("shared", f"shared-{number // 3}", ROWS)


def read(database: Database, until: float) -> None:
    """How many predictions there are, over and over."""
    while time.time() < until:
        say("seen", "rows", queries.count(database, EVERYTHING))
        time.sleep(0.1)


def totals(database: Database) -> dict[str, tuple[int, int, int]]:
    """Predictions, labelled and right ones, by roll-ups and by rows."""
    days = queries.outcomes_by_day(database, EVERYTHING)[["n", "n_labelled", "n_correct"]].sum()
    rows = database.rows("SELECT count(*), count(label), count(*) FILTER (label = predicted) FROM prediction")
    return {"rollups": tuple(int(value) for value in days), "rows": rows[0]}  # type: ignore[dict-item]


def say(*words: Any) -> None:
    print(json.dumps(words), flush=True)


def main(kind: str, name: str, location: str, data_path: str, seconds: str) -> None:
    with Database.open(location, data_path) as database:
        register_model(database, MODEL)
        say("ready", name, 0)
        sys.stdin.readline()  # all begin together
        until = time.time() + float(seconds)
        if kind == "write":
            write(database, name, until)
        else:
            read(database, until)


if __name__ == "__main__":
    main(*sys.argv[1:])
