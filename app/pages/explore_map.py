"""The map of the page Explore: land, the layer's cells or single predictions, borders, regions, the box."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import CustomJS

from app.context import Context
from app.filters import KEPT, contains, grown
from app.pages.explore_ground import Ground
from app.pages.explore_looks import PIXELS, Looks, Picture
from app.selection import Box
from app.states import markup
from app.views.basemap import borders, borders_content, land, land_content
from app.views.layers import (
    SUMS,
    layer_content,
    layer_image,
    legend,
    points_content,
    points_of,
)
from app.views.live import EDGES_OF_BARS, Content, Live
from app.views.outlines import outlines, outlines_content
from app.views.style import ACCENT
from app.wiring import follow_box, follow_view, same_view
from storage.grid import snapped_metres
from storage.looks import Raster

REST = 0.4  # seconds without another move after which fine cells are read
NO_CELLS = Raster(0, 0, 0, {name: np.zeros((1, 1)) for name in SUMS}, np.zeros((1, 1, 1)))

# One metre is as long to the right as it is up, whatever the shape of the plot.
KEEP_SHAPE = """
const [w, h] = [fig.inner_width, fig.inner_height]
if (w > 10 && h > 10) {
  const [x, y] = [fig.x_range, fig.y_range]
  const scale = Math.max((x.end - x.start) / w, (y.end - y.start) / h)
  const [cx, cy] = [(x.start + x.end) / 2, (y.start + y.end) / 2]
  x.setv({start: cx - scale * w / 2, end: cx + scale * w / 2})
  y.setv({start: cy - scale * h / 2, end: cy + scale * h / 2})
}
"""


class Map:
    """The map and its legend; `refresh` brings both to what the Selection says."""

    def __init__(self, context: Context, looks: Looks) -> None:
        self.context, self.looks = context, looks
        self.pane = pn.pane.HoloViews(sizing_mode="stretch_both", min_height=320, margin=0, linked_axes=False)
        self.legend = markup("", margin=(2, 10, 4, 10))
        self.ground: Ground | None = None
        self.figure: Any = None
        self.view: Box | None = None  # of the last picture
        self.lines: tuple[Box, int | None] | None = None  # around which view and region lines were drawn
        self.streams: list[hv.streams.Stream] = []
        self.parts: dict[str, Live] = {}
        self.newer = asyncio.Event()
        context.selection.param.watch(lambda *_: self.newer.set(), [*KEPT, "view", "box", "layer"])

    async def refresh(self) -> None:
        """First from cells that are had at once, then, unless something else was asked meanwhile, from fine ones."""
        self.newer = newer = asyncio.Event()
        found, _ = await self.looks.now()
        self.show(found)
        if found.asked.level < found.fitting:
            with suppress(TimeoutError):  # not for somebody who goes on panning
                await asyncio.wait_for(newer.wait(), REST)
                return
            finer = await self.looks.finer(found, newer)
            if finer is not None:
                self.show(finer)

    def show(self, found: Picture) -> None:
        """Draw the cells, or single predictions where there are few."""
        selection, dark, pixel = (
            self.context.selection,
            self.context.theme.dark,
            (found.view[2] - found.view[0]) / PIXELS,
        )
        ground, layer, view, rows = found.ground, found.layer, found.view, found.rows
        if self.ground is None or self.ground.model != ground.model:
            self.parts, self.lines = {}, None
        self.ground = ground
        chosen = ground.place(selection.region)
        shown = found.cells if rows is None else NO_CELLS
        sums: dict[str, tuple[Any, ...]] = {
            "cells": (layer, shown, ground.classes, dark),
            "points": (rows, ground.classes),
            "box": (selection.box and snapped_metres(selection.box),),  # what is counted: whole cells
        }
        if self.lines is None or out_of_date(self.lines, (view, chosen)):
            self.lines = (view, chosen)
            sums["land"] = sums["borders"] = (view, pixel)
            sums["outlines"] = (ground.boundaries, chosen, view, pixel)
        seen = bool((found.cells.sums["n"] > 0).any())
        words = legend(layer, ground.classes, dark, shown=seen, single=rows is not None)
        if self.parts:
            with pn.io.unlocked():  # all in one message to the browser
                self.legend.object = words
                for name, each in sums.items():
                    self.parts[name].show(*each)
                if not self.newer.is_set():
                    self.move_to(view)
        else:
            self.legend.object = words
            self.draw(sums, view)
        self.view = view

    def draw(self, sums: dict[str, tuple[Any, ...]], view: Box) -> None:
        """Make the plot anew, with its gestures."""
        self.figure = self.view = None
        self.parts = {name: Live(*PARTS[name], *sums[name], bare=BARE.get(name)) for name in PARTS}
        cells = self.parts["cells"].dynamic
        self.streams = [
            follow_view(self.context.selection, cells, self.is_home),
            follow_box(self.context.selection, cells),
        ]
        self.pane.object = hv.Overlay([part.dynamic for part in self.parts.values()]).collate().opts(
            hv.opts.Overlay(
                responsive=True, xlim=(view[0], view[2]), ylim=(view[1], view[3]),
                xaxis="bottom", yaxis="left", xlabel="", ylabel="",
                show_grid=False, show_legend=False, default_tools=[], hooks=[self.frame],
                tools=["pan", "box_select", "wheel_zoom", "hover"], active_tools=["pan", "wheel_zoom"],
                toolbar="above",
            )
        )  # fmt: skip

    def frame(self, plot: Any, element: Any) -> None:
        """A HoloViews hook: keep the shape of the map, and hold on to the figure."""
        shown = plot.state
        if self.figure is shown:
            return
        self.figure = shown
        if self.view is not None:  # the page was left and is opened again
            self.look_at(self.view)
        shown.toolbar.logo = None
        shown.min_border = 0
        shown.outline_line_alpha = 0
        keep = CustomJS(args={"fig": shown}, code=KEEP_SHAPE)
        shown.js_on_change("inner_width", keep)
        shown.js_on_change("inner_height", keep)

    def move_to(self, view: Box) -> None:
        """Show `view`, where it is the address or a reset that asks for it and not the map itself."""
        if self.figure is None:
            return
        ranges = self.figure.x_range, self.figure.y_range
        now = (ranges[0].start, ranges[1].start, ranges[0].end, ranges[1].end)
        home = self.context.selection.view is None and self.is_home(now)
        moved = self.streams[0].contents.get("x_range") is not None
        if not home and moved and not same_view(view, now):
            self.look_at(view)

    def look_at(self, view: Box) -> None:
        self.figure.x_range.update(start=view[0], end=view[2])
        self.figure.y_range.update(start=view[1], end=view[3])

    def is_home(self, view: Box) -> bool:
        """Whether `view` shows the first look, and not much around it."""
        assert self.ground is not None
        look = self.ground.look(self.context.selection.region)
        size = max(look[2] - look[0], look[3] - look[1])
        close = max(view[2] - view[0], view[3] - view[1]) < 4 * size
        return close and contains(view, grown(look, -0.03))


def out_of_date(drawn: tuple[Box, int | None], now: tuple[Box, int | None]) -> bool:
    """Whether lines that were drawn around one view (as far as its size on each side) no longer do for another."""
    (old, old_region), (view, region) = drawn, now
    zoom = (view[2] - view[0]) / (old[2] - old[0])
    return region != old_region or not 0.5 < zoom < 1.6 or not contains(grown(old, 1.0), view)


def box_outline(box: Box | None) -> hv.Rectangles:
    """The box that is selected."""
    return hv.Rectangles([box] if box else [], EDGES_OF_BARS).opts(
        fill_alpha=0.06, fill_color=ACCENT, line_color=ACCENT, line_width=2, apply_ranges=False
    )


def box_content(box: Box | None) -> Content:
    """What `box_outline` draws, as columns."""
    edges = zip(EDGES_OF_BARS, box, strict=True) if box else ((name, None) for name in EDGES_OF_BARS)
    return Content(({name: np.array([] if edge is None else [edge], float) for name, edge in edges},))


def _map_cells(*sums: Any) -> hv.Element:
    return layer_image(*sums).opts(default_tools=[], tools=["pan", "box_select", "wheel_zoom"])


# How each part is drawn, and what columns its glyphs have; the first at the back.
AT_SEA: Box = (0.0, 0.0, 1.0, 1.0)
# Lines of three hundred regions take HoloViews seconds, and a moment where they are written as columns.
BARE: dict[str, tuple[Any, ...]] = {
    "borders": (AT_SEA, 1.0),
    "outlines": (np.empty(0, dtype=object), None, AT_SEA, 1.0),
}
PARTS: dict[str, tuple[Callable[..., hv.Element], Callable[..., Content]]] = {
    "land": (land, land_content),
    "cells": (_map_cells, layer_content),
    "borders": (borders, borders_content),
    "outlines": (outlines, outlines_content),
    "points": (points_of, points_content),
    "box": (box_outline, box_content),
}
