"""Does confidence mean what it says? Reliability curve, expected calibration error, confidence gap.

Every function works on additive sums with any number of leading axes (the whole and its regions) and gives
NaN where there are no labels. Confidence is that of the predicted class, 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from monitoring.accuracy import ratio, wilson

BINS = 20


@dataclass(frozen=True, slots=True)
class Reliability:
    """Per confidence bin: mean confidence, share correct with its 95% Wilson interval, labelled rows."""

    mean_confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    n: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95% interval, and the sample size behind it. Arrays of one shape."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    n: NDArray[np.float64]


def reliability(n_labelled: ArrayLike, n_correct: ArrayLike, sum_confidence: ArrayLike) -> Reliability:
    """The reliability curve. All arguments [..., BINS], over labelled rows that have a confidence."""
    n = np.asarray(n_labelled, dtype=np.float64)
    lower, upper = wilson(n_correct, n)
    return Reliability(ratio(sum_confidence, n), ratio(n_correct, n), lower, upper, n)


def expected_calibration_error(
    n_labelled: ArrayLike, n_correct: ArrayLike, sum_confidence: ArrayLike
) -> NDArray[np.float64]:
    """Mean over rows of |mean confidence − share correct| of their bin. [..., BINS] → [...].

    Naeini, Cooper and Hauskrecht 2015, AAAI. An absolute value has no zero mean: on few labels the figure is
    biased upward (a perfectly calibrated model with 100 labels shows some 0.05 to 0.1), so compare it between
    samples of like size only, and judge by `confidence_gap`, which has an interval.
    """
    wrong = np.abs(np.asarray(sum_confidence, dtype=np.float64) - np.asarray(n_correct, dtype=np.float64))
    return ratio(wrong.sum(axis=-1), np.asarray(n_labelled, dtype=np.float64).sum(axis=-1))


def confidence_gap(
    n: ArrayLike,
    n_correct: ArrayLike,
    sum_confidence: ArrayLike,
    sum_confidence2: ArrayLike,
    sum_confidence_correct: ArrayLike,
) -> Estimate:
    """Mean confidence − accuracy over labelled rows, with a 95% t interval. Positive: overconfident.

    Arguments [...]: labelled rows with a confidence, those correct, Σ c, Σ c², and Σ c over the correct ones.
    The variance is that of c − k per row (k = 1 where correct): Σ(c − k)² = Σc² − 2 Σck + Σk, so it counts
    that confidence and correctness go together. With one row the interval is NaN.
    """
    rows = np.asarray(n, dtype=np.float64)
    correct = np.asarray(n_correct, dtype=np.float64)
    value = ratio(np.asarray(sum_confidence, dtype=np.float64) - correct, rows)
    squares = np.asarray(sum_confidence2, dtype=np.float64) - 2 * np.asarray(sum_confidence_correct) + correct
    variance = np.maximum(ratio(squares - rows * value**2, rows - 1), 0.0)
    freedom = np.where(rows > 1, rows - 1, np.nan)
    half = stdtrit(freedom, 0.975) * np.sqrt(ratio(variance, rows))
    return Estimate(value, np.maximum(value - half, -1.0), np.minimum(value + half, 1.0), rows)
