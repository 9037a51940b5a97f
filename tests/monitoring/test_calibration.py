import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from monitoring.calibration import BINS, confidence_gap, expected_calibration_error, reliability


def rows(n=4000, seed=3):
    random = np.random.default_rng(seed)
    confidence = random.beta(5, 2, n)
    return confidence, random.random(n) < confidence - 0.1


def sums(confidence, correct):
    place = np.minimum(np.floor(confidence * BINS).astype(int), BINS - 1)
    return [np.bincount(place, weights, minlength=BINS) for weights in (None, correct, confidence)]


def gap_arguments(confidence, correct):
    return (
        len(confidence),
        correct.sum(),
        confidence.sum(),
        (confidence**2).sum(),
        (confidence * correct).sum(),
    )


def test_the_reliability_curve_is_that_of_scikit_learn():
    confidence, correct = rows()
    curve = reliability(*sums(confidence, correct))
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=BINS, strategy="uniform")
    filled = curve.n > 0
    np.testing.assert_allclose(curve.accuracy[filled], accuracy)
    np.testing.assert_allclose(curve.mean_confidence[filled], mean_confidence)
    assert np.isnan(curve.accuracy[~filled]).all()
    assert (curve.lower[filled] <= curve.accuracy[filled]).all()


def test_the_calibration_error_is_that_of_its_definition():
    confidence, correct = rows()
    error = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (confidence >= low) & (confidence < low + 1 / BINS)
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    assert expected_calibration_error(*sums(confidence, correct)) == pytest.approx(error)


def test_the_gap_and_its_interval_are_those_of_the_rows():
    confidence, correct = rows(200)
    gap = confidence_gap(*gap_arguments(confidence, correct))
    each = confidence - correct
    expected = stats.t.interval(0.95, len(each) - 1, each.mean(), stats.sem(each))
    np.testing.assert_allclose((gap.lower, gap.upper), expected)
    assert gap.value == pytest.approx(each.mean())
    assert gap.n == 200


def test_nothing_labelled_is_nan_and_one_row_has_no_interval():
    nothing = np.zeros((2, BINS))
    assert np.isnan(expected_calibration_error(nothing, nothing, nothing)).all()
    assert np.isnan(reliability(nothing, nothing, nothing).accuracy).all()
    gap = confidence_gap([0, 1], [0, 1], [0, 0.9], [0, 0.81], [0, 0.9])
    np.testing.assert_allclose(gap.value, [np.nan, -0.1])
    assert np.isnan(gap.lower).all()


def test_units_are_leading_axes():
    stacked = np.stack([sums(*rows(seed=seed)) for seed in range(6)], axis=1).reshape(3, 2, 3, BINS)
    assert expected_calibration_error(*stacked).shape == (2, 3)
    assert reliability(*stacked).lower.shape == (2, 3, BINS)
