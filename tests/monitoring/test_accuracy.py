import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)

from monitoring.accuracy import difference, overall, producers_accuracy, proportion, users_accuracy, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (9, 9), (3, 7), (134, 305), (1, 1), (999_999, 1_000_000)])
def test_wilson_is_that_of_statsmodels(successes, n):
    expected = proportion_confint(successes, n, alpha=0.05, method="wilson")
    np.testing.assert_allclose(wilson(successes, n), expected, rtol=1e-9, atol=1e-15)


def test_wilson_of_nothing_is_nan():
    lower, upper = wilson([0, 1], [0, 2])
    assert np.isnan([lower[0], upper[0]]).all()
    assert np.isfinite([lower[1], upper[1]]).all()


def test_per_class_accuracy_is_precision_and_recall():
    random = np.random.default_rng(1)
    label, predicted = random.integers(0, 4, 500), random.integers(0, 4, 500)
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (predicted, label), 1)
    np.testing.assert_allclose(users_accuracy(confusion).value, precision_score(label, predicted, average=None))
    np.testing.assert_allclose(producers_accuracy(confusion).value, recall_score(label, predicted, average=None))
    assert overall(confusion).value == pytest.approx((label == predicted).mean())
    assert overall(confusion).n == 500


def test_units_are_leading_axes_and_add_up():
    confusion = np.random.default_rng(2).integers(0, 30, (5, 6, 3, 3))
    each = overall(confusion)
    assert each.value.shape == (5, 6)
    assert users_accuracy(confusion).value.shape == (5, 6, 3)
    whole = overall(confusion.sum(axis=(0, 1)))
    assert whole.value == pytest.approx((each.value * each.n).sum() / each.n.sum())


def test_a_class_nobody_predicted_has_no_users_accuracy():
    confusion = np.array([[8, 2], [0, 0]])
    assert np.isnan(users_accuracy(confusion).value[1])
    assert producers_accuracy(confusion).value[1] == 0
    assert np.isnan(overall(np.zeros((2, 2))).value)


@pytest.mark.parametrize(
    ("k1", "n1", "k2", "n2"), [(134, 305, 900, 1000), (5, 30, 8, 40), (0, 20, 3, 25), (30, 30, 28, 31)]
)
def test_difference_is_that_of_statsmodels(k1, n1, k2, n2):
    found = difference(proportion(k1, n1), proportion(k2, n2))
    expected = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", compare="diff")
    np.testing.assert_allclose((found.lower, found.upper), expected, rtol=1e-8)
    assert found.value == pytest.approx(k1 / n1 - k2 / n2)
    assert found.p_value == pytest.approx(proportions_ztest([k1, k2], [n1, n2])[1], rel=1e-8)


def test_two_perfect_samples_do_not_differ():
    found = difference(proportion([10, 0, 0], [10, 5, 0]), proportion([20, 0, 3], [20, 9, 4]))
    np.testing.assert_array_equal(found.p_value, [1, 1, np.nan])
    assert np.isnan(found.lower[2])
    assert (found.lower[:2] < 0).all()
    assert (found.upper[:2] > 0).all()
