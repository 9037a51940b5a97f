"""Positions on the map as integers, and the cells of the map pyramid.

A position is Web Mercator (EPSG:3857) in steps of 2^-32 of the world's width (9 mm at the equator), counted from
the north-west corner of its square. That is finer than 1e-7 degrees, so a position stands for longitude and latitude
too. The cell of level z that holds it is the position shifted right by 32 - z bits, so cells nest exactly and a cell
of the roll-up is a set of whole rows. Beyond 85.05° north or south, y goes on outside the square.
"""

import numpy as np
import numpy.typing as npt

DEPTH = 32
SIZE = 1 << DEPTH
FINEST = 29  # level of cells whose numbers fit INTEGER wherever they lie
WORLD = 40_075_016.685578488  # metres around the equator (WGS 84)
MAX_LATITUDE = 85.0511287798066  # where the Mercator square ends
LAST_LATITUDE = 89.99  # beyond, about a kilometre around the pole, positions are those of this latitude
DIGITS = 7  # of degrees

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bounds = tuple[float, float, float, float]

# SQL: degrees to a position, and back to the degrees, rounded to 1e-7, that it was made of.
X = f"CAST(least(floor((lon + 180) / 360 * {SIZE}.0), {SIZE - 1}) AS BIGINT)"
Y = (
    f"CAST(floor((0.5 - asinh(tan(radians(least(greatest(lat, -{LAST_LATITUDE}), {LAST_LATITUDE})))) "
    f"/ {2 * np.pi}) * {SIZE}.0) AS BIGINT)"
)
LON = f"round((x + 0.5) / {SIZE}.0 * 360 - 180, {DIGITS})"
LAT = f"round(degrees(atan(sinh((0.5 - (y + 0.5) / {SIZE}.0) * {2 * np.pi}))), {DIGITS})"


def position(lon: Floats, lat: Floats) -> tuple[Integers, Integers]:
    """Integer map positions x, y of longitudes and latitudes in degrees."""
    phi = np.radians(np.clip(lat, -LAST_LATITUDE, LAST_LATITUDE))
    x = (lon + 180.0) / 360.0
    y = 0.5 - np.arcsinh(np.tan(phi)) / (2.0 * np.pi)
    return np.minimum(np.floor(x * SIZE), SIZE - 1).astype(np.int64), np.floor(y * SIZE).astype(np.int64)


def near_sql(level: int) -> str:
    """SQL for a number that is close for what is close on the map: the Morton (Z-order) key of cells of `level`.

    It is of the last 16 bits of their numbers, and so below 2^32.
    """

    def spread(value: str) -> str:
        for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
            value = f"(({value} | ({value} << {shift})) & {mask})"
        return value

    x, y = (spread(f"(({axis} >> {DEPTH - level}) & 65535)") for axis in ("x", "y"))
    return f"({x} | ({y} << 1))"


def to_metres(x: Floats | float, y: Floats | float) -> tuple[Floats, Floats]:
    """EPSG:3857 metres of integer positions (or fractions of them)."""
    return (
        np.asarray(x, float) / SIZE * WORLD - WORLD / 2,
        WORLD / 2 - np.asarray(y, float) / SIZE * WORLD,
    )


def from_metres(bounds: Bounds) -> tuple[int, int, int, int]:
    """The positions (x first, y first, x last, y last), ends included, that lie in `bounds`.

    `bounds` is (xmin, ymin, xmax, ymax) in EPSG:3857 metres; y runs south in positions.
    """
    xmin, ymin, xmax, ymax = bounds
    first_x, last_x = (int(np.clip((v + WORLD / 2) / WORLD * SIZE, 0, SIZE - 1)) for v in (xmin, xmax))
    first_y, last_y = (int(np.clip(np.floor((WORLD / 2 - v) / WORLD * SIZE), -SIZE, 2 * SIZE)) for v in (ymax, ymin))
    return first_x, first_y, last_x, last_y


SNAP = 32  # a box is at most so many of its own cells wide, and more than half as many


def snapped(bounds: Bounds) -> tuple[int, int, int, int, int]:
    """The whole cells that a box stands for: their level, and x first, y first, x last, y last, ends included.

    `bounds` as for `from_metres`. Edges move to the nearest edge of a cell, so by at most 1/32 of the box's size
    (the root of its area); at least one cell is left.
    """
    first_x, first_y, last_x, last_y = from_metres(bounds)
    size = np.sqrt(float(last_x - first_x + 1) * float(last_y - first_y + 1))
    level = level_for(int(size), SNAP)
    cell = 1 << (DEPTH - level)

    def nearest(first: int, last: int) -> tuple[int, int]:
        low = (first + cell // 2) // cell
        return low, max((last + 1 + cell // 2) // cell - 1, low)

    (x0, x1), (y0, y1) = nearest(first_x, last_x), nearest(first_y, last_y)
    return level, min(x0, (1 << level) - 1), y0, x1, y1


def snapped_metres(bounds: Bounds) -> Bounds:
    """The box in EPSG:3857 metres of the whole cells that `bounds` stands for."""
    level, x0, y0, x1, y1 = snapped(bounds)
    size, half = cell_size(level), WORLD / 2
    return x0 * size - half, half - (y1 + 1) * size, (x1 + 1) * size - half, half - y0 * size


def cell_size(level: int) -> float:
    """The width of a cell of `level`, EPSG:3857 metres."""
    return WORLD / (1 << level)


def level_for(extent: int, cells: int) -> int:
    """The level at which `extent` (in positions) is about `cells` cells wide, never wider than twice that."""
    return int(np.clip(np.floor(np.log2(cells * SIZE / max(extent, 1))), 0, DEPTH))
