"""People at one real server: how long each waits for the map's new image, and what memory the server takes.

    python benchmarks/users.py --rows 1000000 --users 10 --seconds 60 --json

A `driftmap serve` process over the store, and --users websocket sessions that speak Bokeh's protocol (no browser: ten
of them would need more than two cores by themselves). Each pans and zooms the map on a walk of its own with one to two
seconds in between. A wait lasts from the moved ranges to the arrival of the new image at the client; the 100 ms for
which the server collects further moves are in it, and so is the drawing by Bokeh's models. The clients share the
machine with the server.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from dashboard import views
from harness import Figures, Memory, measured, mib, opened, options, percentiles, processor, resident
from people import Person
from world import World

import storage

START_SECONDS = 120
T = TypeVar("T")
ROOT = Path(storage.__file__).parents[1]


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    with opened(world, chosen, folder) as database:
        location = Path(database.location).resolve()
    configuration = folder / "driftmap.yaml"
    model = world.model.model_dump(mode="json", exclude={"name"})
    regions = {"districts": {"path": str(world.regions.resolve()), "parent": None}}
    configuration.write_text(
        yaml.safe_dump({"database": str(location), "regions": regions, "models": {"crops": model}}), encoding="utf-8"
    )
    with serving(configuration, folder / "server.log") as (url, process), Memory(process) as memory:
        people, busy = apart(panning(url, process, chosen.users, chosen.seconds, world.seed))
        end = resident(process)
        peak = memory.peak[process]
    waits = [wait for person in people for wait in person.latencies]
    return {
        "users": chosen.users,
        "seconds": chosen.seconds,
        "wait": percentiles(waits),
        "moves_without_an_image": sum(person.lost for person in people),
        "moves_per_second": round(len(waits) / chosen.seconds, 2),
        "server_processor_ms_a_move": round(busy * 1000 / max(len(waits), 1)),
        "opening_the_page": percentiles([person.opening for person in people]),
        "server_memory": {"start_mib": mib(memory.start), "peak_mib": mib(peak), "end_mib": mib(end)},
        "received_mib": mib(sum(person.received for person in people)),
    }


async def panning(url: str, process: int, users: int, seconds: float, seed: int) -> tuple[list[Person], float]:
    """The people after so many seconds of panning, and the processor seconds of the server during those.

    They open the page one after the other before that.
    """
    people = [await Person(url).arrive() for _ in range(users)]
    busy, end = processor(process), time.perf_counter() + seconds

    async def pan(person: Person, seed: int) -> None:
        generator = np.random.default_rng(seed)
        await asyncio.sleep(float(generator.uniform(0, 1.5)))
        walk = views(10_000, seed)
        for view in walk[int(generator.integers(1, 100)) :]:  # people are at work, not all at the whole map
            if time.perf_counter() >= end:
                return
            await person.move(view)
            await asyncio.sleep(float(generator.uniform(1, 2)))

    await asyncio.gather(*(pan(person, seed + number) for number, person in enumerate(people)))
    busy = processor(process) - busy
    for person in people:
        person.leave()
    return people, busy


def apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns, run in a thread of its own, so that it may be called from anywhere."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextmanager
def serving(configuration: Path, log: Path) -> Iterator[tuple[str, int]]:
    """The address of a server that runs meanwhile, and its process."""
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--config", str(configuration.resolve()), "--no-monitor"]
    command += ["--port", str(port), "--api-port", str(free_port())]
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
    url = f"http://127.0.0.1:{port}/"
    try:
        until_it_answers(url, server, log)
        yield url, server.pid
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def until_it_answers(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url + "favicon.ico", timeout=START_SECONDS):
                return
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise SystemExit(f"The server did not start:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    chosen = options(
        __doc__,
        ("--users", {"type": int, "default": 10}),
        ("--seconds", {"type": float, "default": 60.0}),
    )
    measured("users", chosen, measure)


if __name__ == "__main__":
    main()
