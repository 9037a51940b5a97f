"""Positions, metres and cells agree with pyproj and with each other."""

import numpy as np
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


@pytest.mark.parametrize(("lon", "lat"), [(-180, 90), (180, -90), (180, 90), (0, 85.06), (-180, -90)])
def test_the_edges_of_the_world_are_on_the_map(lon: float, lat: float) -> None:
    x, y = grid.position(np.array([float(lon)]), np.array([float(lat)]))
    assert 0 <= x[0] < grid.SIZE
    assert 0 <= y[0] < grid.SIZE


@given(st.integers(0, grid.SIZE - 1), st.integers(0, grid.SIZE - 1))
def test_a_morton_key_interleaves_the_bits(x: int, y: int) -> None:
    key = int(grid.morton(np.array([x], np.int32), np.array([y], np.int32))[0])
    bits = [(key >> bit) & 1 for bit in range(60)]
    assert sum(bit << place for place, bit in enumerate(bits[0::2])) == x
    assert sum(bit << place for place, bit in enumerate(bits[1::2])) == y


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
