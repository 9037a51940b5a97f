"""Writers and readers in processes of their own, on one lake at once: nothing is lost, nothing doubled.

They work for eight seconds; for longer with DRIFTMAP_LAKE_SECONDS=60 python -m pytest tests/storage/test_lake_many.py.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.database import Database
from storage.lake import compact_lake
from tests.postgres import Cluster
from tests.storage.lake_work import ROWS, totals

SECONDS = float(os.environ.get("DRIFTMAP_LAKE_SECONDS", "8"))


@dataclass
class Worker:
    """A process that reads or writes; what it says goes to a file, which outlives it."""

    process: subprocess.Popen[str]
    said: Path

    @classmethod
    def start(cls, kind: str, name: str, location: str, folder: Path, seconds: float) -> "Worker":
        said = folder / f"{name}.jsonl"
        arguments = [kind, name, location, str(folder / "lake"), str(seconds)]
        with said.open("w") as out, (folder / f"{name}.log").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.storage.lake_work", *arguments],
                env={**os.environ, "PYTHONPATH": os.getcwd(), "PGAPPNAME": name},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=errors,
                text=True,
            )
        return cls(process, said)

    def lines(self) -> list[tuple[str, str, int]]:
        """What it said so far; the last line may be cut off where it was killed."""
        whole = [line for line in self.said.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [tuple(json.loads(line)) for line in whole]

    def ready(self) -> None:
        while not self.lines():
            assert self.process.poll() is None, self.said.with_suffix(".log").read_text()
            time.sleep(0.05)

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Wait until it ends of its own accord."""
        self.process.communicate(timeout=240 + SECONDS)
        assert self.process.returncode == 0, self.said.with_suffix(".log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300 + 4 * SECONDS)
def test_three_writers_four_readers_and_one_that_is_killed_lose_and_double_nothing(
    postgres: Cluster, tmp_path: Path
) -> None:
    location = postgres.new_lake()
    start = [
        *(("write", f"w{number}") for number in range(3)),
        *(("read", f"r{number}") for number in range(4)),
    ]
    workers = [Worker.start(kind, name, location, tmp_path, SECONDS) for kind, name in start]
    workers.append(Worker.start("write", "victim", location, tmp_path, 10 * SECONDS))
    *lasting, victim = workers
    readers = lasting[3:]
    try:
        for worker in workers:
            worker.ready()
        for worker in workers:
            worker.go()
        time.sleep(SECONDS / 2)
        with Database.open(location) as database:
            compact_lake(database)  # in the middle of it all
        while len(victim.lines()) < 2 or not postgres.writes("victim"):
            assert victim.process.poll() is None
            time.sleep(0.005)
        time.sleep(0.03)
        victim.process.kill()
        victim.process.wait()
        for worker in lasting:
            worker.end()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.communicate()

    told = [line for worker in (*lasting[:3], victim) for line in worker.lines()]
    kept = {name for kind, name, n in told if kind == "rows" and n == ROWS}
    labelled = {name for kind, name, n in told if kind == "labels" and n == ROWS // 2}
    shared = {name for kind, name, _ in told if kind == "shared"}
    assert all(f"w{number}-0" in kept for number in range(3))
    with Database.open(location) as database:
        ids = Counter(dict(database.rows("SELECT id, count(*) FROM prediction GROUP BY id")))
        known = dict(database.rows("SELECT id, label IS NOT NULL FROM prediction"))
        whole = totals(database)
        models = database.rows("SELECT count(*), count(DISTINCT name) FROM model_class")
        runs_on = database.rows("SELECT count(*), count(DISTINCT version) FROM model_version")
    assert set(ids.values()) == {1}
    batches = Counter(name.rpartition("-")[0] for name in ids)
    assert set(batches.values()) == {ROWS}
    assert kept | shared <= set(batches)
    unheard = set(batches) - kept - shared  # kept, but killed before it could say so
    assert len(unheard) <= 1
    for name in labelled:
        assert all(known[f"{name}-{row}"] for row in range(0, ROWS, 2))
    assert whole["rollups"] == whole["rows"]
    assert whole["rows"][0] == len(ids)
    assert whole["rows"][1] == sum(known.values())
    assert (models, runs_on) == ([(2, 2)], [(1, 1)])
    for reader in readers:
        seen = [n for kind, _, n in reader.lines() if kind == "seen"]
        assert len(seen) > 1
        assert seen == sorted(seen)
        assert all(n % ROWS == 0 for n in seen)
