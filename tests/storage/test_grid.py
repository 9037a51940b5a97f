"""Positions, metres and cells agree with pyproj and with each other."""

import duckdb
import numpy as np
import pyarrow as pa
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import grid

longitudes = st.floats(-180, 180)
latitudes = st.floats(-85, 85)


@given(longitudes, latitudes)
def test_positions_are_web_mercator(lon: float, lat: float) -> None:
    x, y = grid.position(np.array([lon]), np.array([lat]))
    metres = grid.to_metres(x + 0.5, y + 0.5)
    expected = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)
    step = grid.WORLD / grid.SIZE
    assert metres[0][0] == pytest.approx(expected[0], abs=step)
    assert metres[1][0] == pytest.approx(expected[1], abs=step)


@pytest.mark.parametrize(("lon", "lat"), [(-180, 85.05), (180, -85.05), (180, 0), (-180, -85.05)])
def test_the_edges_of_the_world_are_on_the_map(lon: float, lat: float) -> None:
    x, y = grid.position(np.array([float(lon)]), np.array([float(lat)]))
    assert 0 <= x[0] < grid.SIZE
    assert 0 <= y[0] < grid.SIZE


@pytest.mark.parametrize("lat", [-90, -89.99, -86, 86, 89.99, 90])
def test_beyond_the_square_positions_go_on_up_to_the_pole(lat: float) -> None:
    _, y = grid.position(np.array([0.0]), np.array([float(lat)]))
    assert (y[0] < 0) if lat > 0 else (y[0] >= grid.SIZE)
    assert -(2**31) <= y[0] >> (grid.DEPTH - grid.FINEST) < 2**31


degrees = st.tuples(st.integers(-1_800_000_000, 1_799_999_999), st.integers(-899_900_000, 899_900_000))


@given(st.lists(degrees, min_size=1))
def test_sql_gives_the_same_positions_and_the_degrees_back(given: list[tuple[int, int]]) -> None:
    lon, lat = (np.array(values) / 1e7 for values in zip(*given, strict=True))
    places = duckdb.from_arrow(pa.table({"lon": lon, "lat": lat})).project(f"{grid.X} AS x, {grid.Y} AS y")
    found = places.project(f"x, y, {grid.LON} AS lon, {grid.LAT} AS lat").fetchnumpy()
    for name, expected in zip(("x", "y", "lon", "lat"), (*grid.position(lon, lat), lon, lat), strict=True):
        np.testing.assert_array_equal(found[name], expected)


@given(st.integers(0, grid.SIZE - 1), st.integers(0, grid.SIZE - 1))
def test_near_on_the_map_is_near_in_order(x: int, y: int) -> None:
    (key,) = duckdb.execute(f"SELECT {grid.near_sql(16)} FROM (SELECT {x} AS x, {y} AS y)").fetchone() or (0,)
    bits = [(key >> bit) & 1 for bit in range(32)]
    assert sum(bit << place for place, bit in enumerate(bits[0::2])) == x >> 16
    assert sum(bit << place for place, bit in enumerate(bits[1::2])) == y >> 16


@given(st.integers(0, grid.SIZE - 1), st.integers(0, grid.SIZE - 1))
def test_the_bounds_of_one_position_hold_just_that_position(x: int, y: int) -> None:
    (xmin, xmax), (ymax, ymin) = grid.to_metres(np.array([x + 0.25, x + 0.75]), np.array([y + 0.25, y + 0.75]))
    assert grid.from_metres((xmin, ymin, xmax, ymax)) == (x, y, x, y)


@given(st.integers(0, grid.SIZE - 1))
def test_an_extent_is_half_a_thousand_to_a_thousand_cells_wide_at_its_level(extent: int) -> None:
    level = grid.level_for(extent, 1024)
    assert 0 <= level <= grid.DEPTH
    if 0 < level < grid.DEPTH:
        assert 512 < extent / (grid.SIZE >> level) <= 1024


@given(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7), st.floats(100, 5e6), st.floats(0.3, 3))
def test_a_box_moves_little_when_it_takes_whole_cells(x: float, y: float, width: float, shape: float) -> None:
    bounds = (x, y, x + width, y + width * shape)
    level, x0, y0, x1, y1 = grid.snapped(bounds)
    assert x0 <= x1
    assert y0 <= y1
    size = np.sqrt(width * width * shape)
    moved = np.abs(np.array(grid.snapped_metres(bounds)) - np.array(bounds)).max()
    assert moved <= max(size / 32, grid.cell_size(level))
    assert grid.snapped(grid.snapped_metres(bounds))[1:] == (x0, y0, x1, y1) or moved > 0
