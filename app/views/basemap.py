"""Land and country borders under every map, from an asset of our own: nothing is fetched."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import holoviews as hv
import numpy as np
import numpy.typing as npt
import shapely

from app.filters import grown
from app.selection import Box
from app.views import mercator
from app.views.live import Columns, Content
from storage.grid import MAX_LATITUDE, WORLD

ASSET = Path(__file__).parent.parent / "assets" / "basemap.npz"

Line = npt.NDArray[np.float64]

# Half-transparent grey, so that both read on the light and on the dark background.
GREY = "#808890"


@dataclass(frozen=True, slots=True)
class Basemap:
    """Geometries in EPSG:3857 metres."""

    land: npt.NDArray[np.object_]
    borders: npt.NDArray[np.object_]


@cache
def basemap() -> Basemap:
    """The whole world's land and borders. Natural Earth 1:10m, thinned."""
    with np.load(ASSET) as asset:
        rings = _lines(asset, "land")
        polygon = asset["land_polygon"]
        borders = _lines(asset, "borders")
    ring = shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), _sizes(rings)))
    land = shapely.polygons(ring, indices=polygon)
    line = shapely.linestrings(np.concatenate(borders), indices=np.repeat(np.arange(len(borders)), _sizes(borders)))
    return Basemap(land, line)


def _sizes(lines: list[npt.NDArray[np.float64]]) -> list[int]:
    return [len(line) for line in lines]


def _lines(asset: np.lib.npyio.NpzFile, name: str) -> list[npt.NDArray[np.float64]]:
    lengths, first, steps = asset[f"{name}_length"], asset[f"{name}_first"], asset[f"{name}_steps"].T
    ends = np.cumsum(lengths - 1)
    return [
        to_mercator(np.cumsum(np.vstack([start, part]), axis=0) * float(asset["step"]))
        for start, part in zip(first, np.split(steps, ends[:-1]), strict=True)
    ]


def to_mercator(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """EPSG:3857 metres [n, 2] of degrees [n, 2]; latitudes beyond the square lie on its edge."""
    phi = np.radians(np.clip(lonlat[:, 1], -MAX_LATITUDE, MAX_LATITUDE))
    return np.column_stack([lonlat[:, 0] / 360, np.arcsinh(np.tan(phi)) / (2 * np.pi)]) * WORLD


def clipped(geometries: npt.NDArray[np.object_], view: Box, pixel: float) -> npt.NDArray[np.object_]:
    """What of `geometries` lies in and around `view`, thinned to `pixel` metres."""
    # As much again on each side, so that a pan does not reach the edge at once.
    frame = grown(view, 1.0)
    xmin, ymin, xmax, ymax = shapely.bounds(geometries).T
    near = geometries[(xmin < frame[2]) & (xmax > frame[0]) & (ymin < frame[3]) & (ymax > frame[1])]
    cut = shapely.clip_by_rect(near, *frame)
    thin = shapely.simplify(cut[~shapely.is_empty(cut)], pixel, preserve_topology=False)
    return thin[shapely.length(thin) > 0]


def land(view: Box, pixel: float) -> hv.Polygons:
    """Land in and around `view`; `pixel`: metres on the map that one pixel shows."""
    shapes = [{("x", "y"): rings[0], "holes": [rings[1:]]} for rings in _rings(view, pixel)]
    return mercator.Polygons(shapes, ["x", "y"]).opts(
        fill_color=GREY, fill_alpha=0.14, line_color=GREY, line_alpha=0.45, line_width=0.7, apply_ranges=False
    )


def land_content(view: Box, pixel: float) -> Content:
    """What `land` draws, as columns: of each polygon its outer ring and its holes."""
    shapes = _rings(view, pixel)
    return Content(
        ({name: [[[ring[:, axis] for ring in rings]] for rings in shapes] for axis, name in enumerate(("xs", "ys"))},)
    )


def _rings(view: Box, pixel: float) -> list[list[npt.NDArray[np.float64]]]:
    """[points, 2] of the rings of each polygon, the outer one first."""
    return [
        [np.asarray(ring.coords) for ring in (part.exterior, *part.interiors)]
        for part in shapely.get_parts(clipped(basemap().land, view, pixel))
        if isinstance(part, shapely.Polygon) and not part.is_empty
    ]


def borders(view: Box, pixel: float) -> hv.Path:
    """Country borders in and around `view`."""
    return mercator.Path(_border_lines(view, pixel), ["x", "y"]).opts(
        color=GREY, alpha=0.7, line_width=0.9, line_dash="dashed", apply_ranges=False
    )


def borders_content(view: Box, pixel: float) -> Content:
    """What `borders` draws, as columns."""
    return Content((path_columns(_border_lines(view, pixel)),))


def _border_lines(view: Box, pixel: float) -> list[Line]:
    parts = shapely.get_parts(clipped(basemap().borders, view, pixel))
    return joined(parts[shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING])


def joined(lines: npt.NDArray[np.object_]) -> list[Line]:
    """All `lines` as one [points, 2] with a gap (NaN) between two; none where there is none.

    A hundred lines are two hundred messages to the browser, one is two.
    """
    if not len(lines):
        return []
    points, line = shapely.get_coordinates(lines, return_index=True)
    return [np.insert(points, np.flatnonzero(np.diff(line)) + 1, np.nan, axis=0)]


def path_columns(lines: list[Line]) -> Columns:
    """The Bokeh columns of lines of [points, 2]."""
    return {"xs": [line[:, 0] for line in lines], "ys": [line[:, 1] for line in lines]}
