"""What every benchmark shares: its options, the world and the store it measures, percentiles, and where results go."""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from world import World

from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_file
from storage.regions import load_regions

PACKAGES = ("duckdb", "pyarrow", "pandas", "numpy", "datashader", "holoviews", "bokeh", "evidently")
Figures = dict[str, Any]


def options(description: str | None, *more: tuple[str, dict[str, Any]]) -> argparse.Namespace:
    """The options of a benchmark from the command line; `more` are those of its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="predictions in the world")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--cache", type=Path, default=Path("build/benchmarks"), help="folder that keeps generated files"
    )
    parser.add_argument("--store", type=Path, help="database to use again, or to make where there is none")
    parser.add_argument("--results", type=Path, help="folder to write NAME-ROWS.json to")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for name, settings in more:
        parser.add_argument(name, **settings)
    return parser.parse_args()


def measured(
    name: str, chosen: argparse.Namespace, measure: Callable[[World, argparse.Namespace, Path], Figures]
) -> None:
    """Run `measure(world, options, scratch folder)`, then print its figures and write them where that was asked."""
    started = time.perf_counter()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    world = World(chosen.rows, chosen.seed, getattr(chosen, "features", 4), chosen.cache)
    with tempfile.TemporaryDirectory(dir=chosen.cache) as folder:
        figures = {"benchmark": name, "rows": chosen.rows, **measure(world, chosen, Path(folder))}
    figures["seconds_in_all"] = round(time.perf_counter() - started, 1)
    figures["machine"] = machine()
    if chosen.results:
        chosen.results.mkdir(parents=True, exist_ok=True)
        text = json.dumps(figures, indent=1) + "\n"
        (chosen.results / f"{name}-{short(chosen.rows)}.json").write_text(text, encoding="utf-8")
    print(json.dumps(figures) if chosen.json else "\n".join(lines(figures)))
    if figures.get("exact", {}).get("answers_that_differ"):
        raise SystemExit("Answers differ from those computed the plain way.")


def machine() -> Figures:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def short(rows: int) -> str:
    """1000000 as 1m, 5000 as 5k."""
    for size, letter in ((1_000_000, "m"), (1_000, "k")):
        if rows >= size:
            return f"{rows / size:g}{letter}"
    return str(rows)


def lines(figures: Figures, before: str = "") -> Iterator[str]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from lines(value, f"{before}{name}.")
        else:
            yield f"{before + name:60} {value}"


def percentiles(seconds: Sequence[float]) -> Figures:
    """Of durations in seconds: how many, and p50, p95 and the longest in milliseconds."""
    if not len(seconds):
        return {"events": 0}
    found = {f"p{share}_ms": round(float(np.percentile(seconds, share)) * 1000, 1) for share in (50, 95)}
    return {"events": len(seconds), **found, "max_ms": round(max(seconds) * 1000, 1)}


def ratio(one: float, other: float) -> float | None:
    return round(one / other, 2) if other else None


def fill(database: Database, world: World) -> list[float]:
    """Put the world into an empty database; the seconds that each part took."""
    load_regions(database, "districts", world.regions)
    register_model(database, world.model)
    taken = []
    for part in world.parts():
        started = time.perf_counter()
        result = ingest_file(database, world.model, part)
        taken.append(time.perf_counter() - started)
        assert result.accepted == result.rows, result
    return taken


@contextmanager
def opened(world: World, chosen: argparse.Namespace, folder: Path, *, changes: bool = False) -> Iterator[Database]:
    """The world's database: that of --store, made where it is not there; else one in `folder`.

    With `changes` it is a copy, so that the next benchmark finds the store as it was.
    """
    path = chosen.store or folder / "driftmap.duckdb"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with Database.open(str(path)) as database:
            fill(database, world)
    if changes and chosen.store:
        path = Path(shutil.copy(path, folder / "driftmap.duckdb"))
    with Database.open(str(path)) as database:
        yield database


class Memory:
    """The largest resident size in bytes that processes had while this was open, looked at ten times a second."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids or (os.getpid(),)
        self.peak: dict[int, int] = dict.fromkeys(self.pids, 0)
        self.start = sum(resident(pid) for pid in self.pids)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            for pid in {*self.pids, *(child for parent in self.pids for child in children(parent))}:
                self.peak[pid] = max(self.peak.get(pid, 0), resident(pid))

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def resident(pid: int) -> int:
    """Bytes of `pid` in memory; 0 where there is no such process. Linux; elsewhere the peak of this one."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        if sys.platform == "linux" or pid != os.getpid():
            return 0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    except ProcessLookupError:
        return 0


def processor(pid: int) -> float:
    """Seconds of processor that all threads of `pid` have used; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
    except FileNotFoundError:
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The processes that any thread of the process `pid` started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            found += [int(child) for child in task.read_text().split()]
    return found


def mib(size: float) -> int:
    return round(size / 2**20)
