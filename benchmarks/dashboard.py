"""What people do on the page Explore, and the server's whole answer to it short of Bokeh's own drawing.

An answer calls what the page calls: the map's cells as an image, with land, borders, regions and legend, and the
sums behind the linked charts with each chart as an element; the two at the same time, queries in threads, as on
the server. Not in it: Bokeh's models, the websocket and the browser.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import numpy as np
from world import CLASSES, COLUMNS, DAYS, HEIGHT, ROWS, SOUTH, START, WEST, WIDTH

from app.context import fetch
from app.filters import grown, kept
from app.pages.explore_charts import read_sums, words
from app.pages.explore_map import PIXELS, Ground, out_of_date, read_cells
from app.selection import LAYERS as LAYER_NAMES
from app.selection import Box, Selection
from app.views.basemap import borders, land
from app.views.calibration import calibration_curve
from app.views.confidence import confidence_histogram
from app.views.errors import error_heatmap
from app.views.figures import selection_figures
from app.views.layers import LAYERS, layer_image, legend, points_of
from app.views.outlines import outlines
from app.views.timeline import timeline
from storage import grid
from storage.database import Database

HIGH = 600  # pixels
BRUSHES = ("box", "region", "class", "time", "confidence")


@dataclass(frozen=True)
class Event:
    """One thing that a person does: its kind, and what the Selection holds afterwards."""

    kind: str
    chosen: dict[str, Any]

    def selection(self) -> Selection:
        return Selection(model="crops", **self.chosen)


@dataclass
class Answer:
    """Seconds from the event to the whole answer, and those of its parts (map and charts overlap)."""

    total: float
    parts: dict[str, float]
    single: bool


@dataclass
class Explorer:
    """One person's page: the answer to each event in turn."""

    database: Database
    ground: Ground
    drawn: tuple[Box, int | None] | None = field(default=None)

    def answer(self, event: Event) -> Answer:
        return asyncio.run(self.answering(event))

    async def answering(self, event: Event) -> Answer:
        started, busy = time.perf_counter(), time.process_time()
        selection = event.selection()
        parts: dict[str, float] = {}
        single, _ = await asyncio.gather(self._map(selection, parts), self._charts(selection, parts))
        parts["processor"] = time.process_time() - busy  # of all threads; says more where others load the machine
        return Answer(time.perf_counter() - started, parts, single)

    async def _map(self, selection: Selection, parts: dict[str, float]) -> bool:
        started = time.perf_counter()
        ground, layer = self.ground, LAYERS[selection.layer]
        view = selection.view or ground.look(selection.region)
        wanted = replace(kept(selection), bounds=grown(view, 0.12))
        table, level, rows = await fetch(read_cells, self.database, wanted, layer, view)
        read = time.perf_counter()
        layer_image(layer, table if rows is None else table.iloc[:0], level, ground.classes, False)
        if rows is not None:
            points_of(rows, ground.classes)
        pixel, chosen = (view[2] - view[0]) / PIXELS, ground.place(selection.region)
        imaged = time.perf_counter()
        if self.drawn is None or out_of_date(self.drawn, (view, chosen)):
            self.drawn = (view, chosen)
            land(view, pixel)
            borders(view, pixel)
            outlines(ground.boundaries, chosen, view, pixel)
        legend(layer, ground.classes, False, shown=len(table), single=rows is not None)
        parts["map_query"], parts["map_image"] = read - started, imaged - read
        parts["map_lines"], parts["map"] = time.perf_counter() - imaged, time.perf_counter() - started
        return rows is not None

    async def _charts(self, selection: Selection, parts: dict[str, float]) -> None:
        started = time.perf_counter()
        found = await fetch(read_sums, self.database, selection)
        read = time.perf_counter()
        rest, spread_rest = found.whole - found.selected, found.whole - found.spread
        words(selection, found)
        selection_figures(found.selected, rest)
        calibration_curve(found.selected, rest)
        confidence_histogram(found.spread, spread_rest, selection.confidence)
        error_heatmap(found.selected, found.classes, False)
        timeline(found.days)
        parts["charts_query"], parts["charts_drawing"] = read - started, time.perf_counter() - read
        parts["charts"] = time.perf_counter() - started


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
