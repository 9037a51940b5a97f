import numpy as np
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.region_lookup import RegionLookup


def lookup(regions, lon, lat, keys=None, levels=None):
    keys = np.arange(1, len(regions) + 1, dtype=np.int32) if keys is None else np.array(keys, dtype=np.int32)
    levels = np.zeros(len(regions), dtype=int) if levels is None else np.array(levels)
    return RegionLookup(np.array(regions, dtype=object), keys, levels).lookup(np.array(lon), np.array(lat))


def brute_force(regions, keys, levels, lon, lat):
    best = np.zeros(len(lon), dtype=np.int32)
    wanted = sorted(range(len(regions)), key=lambda i: (-levels[i], shapely.area(regions[i]), keys[i]), reverse=True)
    for i in wanted:
        best[shapely.covers(regions[i], shapely.points(lon, lat))] = keys[i]
    return best


def test_the_deepest_region_wins():
    country, province = shapely.box(0, 0, 10, 10), shapely.box(2, 2, 4, 4)
    assert lookup([country, province], [3.0, 5.0, 11.0], [3.0, 5.0, 5.0], levels=[0, 1]).tolist() == [2, 1, 0]


def test_a_deeper_region_wins_even_when_it_is_larger():
    assert lookup([shapely.box(0, 0, 9, 9), shapely.box(1, 1, 2, 2)], [1.5], [1.5], levels=[2, 1]).tolist() == [1]


def test_of_equally_deep_regions_the_smaller_wins_then_the_smaller_key():
    large, small = shapely.box(0, 0, 10, 10), shapely.box(0, 0, 5, 5)
    assert lookup([large, small], [1.0], [1.0]).tolist() == [2]
    assert lookup([large, large], [1.0], [1.0], keys=[7, 3]).tolist() == [3]


def test_the_border_belongs_to_the_region():
    assert lookup([shapely.box(0, 0, 1, 1)], [0.0, 1.0, 0.5, 1.0], [0.0, 1.0, 1.0, 0.3]).tolist() == [
        1,
        1,
        1,
        1,
    ]


def test_a_hole_is_outside_and_an_island_in_it_is_found():
    ring = shapely.box(0, 0, 10, 10) - shapely.box(2, 2, 8, 8)
    assert lookup([ring, shapely.box(4, 4, 5, 5)], [1.0, 3.0, 4.5], [1.0, 3.0, 4.5]).tolist() == [1, 0, 2]


def test_every_part_of_a_multipolygon_counts():
    region = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(100, 50, 101, 51)])
    assert lookup([region], [0.5, 100.5, 50.0], [0.5, 50.5, 25.0]).tolist() == [1, 1, 0]


def test_missing_coordinates_are_in_no_region():
    world = shapely.box(-180, -90, 180, 90)
    lon, lat = [np.nan, 0.0, np.inf, -np.inf, 180.0], [0.0, np.nan, 0.0, 0.0, 90.0]
    assert lookup([world], lon, lat).tolist() == [0, 0, 0, 0, 1]


def test_no_regions_and_no_points():
    assert lookup([], [1.0], [1.0]).tolist() == [0]
    assert lookup([None, shapely.Polygon()], [1.0], [1.0]).tolist() == [0]
    answer = lookup([shapely.box(0, 0, 1, 1)], [], [])
    assert answer.dtype == np.int32
    assert len(answer) == 0


def test_a_region_smaller_than_a_cell_of_the_grid_is_found():
    field = shapely.box(70.00001, 40.00001, 70.00002, 40.00002)
    lon, lat = [70.000015, 70.00003], [40.000015, 40.00003]
    assert lookup([shapely.box(-180, -90, 180, 90), field], lon, lat, levels=[0, 1]).tolist() == [2, 1]
    assert lookup([field], lon, lat).tolist() == [1, 0]


# Whole coordinates make shared borders, touching corners and points on borders common.
whole = st.integers(-6, 6)
boxes = st.builds(
    lambda x, y, w, h: shapely.box(x, y, x + w, y + h), whole, whole, st.integers(1, 8), st.integers(1, 8)
)
stars = st.lists(st.tuples(whole, whole), min_size=3, max_size=9).map(
    lambda points: shapely.make_valid(shapely.Polygon(points), method="structure", keep_collapsed=False)
)
shapes = st.one_of(
    boxes,
    stars,
    st.builds(lambda a, b: a - b, boxes, boxes),
    st.builds(lambda a, b: a | b, boxes, stars),
    st.builds(lambda a, x: shapely.affinity.rotate(a, x), boxes, st.floats(0, 90)),
).filter(lambda shape: shape.geom_type in ("Polygon", "MultiPolygon"))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(shapes, st.integers(0, 3)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
    st.sampled_from([1.0, 1e-3, 1e-7, 1 / 3, 11.7]),
    st.integers(0, 2**32 - 1),
)
def test_answers_are_those_of_testing_every_polygon(regions, random, scale, seed):
    moved = [shapely.transform(shape, lambda xy: xy * scale + (61.3, 38.1)) for shape, _ in regions]
    levels = [level for _, level in regions]
    keys = random.sample(range(1, 100), len(regions))
    grid = np.arange(-8, 17) / 2
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid))
    generator = np.random.default_rng(seed)
    some = generator.uniform(-8, 15, (200, 2))
    points = np.concatenate([np.column_stack([x, y]), some]) * scale + (61.3, 38.1)
    corners = shapely.get_coordinates(moved)
    on_borders = shapely.get_coordinates(
        [shape.boundary.interpolate(generator.uniform(), normalized=True) for shape in moved]
    )
    lon, lat = np.concatenate([points, corners, on_borders]).T
    valid = np.array([shape if shape.is_valid else shape.buffer(0) for shape in moved], dtype=object)
    expected = brute_force(valid, keys, levels, lon, lat)
    np.testing.assert_array_equal(lookup(valid, lon, lat, keys, levels), expected)
