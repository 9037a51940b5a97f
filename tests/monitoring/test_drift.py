import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from monitoring.drift import (
    DriftRule,
    Effect,
    benjamini_hochberg,
    categorical_effect,
    g_test_p_value,
    histogram_moments,
    jensen_shannon,
    ks_p_value,
    leave_one_out,
    normed_wasserstein,
    numeric_effect,
)
from storage.records import Verdict


@pytest.fixture(scope="module")
def evidently():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

    def score(reference, current, kind, name):
        reference, current = pd.Series(reference), pd.Series(current)
        column = ColumnType(kind)
        return get_stattest(reference, current, column, name)(reference, current, column, 0.1).drift_score

    return score


def histograms(reference, current, bins=256):
    low, high = np.quantile(reference, [0.001, 0.999])
    width = (high - low) / bins
    places = [np.floor((values - low) / width).astype(int) for values in (reference, current)]
    first = min(place.min() for place in places)
    size = max(place.max() for place in places) - first + 1
    counts = [np.bincount(place - first, minlength=size) for place in places]
    return *counts, low + first * width, width


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("n", [50, 2000])
def test_wasserstein_is_evidentlys(evidently, shift, n):
    random = np.random.default_rng(n)
    reference, current = random.normal(10, 3, 3000), random.normal(10 + 3 * shift, 4, n)
    r, c, origin, width = histograms(reference, current)
    mean, sd = histogram_moments(r, origin, width)
    assert mean == pytest.approx(reference.mean(), abs=0.01)
    assert sd == pytest.approx(reference.std(), rel=0.005)
    expected = evidently(reference, current, "num", "wasserstein")
    assert normed_wasserstein(r, c, width, sd) == pytest.approx(expected, abs=0.005)


def test_jensen_shannon_is_evidentlys(evidently):
    random = np.random.default_rng(5)
    reference, current = random.choice(6, 900, p=[0.5, 0.2, 0.1, 0.1, 0.1, 0]), random.choice(6, 80)
    counts = [np.bincount(values, minlength=6) for values in (reference, current)]
    names = np.array(list("abcdef"))
    expected = evidently(names[reference], names[current], "cat", "jensenshannon")
    assert jensen_shannon(*counts) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(500, 30), (400, 400), (100_000, 210)])
def test_kolmogorov_smirnov_is_scipys_within_three_percent(n, m):
    random = np.random.default_rng(n)
    reference, current = random.integers(0, 40, n), random.integers(0, 42, m)
    counts = [np.bincount(values, minlength=42) for values in (reference, current)]
    expected = stats.ks_2samp(reference, current, method="asymp").pvalue
    assert ks_p_value(*counts) == pytest.approx(expected, rel=0.03)


def test_g_test_is_scipys():
    reference, current = np.array([400, 300, 200, 0, 100]), np.array([30, 40, 20, 0, 15])
    seen = [0, 1, 2, 4]
    expected = stats.chi2_contingency(
        [reference[seen], current[seen]], lambda_="log-likelihood", correction=False
    ).pvalue
    assert g_test_p_value(reference, current) == pytest.approx(expected)


def test_g_test_counts_rare_categories_as_one_and_still_sees_a_new_one():
    spread = np.r_[500, 500, np.ones(50)]
    assert g_test_p_value(spread, np.r_[50, 50, np.zeros(45), np.ones(5)]) > 0.5
    assert g_test_p_value([500, 500, 0], [30, 30, 40]) < 1e-10
    assert g_test_p_value([500, 0], [40, 0]) == 1


def test_empty_sides_are_nan_everywhere():
    something, nothing = np.array([3, 4, 5]), np.zeros(3)
    for reference, current in ((something, nothing), (nothing, something), (nothing, nothing)):
        assert np.isnan(jensen_shannon(reference, current))
        assert np.isnan(ks_p_value(reference, current))
        assert np.isnan(g_test_p_value(reference, current))
        assert np.isnan(numeric_effect(reference, current, 1.0).value)
        assert np.isnan(categorical_effect(reference, current).noise)


def test_one_value_only_is_no_drift():
    effect = numeric_effect([0, 50, 0], [0, 40, 0], 0.1)
    assert (effect.value, effect.noise, effect.p_value) == (0, 0, 1)


@given(arrays(np.int64, (2, 4, 7), elements=st.integers(0, 1000)))
def test_any_histogram_gives_a_value_in_range_or_nan(counts):
    for effect in (numeric_effect(counts[0], counts[1], 0.5), categorical_effect(counts[0], counts[1])):
        empty = (counts[0].sum(axis=-1) == 0) | (counts[1].sum(axis=-1) == 0)
        np.testing.assert_array_equal(np.isnan(effect.value), empty)
        np.testing.assert_array_equal(np.isnan(effect.p_value), empty)
        known = effect.p_value[~empty]
        assert ((known >= 0) & (known <= 1)).all()
        assert (effect.value[~empty] >= 0).all()


def test_benjamini_hochberg_is_statsmodels_and_leaves_nan_out():
    p = np.random.default_rng(6).random((30, 12)) ** 3
    p[3, 4] = p[0, 0] = np.nan
    known = np.isfinite(p)
    adjusted = benjamini_hochberg(p)
    np.testing.assert_allclose(adjusted[known], multipletests(p[known], method="fdr_bh")[1])
    assert np.isnan(adjusted[~known]).all()
    assert benjamini_hochberg(np.full(3, np.nan)).shape == (3,)
    assert benjamini_hochberg([]).shape == (0,)


def effect(value, noise=0.05, n=500, m=200):
    value = np.asarray(value, dtype=float)
    full = [np.full(value.shape, part, dtype=float) for part in (noise, 1.0, n, m)]
    return Effect(value, *full)


def test_drift_must_be_sure_and_large_and_unusual():
    rule = DriftRule()
    verdict = rule.decide([0.0001, 0.2, 0.0001, 0.0001], effect([0.2, 0.2, 0.09, 0.2]), [0.15, 0.15, 0.05, 0.3])
    assert list(verdict) == [Verdict.WARNING, Verdict.OK, Verdict.OK, Verdict.OK]
    assert list(rule.decide([0.0001, 0.01], effect([0.6, 0.6]), [0.3, 0.3])) == [Verdict.CRITICAL, Verdict.WARNING]


def test_few_rows_or_no_figure_is_insufficient():
    rule = DriftRule()
    assert list(rule.decide([0.001], effect([0.9], m=29), [0.1])) == [Verdict.INSUFFICIENT]
    assert list(rule.decide([0.001], effect([0.9], n=29), [0.1])) == [Verdict.INSUFFICIENT]
    assert list(rule.decide([0.001, np.nan], effect([np.nan, 0.9]), [0.1, 0.1])) == [Verdict.INSUFFICIENT] * 2


def test_without_a_usual_the_size_must_be_twice_as_large():
    rule = DriftRule()
    verdict = rule.decide([0.0001] * 4, effect([0.19, 0.21, 0.49, 0.51]), [np.nan] * 4)
    assert list(verdict) == [Verdict.OK, Verdict.WARNING, Verdict.WARNING, Verdict.CRITICAL]


def test_usual_is_the_regions_own_largest_or_the_common_one():
    rule = DriftRule()
    values = np.full((20, 8), 0.1)
    values[0, 3] = 0.5
    values[1, 2:] = np.nan
    values[2:5] = 0.2
    usual = rule.usual_effect(effect(values, noise=0.06, n=1400), effect(np.full(20, 0.1), noise=0.0))
    assert usual[0] == pytest.approx(np.sqrt(0.5**2 - 0.06**2))
    assert np.isnan(usual[1])
    assert usual[2] == pytest.approx(np.sqrt(0.2**2 - 0.06**2))
    assert usual[9] == usual[2]


def test_a_noisier_window_may_show_more():
    rule = DriftRule()
    periods = effect(np.full((20, 8), 0.1))
    small, large = (rule.usual_effect(periods, effect(np.full(20, 0.1), noise=noise)) for noise in (0.4, 0.05))
    assert (small > large).all()


def test_each_period_is_compared_with_the_others():
    rest, periods = leave_one_out(np.array([[1, 0], [2, 1], [0, 4]]))
    np.testing.assert_array_equal(rest, [[2, 5], [1, 4], [3, 1]])
    np.testing.assert_array_equal(rest + periods, np.tile([3, 5], (3, 1)))


def test_no_regions_and_no_periods_leave_usual_unknown():
    rule = DriftRule()
    nothing = numeric_effect(np.zeros((0, 5)), np.zeros((0, 5)), 1.0)
    assert rule.usual_effect(numeric_effect(*leave_one_out(np.zeros((0, 8, 5))), 1.0), nothing).shape == (0,)
    current = numeric_effect(np.full((3, 5), 50), np.full((3, 5), 20), 1.0)
    usual = rule.usual_effect(numeric_effect(*leave_one_out(np.zeros((3, 0, 5))), 1.0), current)
    assert np.isnan(usual).all()
    assert list(rule.decide(current.p_value, current, usual)) == [Verdict.OK] * 3
