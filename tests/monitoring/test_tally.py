"""A tally of roll-ups holds what a plain count of the rows gives."""

import numpy as np
import pandas as pd
import pytest

from monitoring.tally import tally
from monitoring.units import Units
from storage.regions import Region, RegionSet

UNITS = Units(RegionSet("", (Region(1, "north", "N", 1, None, 1.0), Region(2, "a", "A", 2, 1, 1.0))))


def rows(seed: int = 1, count: int = 500) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "region": generator.integers(0, 3, count),
            "predicted": generator.integers(0, 3, count),
            "label": generator.integers(0, 3, count).astype(float),
            "confidence": generator.uniform(0, 1, count),
        }
    )
    frame.loc[generator.uniform(size=count) < 0.4, "label"] = np.nan
    frame.loc[generator.uniform(size=count) < 0.2, "confidence"] = np.nan
    return frame


def outcomes(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.assign(
        confidence_bin=np.minimum(np.floor(frame["confidence"] * 20), 19),
        sum_confidence2=frame["confidence"] ** 2,
        n=1,
    ).rename(columns={"confidence": "sum_confidence"})
    keys = ["region", "predicted", "label", "confidence_bin"]
    return frame.groupby(keys, dropna=False)[["n", "sum_confidence", "sum_confidence2"]].sum().reset_index()


@pytest.mark.parametrize(("place", "keys"), [(0, [0, 1, 2]), (1, [1, 2]), (2, [2])])
def test_every_sum_is_that_of_the_rows_of_the_unit(place: int, keys: list[int]) -> None:
    frame = rows()
    found = tally(outcomes(frame), 3, UNITS)
    part = frame[frame["region"].isin(keys)]
    labelled = part[part["label"].notna()]
    confident = labelled[labelled["confidence"].notna()]
    correct = confident[confident["predicted"] == confident["label"]]
    expected = pd.crosstab(labelled["predicted"], labelled["label"]).to_numpy()
    np.testing.assert_array_equal(found.confusion[place], expected)
    np.testing.assert_array_equal(found.predicted[place], part["predicted"].value_counts().sort_index())
    assert (found.n[place], found.n_labelled[place]) == (len(part), len(labelled))
    for sums, source, weights in (
        (found.rows, part, None),
        (found.labelled, confident, None),
        (found.correct, correct, None),
        (found.sum_confidence, part, "confidence"),
        (found.sum_labelled, confident, "confidence"),
    ):
        values = source["confidence"].dropna()
        counted, _ = np.histogram(values, np.linspace(0, 1, 21), weights=values if weights else None)
        np.testing.assert_allclose(sums[place], counted)
    assert found.sum_confidence2[place] == pytest.approx((part["confidence"] ** 2).sum())
    assert found.sum_labelled2[place] == pytest.approx((confident["confidence"] ** 2).sum())
    assert found.sum_correct[place] == pytest.approx(correct["confidence"].sum())


def test_the_whole_is_the_sum_over_regions_and_none() -> None:
    frame = rows()
    whole = tally(outcomes(frame), 3, UNITS)
    north, none = (tally(outcomes(frame[frame["region"].isin(keys)]), 3) for keys in ([1, 2], [0]))
    np.testing.assert_allclose(whole.confusion[0], north.confusion + none.confusion)
    np.testing.assert_allclose(whole.confusion[1], north.confusion)


def test_the_order_of_rows_does_not_matter() -> None:
    sums = outcomes(rows())
    one, other = (tally(each, 3, UNITS) for each in (sums, sums.sample(frac=1, random_state=0)))
    np.testing.assert_allclose(one.correct, other.correct)
    np.testing.assert_allclose(one.sum_confidence, other.sum_confidence)


def test_no_rows_give_zeros() -> None:
    empty = tally(outcomes(rows()).iloc[:0], 3, UNITS)
    assert empty.confusion.shape == (3, 3, 3)
    assert not empty.n.any()


def test_what_is_left_of_the_whole_without_a_part() -> None:
    frame = rows()
    left = tally(outcomes(frame), 3) - tally(outcomes(frame[frame["region"] == 1]), 3)
    rest = tally(outcomes(frame[frame["region"] != 1]), 3)
    np.testing.assert_allclose(left.confusion, rest.confusion)
    np.testing.assert_allclose(left.sum_confidence, rest.sum_confidence, atol=1e-9)
