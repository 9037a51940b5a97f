"""A small world that was monitored: one district fails to this day, one did for a week, and a file was refused."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from app.workspace import Workspace
from monitoring.configuration import load_configuration
from monitoring.delivery import send_waiting
from monitoring.run import run_window
from storage.findings import fail_run, start_run
from storage.ingest import ingest_file, ingest_table
from storage.records import Window
from tests.ui.world import CONFIGURATION, START, predictions, write_world

SCRIPT = "<script>window.hacked=1</script>"
REFUSED = 130
REFUSED_FILE = f"{SCRIPT.replace('/', '_')}.csv"
FAILURE = "features/week_09.parquet: not readable. Write it again, then run the monitor."
WEEK = timedelta(days=7)


def districts(table: pd.DataFrame, west: float, south: float) -> pd.Series:
    """Which rows lie in the district whose south-west corner this is."""
    return table["lon"].between(west, west + 1) & table["lat"].between(south, south + 0.75)


def story() -> pa.Table:
    """District 2.1 is right in 9 of 10 cases for five weeks and in 4 of 10 since; district 3.1 fails in week 5."""
    table = predictions(24_000).to_pandas()
    rng = np.random.default_rng(3)
    wrong = table["predicted"].mode()[0]
    # Labels of the last two weeks are not in yet, and they are the truth.
    known = table["label"].notna()
    table["week"] = (table["time"] - START) // WEEK
    mended = known & districts(table, 66, 38) & (table["week"] < 4) & (rng.random(len(table)) < 0.9)
    table.loc[mended, "predicted"] = table.loc[mended, "label"]
    broken = known & districts(table, 64, 39.5) & (table["week"] == 4) & (rng.random(len(table)) < 0.6)
    table.loc[broken, "predicted"] = wrong
    return pa.Table.from_pandas(table.drop(columns="week"), preserve_index=False)


def write_refused(folder: Path) -> Path:
    """A file of which every row is refused for one of two reasons, with markup in its name and its classes."""
    path = folder / REFUSED_FILE
    rows = "".join(
        f"r{i},2026-03-03,999,39,wheat,0.1,1,A\n" if i % 13 == 12 else f"r{i},2026-03-03,65,39,{SCRIPT},0.1,1,A\n"
        for i in range(REFUSED)
    )
    path.write_text(f"id,time,lon,lat,predicted,ndvi,rain,sensor\n{rows}")
    return path


def write_watched(folder: Path) -> Path:
    """A configuration, and a database with what six weeks of monitoring found; returns the first."""
    path = write_world(folder, rows=10)
    regions = (folder / "regions.geojson").read_text()
    (folder / "regions.geojson").write_text(regions.replace("District 2.1", SCRIPT))
    channels = {"ops": {"url": "json://127.0.0.1:9/"}}
    path.write_text(yaml.safe_dump({**CONFIGURATION, "alerts": {"channels": channels}}))
    with Workspace(load_configuration(path)) as workspace:
        workspace.prepare()
        database, model = workspace.database, workspace.model("crops")
        ingest_table(database, model.stored, story(), "story")
        ingest_file(database, model.stored, write_refused(folder))
        for week in range(6):
            window = Window(START + week * WEEK, START + (week + 1) * WEEK)
            judged = run_window(
                database, workspace.configuration, model, window, window.end, workspace.worker, only_labels=True
            )
            assert judged.outcome == "done", judged.message
        send_waiting(database, workspace.configuration)
        fail_run(database, start_run(database, "crops", Window(START + 8 * WEEK, START + 9 * WEEK)), FAILURE)
    return path
