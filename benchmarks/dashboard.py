"""What people do on the page Explore, and the server's whole answer to it, short of the network and the browser.

An answer is what the page does after each event: `Map.refresh` and `Charts.refresh` at the same time, queries in
threads, until Bokeh's models hold the new image with its lines and legend, and every linked chart.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import numpy as np
from bokeh.document import Document
from world import CLASSES, COLUMNS, DAYS, HEIGHT, ROWS, SOUTH, START, WEST, WIDTH

from app.context import Context, Theme
from app.pages.explore_charts import Charts
from app.pages.explore_ground import Ground
from app.pages.explore_looks import PIXELS, Looks, Picture
from app.pages.explore_map import Map
from app.selection import LAYERS as LAYER_NAMES
from app.selection import Box, Selection
from app.workspace import Workspace
from monitoring.configuration import Configuration
from storage import grid
from storage.database import Database

HIGH = 600  # pixels
BRUSHES = ("box", "region", "class", "time", "confidence")
UNTOUCHED = {"start": None, "end": None, "region": None, "classes": [], "confidence": None, "box": None, "view": None}


@dataclass(frozen=True)
class Event:
    """One thing that a person does: its kind, and what the Selection holds afterwards."""

    kind: str
    chosen: dict[str, Any]

    def selection(self) -> Selection:
        return Selection(model="crops", **self.chosen)


@dataclass
class Answer:
    """Seconds from the event to the whole answer, and those to its parts. `single`: single predictions were drawn."""

    total: float
    parts: dict[str, float]
    single: bool


class TimedMap(Map):
    """The map, which remembers when it drew, how long that took, and whether single predictions."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.drawn: list[tuple[float, float]] = []
        self.single = False

    def show(self, found: Picture) -> None:
        started = time.perf_counter()
        super().show(found)
        self.drawn.append((started, time.perf_counter()))
        self.single = found.rows is not None


class Explorer:
    """One person's page: the answer to each event in turn."""

    def __init__(self, database: Database) -> None:
        context = Context(Workspace(Configuration(), database), Selection(model="crops"), Theme())
        looks = Looks(context)
        self.selection = context.selection
        self.map, self.charts = TimedMap(context, looks), Charts(context, looks)
        self.document: Document | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    @property
    def ground(self) -> Ground:
        assert self.map.ground is not None
        return self.map.ground

    def answer(self, event: Event) -> Answer:
        return asyncio.run_coroutine_threadsafe(self._answer(event), self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _answer(self, event: Event) -> Answer:
        self.map.drawn = []
        started, busy = time.perf_counter(), time.process_time()
        self.selection.param.update(**UNTOUCHED | event.chosen)
        charts = asyncio.create_task(self._charts(started))
        await self.map.refresh()
        first, last = self.map.drawn[0], self.map.drawn[-1]
        charted = await charts
        total = max(first[1] - started, charted)
        if self.document is None:
            self.document = Document()
            for pane in (self.map.pane, *self.charts.panes.values()):
                self.document.add_root(pane.get_root(self.document))
            total = time.perf_counter() - started
        parts = {
            "first_picture": first[1] - started,
            "fine_picture": last[1] - started,
            "drawing_the_map": sum(end - start for start, end in self.map.drawn),
            "charts": charted,
            "processor": time.process_time() - busy,  # of all threads; says more where others load the machine
        }
        return Answer(total, parts, self.map.single)

    async def _charts(self, started: float) -> float:
        await self.charts.refresh()
        return time.perf_counter() - started


def whole_map() -> tuple[float, float, float, float]:
    """The box of the world in EPSG:3857 metres."""
    x, y = grid.position(np.array([WEST, WEST + WIDTH]), np.array([SOUTH, SOUTH + HEIGHT]))
    (west, east), (south, north) = grid.to_metres(x, y)
    return float(west), float(south), float(east), float(north)


def views(moves: int, seed: int) -> list[Box]:
    """Views in EPSG:3857 metres: from the whole extent a random walk of pans, zooms in and out, down to 1/256."""
    generator = np.random.default_rng(seed)
    west, south, east, north = whole_map()
    widest = east - west
    centre, width, found = np.array([(west + east) / 2, (south + north) / 2]), widest, []
    for _ in range(moves):
        found.append(seen_from(centre, width))
        move = generator.choice(["pan", "in", "out"], p=[0.5, 0.28, 0.22])
        width = float(np.clip(width * {"pan": 1, "in": 0.5, "out": 2}[move], widest / 256, widest))
        centre = np.clip(centre + generator.uniform(-0.4, 0.4, 2) * width, (west, south), (east, north))
    return found


def seen_from(centre: Any, width: float) -> Box:
    height = width * HIGH / PIXELS
    return (
        float(centre[0] - width / 2), float(centre[1] - height / 2),
        float(centre[0] + width / 2), float(centre[1] + height / 2),
    )  # fmt: skip


def moves(count: int, seed: int) -> list[Event]:
    """A walk over the map. Each move has a layer and a window of time; all their pairs come equally often."""
    generator = np.random.default_rng([seed, 1])
    pairs = [(layer, window) for layer in LAYER_NAMES for window in ("all", "last 30 days", "last 7 days", "brushed")]
    order = [pair for _ in range(-(-count // len(pairs))) for pair in generator.permutation(len(pairs))]
    events = []
    for view, number in zip(views(count, seed), order, strict=False):
        layer, window = pairs[number]
        events.append(Event(f"{layer}, {window}", {"view": view, "layer": layer, **days(window, generator)}))
    return events


def days(window: str, generator: np.random.Generator) -> dict[str, date]:
    """The first day and the day after the last."""
    if window == "all":
        return {}
    first, length = 0, 0
    if window == "brushed":
        length = int(generator.integers(3, 46))
        first = int(generator.integers(0, DAYS - length))
    else:
        length = int(window.split()[1])
        first = DAYS - length
    start = START.date() + timedelta(days=first)
    return {"start": start, "end": start + timedelta(days=length)}


def brushed(each: int, seed: int) -> list[Event]:
    """Every brush alone and every two together, `each` times; every other time the map is zoomed in first."""
    generator = np.random.default_rng([seed, 2])
    kinds = [(brush,) for brush in BRUSHES] + list(combinations(BRUSHES, 2))
    return [event for number in range(each) for event in _brushes(kinds, number, generator)]


def _brushes(kinds: list[tuple[str, ...]], number: int, generator: np.random.Generator) -> Iterator[Event]:
    west, south, east, north = whole_map()
    for kind in kinds:
        chosen: dict[str, Any] = {"layer": LAYER_NAMES[int(generator.integers(0, len(LAYER_NAMES)))]}
        centre = generator.uniform((west, south), (east, north))
        width = (east - west) / 2 ** generator.uniform(1, 5)
        if number % 2 and "region" not in kind:
            chosen["view"] = seen_from(centre, width)
        if "box" in kind:
            place = centre if "view" in chosen else np.array([(west + east) / 2, (south + north) / 2])
            within = width if "view" in chosen else east - west
            chosen["box"] = seen_from(
                place + generator.uniform(-0.1, 0.1, 2) * within, within * generator.uniform(0.1, 0.8)
            )
        if "region" in kind:
            chosen["region"] = f"d{generator.integers(0, COLUMNS * ROWS)}"
        if "class" in kind:
            picked = generator.choice(len(CLASSES), int(generator.integers(1, 3)), replace=False)
            chosen["classes"] = [CLASSES[code] for code in sorted(picked)]
        if "time" in kind:
            chosen |= days("brushed", generator)
        if "confidence" in kind:
            low = int(generator.integers(5, 18))
            high = int(generator.integers(low + 1, 21))
            chosen["confidence"] = (low / 20, high / 20)
        yield Event(" and ".join(kind), chosen)
