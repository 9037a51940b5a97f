"""Regions on the map: all thin, the chosen one thick."""

import geopandas as gpd
import holoviews as hv
import numpy as np
import numpy.typing as npt
import shapely

from app.selection import Box
from app.views import mercator
from app.views.basemap import GREY, clipped, to_mercator
from app.views.style import ACCENT


def in_metres(regions: gpd.GeoDataFrame) -> npt.NDArray[np.object_]:
    """The boundaries of regions (EPSG:4326) in EPSG:3857 metres, in the order of `regions`."""
    lines = shapely.boundary(regions.geometry.to_numpy())
    return np.asarray(shapely.transform(lines, to_mercator), dtype=object)


def outlines(boundaries: npt.NDArray[np.object_], chosen: int | None, view: Box, pixel: float) -> hv.Overlay:
    """Lines around every region, and around the `chosen` (its place in `boundaries`)."""
    picked = boundaries[[chosen]] if chosen is not None else boundaries[:0]
    return hv.Overlay(
        [
            _path(boundaries, view, pixel).opts(color=GREY, alpha=0.75, line_width=0.8, apply_ranges=False),
            _path(picked, view, pixel).opts(color=ACCENT, line_width=2.6, apply_ranges=False),
        ]
    )


def _path(boundaries: npt.NDArray[np.object_], view: Box, pixel: float) -> hv.Path:
    parts = shapely.get_parts(clipped(boundaries, view, pixel)) if len(boundaries) else []
    return mercator.Path([shapely.get_coordinates(part) for part in parts], ["x", "y"]).opts(default_tools=[])
