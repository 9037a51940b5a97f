"""One monitor run over a store of --rows predictions, 300 regions and 20 features, while somebody pans the map.

    python benchmarks/monitor_run.py --rows 1000000 --json

The run judges the last of the weeks against the first four, with Evidently's report in its worker process, in a thread
of the process that answers the map: as the server does. Panning is timed before the run and during it. The baseline is
Evidently's report for each region, as many rows as the region has (20,000 a side at most): a few regions are measured
and the time is extrapolated to 300.
"""

import argparse
import threading
import time
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from harness import Figures, Memory, measured, mib, opened, options, percentiles, ratio
from world import COLUMNS, DAYS, ROWS, START, World

from monitoring.configuration import Configuration
from monitoring.run import monitor
from monitoring.worker import Worker
from storage import queries
from storage.database import Database
from storage.queries import Filter
from storage.records import Run

if TYPE_CHECKING:
    from dashboard import Event, Explorer

REFERENCE_DAYS, WINDOW_DAYS = 28, 7
REPORT_ROWS = 20_000
PAUSE = 0.25  # seconds between two moves


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    # Not above: the worker's process loads this file again, and the server's worker knows nothing of maps.
    from dashboard import Explorer, moves

    from app.warmup import warm_up

    warm_up()
    events = moves(chosen.moves, world.seed)
    with opened(world, chosen, folder, changes=True) as database, Worker() as worker:
        explorer = Explorer(database)
        explorer.answer(events[0])
        idle = [waited(explorer, event) for event in events]
        runs: list[Run] = []
        at = START + timedelta(days=DAYS)
        running = threading.Thread(
            target=lambda: runs.extend(monitor(database, configuration(world), "crops", at, worker))
        )
        with Memory() as memory:
            started = time.perf_counter()
            running.start()
            meanwhile = []
            for event in cycle(events):
                if not running.is_alive():
                    break
                meanwhile.append(waited(explorer, event))
            running.join()
            seconds = time.perf_counter() - started
        (own, *_), others = memory.pids, [peak for pid, peak in memory.peak.items() if pid not in memory.pids]
        assert [run.outcome for run in runs] == ["done"], runs
        evidently = report_seconds(database, world, worker, chosen.regions)
        regions = COLUMNS * ROWS
    quiet, busy = percentiles(idle), percentiles(meanwhile)
    return {
        "features": world.features,
        "regions": regions,
        "monitor": {"seconds": round(seconds, 1), "findings": runs[0].findings, "predictions": runs[0].predictions},
        "memory": {
            "before_mib": mib(memory.start),
            "process_peak_mib": mib(memory.peak[own]),
            "worker_peak_mib": mib(max(others, default=0)),
            "together_at_most_mib": mib(memory.peak[own] + sum(others)),
        },
        "dashboard": {
            "idle": quiet,
            "meanwhile": busy,
            "times_slower_p95": ratio(busy["p95_ms"], quiet["p95_ms"]),
        },
        "baseline": {
            "what": f"Evidently's report, region by region; {len(evidently)} measured, extrapolated to {regions}",
            "seconds_a_region": round(float(np.mean(evidently)), 2),
            "seconds": round(float(np.mean(evidently)) * regions),
        },
        "times_faster_than_baseline": ratio(float(np.mean(evidently)) * regions, seconds),
    }


def waited(explorer: "Explorer", event: "Event") -> float:
    """Seconds of the answer; then a pause, as a person makes one."""
    seconds = explorer.answer(event).total
    time.sleep(PAUSE)
    return seconds


def configuration(world: World) -> Configuration:
    reference = {"from": START.date(), "to": (START + timedelta(days=REFERENCE_DAYS - 1)).date()}
    model = {
        **world.model.model_dump(exclude={"name"}),
        "reference": reference,
        "window": f"{WINDOW_DAYS}d",
        "schedule": None,
    }
    regions = {"districts": {"path": world.regions.name, "parent": None}}
    return Configuration.model_validate({"regions": regions, "models": {"crops": model}, "folder": world.folder})


def report_seconds(database: Database, world: World, worker: Worker, regions: int) -> list[float]:
    """Seconds of Evidently's report for each of so many regions spread over the map, the reading of rows included."""
    end = START + timedelta(days=DAYS)
    taken = []
    for number in np.linspace(0, COLUMNS * ROWS - 1, regions + 2).astype(int)[1:-1]:
        started = time.perf_counter()
        region = f"d{number}"
        sides = (
            Filter("crops", start=end - timedelta(days=WINDOW_DAYS), end=end, region=region),
            Filter("crops", start=START, end=START + timedelta(days=REFERENCE_DAYS), region=region),
        )
        now, before = (
            pa.Table.from_pandas(queries.sample(database, side, REPORT_ROWS, seed=0), preserve_index=False)
            for side in sides
        )
        worker.report(now, before, world.model).result()
        taken.append(time.perf_counter() - started)
    return taken


def main() -> None:
    chosen = options(
        __doc__,
        ("--features", {"type": int, "default": 20}),
        ("--moves", {"type": int, "default": 40, "help": "pans and zooms before the run; during it, until it ends"}),
        ("--regions", {"type": int, "default": 3, "help": "regions that Evidently is measured on"}),
    )
    measured("monitor_run", chosen, measure)


if __name__ == "__main__":
    main()
