"""What the map and the charts of Explore are drawn from: read together, once for both."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from app.context import Context
from app.filters import bounds, grown, kept, whole
from app.pages.explore_ground import Ground, Grounds, Stamp
from app.selection import Box, Selection
from app.views.layers import LAYERS, Layer, fitting_level, legible
from monitoring.tally import Tally, tally
from storage.database import Stop
from storage.looks import CellsOf, Raster, look
from storage.queries import Filter, outcomes, predictions, quick_level

PIXELS = 900  # about as wide as the map is; cells are powers of two in size, so it need not be exact
SINGLE = 1500  # so many predictions in sight, or fewer, are drawn one by one
MOST_WHOLES = 12  # windows of time, one after the other, whose sums are kept

# As many as there are cores: more at once would only wait for each other, and all would come late.
READERS = ThreadPoolExecutor(max(2, os.cpu_count() or 2), "driftmap-look")
# Fine cells follow a picture that is there already, so they never take both cores from who waits for one.
REFINER = ThreadPoolExecutor(1, "driftmap-refine")


@dataclass(frozen=True)
class Sums:
    """What the charts are drawn from. `spread`: as `selected`, at any confidence."""

    ground: Ground
    whole: Tally
    selected: Tally
    spread: Tally
    days: pd.DataFrame


@dataclass(frozen=True)
class Picture:
    """What the map is drawn from: cells or, where there are few, single predictions (`rows`).

    `asked` are the cells that were read, and `fitting` is the level that fits the screen.
    """

    ground: Ground
    layer: Layer
    view: Box
    asked: CellsOf
    fitting: int
    cells: Raster
    rows: pd.DataFrame | None


@dataclass(frozen=True)
class Asked:
    """What of a Selection decides what is read."""

    kept: Filter
    whole: Filter
    view: Box | None
    box: Box | None
    layer: str

    @classmethod
    def by(cls, selection: Selection) -> "Asked":
        return cls(kept(selection), whole(selection), selection.view, selection.box, selection.layer)


class Looks:
    """What is read for one session. What did not change from one look to the next is not read again."""

    def __init__(self, context: Context) -> None:
        self.selection, self.database = context.selection, context.database
        self._grounds = Grounds(context.database)
        self._asked: Asked | None = None
        self._reading: asyncio.Future[tuple[Picture, Sums]] | None = None
        self._wholes: dict[tuple[Filter, Stamp], Tally] = {}
        self._last: dict[str, tuple[Any, Any]] = {}  # the last cells, outcomes and days, and what they are of

    async def now(self) -> tuple[Picture, Sums]:
        """What to draw for the Selection as it is: read once for all who ask for the same at the same time."""
        asked = Asked.by(self.selection)
        if self._reading is None or self._reading.done() or asked != self._asked:
            self._asked = asked
            self._reading = asyncio.get_running_loop().run_in_executor(READERS, self.read, asked)
        return await asyncio.shield(self._reading)

    async def finer(self, drawn: Picture, newer: asyncio.Event) -> Picture | None:
        """`drawn` in cells that fit the screen; None where something `newer` is asked for before they are read."""
        stop = Stop()
        reading = asyncio.get_running_loop().run_in_executor(REFINER, self._read_finer, drawn, stop)
        waiting = asyncio.create_task(newer.wait())
        await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
        if newer.is_set():
            reading.cancel()
            stop.ask()
            return None
        waiting.cancel()
        return await reading

    def read(self, asked: Asked) -> tuple[Picture, Sums]:
        """What to draw, all of one moment."""
        with self.database.reading():
            ground = self._grounds.of(asked.kept.model)
            layer, view = LAYERS[asked.layer], asked.view or ground.look(asked.kept.region)
            seen, fitting = replace(asked.kept, bounds=grown(view, 0.12)), fitting_level(view, PIXELS)
            level = quick_level(self.database, seen, fitting)
            wanted = replace(asked.kept, bounds=bounds(asked.box, asked.view, ground.extent))
            spread = replace(wanted, confidence=None)
            cells = CellsOf(seen, level, layer.key == "predicted")
            questions: dict[str, Any] = {"cells": cells, "days": replace(wanted, start=None, end=None)}
            if wanted != asked.whole:
                # Bins that are brushed are a part of all bins, so those are read.
                questions["outcomes"] = wanted if wanted.bins is None else spread
            found = self._answers(ground, questions)
            sums = self._sums(ground, asked.whole, wanted, spread, found)
            return self._picture(ground, layer, view, fitting, cells, found["cells"]), sums

    def _read_finer(self, drawn: Picture, stop: Stop) -> Picture:
        ground, fine = drawn.ground, replace(drawn.asked, level=drawn.fitting)
        with self.database.reading(stop):
            cells = self._answers(ground, {"cells": fine})["cells"]
            return self._picture(ground, drawn.layer, drawn.view, drawn.fitting, fine, cells)

    def _answers(self, ground: Ground, questions: dict[str, Any]) -> dict[str, Any]:
        """The answers to `questions`; those that were asked last time, and nothing came since, are known."""
        new = {
            name: question
            for name, question in questions.items()
            if self._last.get(name, (None, None))[0] != (question, ground.stamp)
        }
        if new:
            answer = look(self.database, ground.model, **new)
            for name, question in new.items():
                self._last[name] = (question, ground.stamp), getattr(answer, name)
        return {name: self._last[name][1] for name in questions}

    def _picture(self, ground: Ground, layer: Layer, view: Box, fitting: int, asked: CellsOf, cells: Raster) -> Picture:
        few = 0 < cells.sums["n"].sum() <= SINGLE
        rows = predictions(self.database, asked.filter_, SINGLE) if few else None
        return Picture(ground, layer, view, asked, fitting, cells if few else legible(cells, layer), rows)

    def _sums(self, ground: Ground, whole: Filter, wanted: Filter, spread: Filter, found: dict[str, Any]) -> Sums:
        everything, days = self._whole(ground, whole), found["days"]
        if wanted == whole:
            return Sums(ground, everything, everything, everything, days)
        judged, classes = found["outcomes"], len(ground.classes)
        if wanted.bins is not None:
            low, high = wanted.bins
            selected = judged[judged["confidence_bin"].between(low, high - 1)]
            return Sums(ground, everything, tally(selected, classes), tally(judged, classes), days)
        selected = tally(judged, classes)
        if wanted == spread:
            return Sums(ground, everything, selected, selected, days)
        return Sums(ground, everything, selected, tally(outcomes(self.database, spread), classes), days)

    def _whole(self, ground: Ground, whole: Filter) -> Tally:
        """The sums of all that a selection is compared with. Read again only where they may be others."""
        asked = (whole, ground.stamp)
        if asked not in self._wholes:
            if len(self._wholes) == MOST_WHOLES:
                del self._wholes[next(iter(self._wholes))]
            self._wholes[asked] = tally(outcomes(self.database, whole), len(ground.classes))
        return self._wholes[asked]
