"""A small world whose district 2.1 fails throughout and in which ndvi shifts from the fifth week on; monitored.

And a file was refused.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from app.workspace import Workspace
from monitoring.configuration import load_configuration
from monitoring.run import run_window
from storage.ingest import ingest_file, ingest_table
from storage.records import Window
from tests.ui.watched import districts, write_refused
from tests.ui.world import START, predictions, write_world

WEEK = timedelta(days=7)
JUDGED = (3, 5, 6)  # weeks: part of the reference, with labels, and before its labels have come


def week(number: int) -> Window:
    return Window(START + number * WEEK, START + (number + 1) * WEEK)


def story() -> pa.Table:
    """In district 2.1 three of four predictions are right for four weeks; then ndvi is higher by two standard
    deviations, and half of them are wrong."""
    table = predictions(24_000).to_pandas()
    rng = np.random.default_rng(11)
    here = districts(table, 66, 38)
    later = table["time"] >= START + 4 * WEEK
    mended = here & ~later & table["label"].notna() & (rng.random(len(table)) < 0.75)
    table.loc[mended, "predicted"] = table.loc[mended, "label"]
    table.loc[here & later, "ndvi"] += 0.2
    return pa.Table.from_pandas(table, preserve_index=False)


def write_drifted(folder: Path) -> Path:
    """A configuration, and a database with what the monitor found in the weeks JUDGED; returns the first."""
    path = write_world(folder, rows=10)
    with Workspace(load_configuration(path)) as workspace:
        workspace.prepare()
        database, model = workspace.database, workspace.model("crops")
        ingest_table(database, model.stored, story(), "story")
        ingest_file(database, model.stored, write_refused(folder))
        for number in JUDGED:
            window = week(number)
            judged = run_window(database, workspace.configuration, model, window, window.end, workspace.worker)
            assert judged.outcome == "done", judged.message
    return path
