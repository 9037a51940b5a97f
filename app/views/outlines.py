"""Regions on the map: all thin, the chosen one thick."""

import geopandas as gpd
import holoviews as hv
import numpy as np
import numpy.typing as npt
import shapely

from app.selection import Box
from app.views import mercator
from app.views.basemap import GREY, Line, clipped, joined, path_columns, to_mercator
from app.views.live import Content
from app.views.style import ACCENT


def in_metres(regions: gpd.GeoDataFrame) -> npt.NDArray[np.object_]:
    """The boundaries of regions (EPSG:4326) in EPSG:3857 metres, in the order of `regions`."""
    lines = shapely.boundary(regions.geometry.to_numpy())
    return np.asarray(shapely.transform(lines, to_mercator), dtype=object)


def outlines(boundaries: npt.NDArray[np.object_], chosen: int | None, view: Box, pixel: float) -> hv.Overlay:
    """Lines around every region, and around the `chosen` (its place in `boundaries`)."""
    every, picked = (
        mercator.Path(lines, ["x", "y"]).opts(default_tools=[]) for lines in _lines(boundaries, chosen, view, pixel)
    )
    return hv.Overlay(
        [
            every.opts(color=GREY, alpha=0.75, line_width=0.8, apply_ranges=False),
            picked.opts(color=ACCENT, line_width=2.6, apply_ranges=False),
        ]
    )


def outlines_content(boundaries: npt.NDArray[np.object_], chosen: int | None, view: Box, pixel: float) -> Content:
    """What `outlines` draws, as columns."""
    return Content(tuple(path_columns(lines) for lines in _lines(boundaries, chosen, view, pixel)))


def _lines(boundaries: npt.NDArray[np.object_], chosen: int | None, view: Box, pixel: float) -> list[list[Line]]:
    """The lines around regions, and around the chosen one."""
    picked = boundaries[[chosen]] if chosen is not None else boundaries[:0]
    return [joined(shapely.get_parts(clipped(each, view, pixel))) if len(each) else [] for each in (boundaries, picked)]
