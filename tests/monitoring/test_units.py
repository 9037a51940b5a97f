"""The whole and the regions: what lies in a region counts for its parents, once."""

import numpy as np

from monitoring.units import Units
from storage.regions import Region, RegionSet

SET = RegionSet(
    "districts",
    (
        Region(1, "north", "North", 1, None, 1.0),
        Region(2, "a", "A", 2, 1, 1.0),
        Region(5, "south", "South", 1, None, 1.0),  # keys may have gaps after a set was replaced
        Region(7, "c", "C", 3, 2, 1.0),
    ),
)


def test_the_whole_comes_first_then_the_regions_by_key() -> None:
    units = Units(SET)
    assert len(units) == 5
    assert [place.id if place else None for place in units.places] == [None, "north", "a", "south", "c"]
    assert units.levels.tolist() == [0, 1, 2, 1, 3]
    assert units.keys == 8


def test_sums_roll_up_to_every_ancestor_and_to_the_whole() -> None:
    by_key = np.array([100.0, 1, 10, 0, 0, 1000, 0, 5])
    assert Units(SET).roll_up(by_key).tolist() == [1116, 16, 15, 1000, 5]


def test_rows_in_no_region_count_for_the_whole_alone() -> None:
    by_key = np.zeros((8, 2, 3))
    by_key[0] = 1
    rolled = Units(SET).roll_up(by_key)
    assert rolled.shape == (5, 2, 3)
    assert (rolled[0] == 1).all()
    assert not rolled[1:].any()


def test_without_regions_there_is_the_whole() -> None:
    units = Units(RegionSet("", ()))
    assert units.places == (None,)
    assert units.roll_up(np.array([7.0])).tolist() == [7.0]
