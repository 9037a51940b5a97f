"""The map of the page Explore: land, the layer's cells or single predictions, borders, regions, the box."""

from dataclasses import dataclass, field, replace
from typing import Any

import geopandas as gpd
import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd
import panel as pn
import shapely
from bokeh.models import CustomJS

from app.context import Context, fetch
from app.filters import contains, grown, kept
from app.selection import Box
from app.states import markup
from app.views.basemap import borders, land
from app.views.layers import LAYERS, Layer, fitting_level, layer_image, legend, legible, points_of
from app.views.outlines import in_metres, outlines
from app.views.style import ACCENT
from app.wiring import follow_box, follow_view, same_view
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.queries import Filter, cells, class_cells, extent, predictions
from storage.regions import region_geometries

PIXELS = 900  # about as wide as the map is; cells are powers of two in size, so it need not be exact
SINGLE = 1500  # so many predictions in sight, or fewer, are drawn one by one
ORDER = ("land", "cells", "borders", "outlines", "points", "box")  # the first at the back
NO_ROWS = ["id", "x", "y", "predicted", "label", "confidence", "predicted_at"]

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


@dataclass(frozen=True)
class Ground:
    """What of a model does not change from one look to the next. Boxes and boundaries in EPSG:3857 metres."""

    model: str
    classes: list[str]
    extent: Box
    region_ids: list[str] = field(default_factory=list)
    boundaries: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))

    def place(self, region: str | None) -> int | None:
        """Where `region` is in `boundaries`."""
        return self.region_ids.index(region) if region in self.region_ids else None

    def look(self, region: str | None) -> Box:
        """The first look: the region or, without one, the model's extent, with a margin; at least 500 m wide."""
        place = self.place(region)
        found = self.extent if place is None else shapely.bounds(self.boundaries[place])
        xmin, ymin, xmax, ymax = (float(edge) for edge in found)
        least = max(0.0, 500 - max(xmax - xmin, ymax - ymin)) / 2
        return grown((xmin - least, ymin - least, xmax + least, ymax + least), 0.04)


def read_ground(database: Database, model: str) -> Ground:
    """The ground of `model`, which has at least one prediction."""
    found = extent(database, model)
    assert found is not None
    regions = stored_model(database, model).regions
    if regions is None:
        return Ground(model, class_names(database, model), found)
    shapes: gpd.GeoDataFrame = region_geometries(database, regions)
    return Ground(model, class_names(database, model), found, list(shapes["id"]), in_metres(shapes))


class Map:
    """The map and its legend; `refresh` brings both to what the Selection says."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.pane = pn.pane.HoloViews(sizing_mode="stretch_both", min_height=320, margin=0)
        self.legend = markup("", margin=(2, 10, 4, 10))
        self.ground: Ground | None = None
        self.figure: Any = None
        self.drawn: tuple[Box, int | None] | None = None
        self.streams: list[hv.streams.Stream] = []
        self.pipes: dict[str, hv.streams.Pipe] = {}

    async def refresh(self) -> None:
        selection, database = self.context.selection, self.context.database
        if self.ground is None or self.ground.model != selection.model:
            self.ground = await fetch(read_ground, database, selection.model)
            self.pipes, self.drawn = {}, None
        ground, layer, dark = self.ground, LAYERS[selection.layer], self.context.theme.dark
        view = selection.view or ground.look(selection.region)
        wanted = replace(kept(selection), bounds=grown(view, 0.12))
        table, level, rows = await fetch(read_cells, database, wanted, layer, view)
        pixel = (view[2] - view[0]) / PIXELS
        chosen = ground.place(selection.region)
        elements = {
            "cells": layer_image(layer, table if rows is None else table.iloc[:0], level, ground.classes, dark),
            "points": points_of(_no_rows() if rows is None else rows, ground.classes),
            "box": box_outline(selection.box),
        }
        if self.drawn is None or out_of_date(self.drawn, (view, chosen)):
            self.drawn = (view, chosen)
            elements["land"] = land(view, pixel)
            elements["borders"] = borders(view, pixel)
            elements["outlines"] = outlines(ground.boundaries, chosen, view, pixel)
        self.legend.object = legend(layer, ground.classes, dark, shown=len(table), single=rows is not None)
        if self.pipes:
            for name, element in elements.items():
                self.pipes[name].update(data=element)
            # All at once, so that the plot is brought up to date once.
            hv.streams.Stream.trigger([self.pipes[name] for name in elements])
            self.move_to(view)
        else:
            self.draw({name: elements[name] for name in ORDER}, view)

    def draw(self, elements: dict[str, hv.Element], view: Box) -> None:
        """Make the plot anew, with its gestures."""
        self.figure = None
        self.pipes = {name: hv.streams.Pipe(data=element).rename(data=name) for name, element in elements.items()}
        for name, element in elements.items():
            element.opts(default_tools=[], tools=["pan", "box_select", "wheel_zoom"] if name == "cells" else [])
        parts = {name: hv.DynamicMap(_as_sent, streams=[pipe]) for name, pipe in self.pipes.items()}
        self.streams = [
            follow_view(self.context.selection, parts["cells"], self.is_home),
            follow_box(self.context.selection, parts["cells"]),
        ]
        self.pane.object = hv.Overlay(list(parts.values())).collate().opts(
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
        shown.toolbar.logo = None
        shown.min_border = 0
        shown.outline_line_alpha = 0
        keep = CustomJS(args={"fig": shown}, code=KEEP_SHAPE)
        shown.js_on_change("inner_width", keep)
        shown.js_on_change("inner_height", keep)

    def move_to(self, view: Box) -> None:
        """Show `view`, where it is the address or a reset that asks for it and not the map itself."""
        ranges = self.figure.x_range, self.figure.y_range
        now = (ranges[0].start, ranges[1].start, ranges[0].end, ranges[1].end)
        home = self.context.selection.view is None and self.is_home(now)
        moved = self.streams[0].contents.get("x_range") is not None
        if not home and moved and not same_view(view, now):
            ranges[0].update(start=view[0], end=view[2])
            ranges[1].update(start=view[1], end=view[3])

    def is_home(self, view: Box) -> bool:
        """Whether `view` shows the first look, and not much around it."""
        assert self.ground is not None
        look = self.ground.look(self.context.selection.region)
        size = max(look[2] - look[0], look[3] - look[1])
        close = max(view[2] - view[0], view[3] - view[1]) < 4 * size
        return close and contains(view, grown(look, -0.03))


def read_cells(
    database: Database, wanted: Filter, layer: Layer, view: Box
) -> tuple[pd.DataFrame, int, pd.DataFrame | None]:
    """Cells for `layer` and their level; and single predictions where few are in sight."""
    level = fitting_level(view, PIXELS)
    query = class_cells if layer.key == "predicted" else cells
    table = query(database, wanted, level)
    if 0 < table["n"].sum() <= SINGLE:
        return table, level, predictions(database, wanted, SINGLE)
    return *legible(table, level, layer), None


def out_of_date(drawn: tuple[Box, int | None], now: tuple[Box, int | None]) -> bool:
    """Whether lines that were drawn around one view (as far as its size on each side) no longer do for another."""
    (old, old_region), (view, region) = drawn, now
    zoom = (view[2] - view[0]) / (old[2] - old[0])
    return region != old_region or not 0.5 < zoom < 1.6 or not contains(grown(old, 1.0), view)


def box_outline(box: Box | None) -> hv.Rectangles:
    """The box that is selected."""
    return hv.Rectangles([box] if box else [], ["x0", "y0", "x1", "y1"]).opts(
        fill_alpha=0.06, fill_color=ACCENT, line_color=ACCENT, line_width=2, apply_ranges=False
    )


def _as_sent(**sent: hv.Element) -> hv.Element:
    (element,) = sent.values()
    return element


def _no_rows() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([], dtype=object) for name in NO_ROWS})
