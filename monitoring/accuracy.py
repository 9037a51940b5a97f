"""Accuracy from confusion matrices, with intervals.

A confusion matrix has predicted classes in rows and labels in columns. Every function takes any number of
leading axes (the whole and its regions) and gives NaN where there is nothing to divide by.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share with its 95% Wilson interval, and the sample size behind it. Arrays of one shape."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    n: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Current minus reference share, its 95% interval and the two-sided p-value of 'no difference'."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    p_value: NDArray[np.float64]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """numerator ÷ denominator; NaN where the denominator is not positive."""
    above, below = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def wilson(successes: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bound of the 95% score interval of a share; NaN where n is 0.

    Counts may be fractions (effective sample sizes). Wilson 1927, JASA 22; Brown, Cai and DasGupta 2001,
    Statistical Science 16.
    """
    n = np.asarray(n, dtype=np.float64)
    share = ratio(successes, n)
    shrink = ratio(Z95**2, n)
    centre = (share + shrink / 2) / (1 + shrink)
    inside = np.maximum(share * (1 - share), 0.0)
    half = np.sqrt(inside * shrink + shrink**2 / 4) / (1 + shrink)
    # At shares of 0 and 1 a bound is exactly 0 or 1; rounding must not push it beyond.
    lower = np.where(share == 0, 0.0, np.maximum(centre - half, 0.0))
    upper = np.where(share == 1, 1.0, np.minimum(centre + half, 1.0))
    return lower, upper


def proportion(successes: ArrayLike, n: ArrayLike) -> Proportion:
    """successes ÷ n with its Wilson interval."""
    lower, upper = wilson(successes, n)
    value = ratio(successes, n)
    return Proportion(value, lower, upper, np.broadcast_to(np.asarray(n, dtype=np.float64), value.shape))


def overall(confusion: ArrayLike) -> Proportion:
    """Share of labelled predictions that are correct. `confusion` [..., K, K] → [...]."""
    counts = np.asarray(confusion, dtype=np.float64)
    return proportion(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def users_accuracy(confusion: ArrayLike) -> Proportion:
    """Of what was predicted as a class, the share that is that class (precision). [..., K, K] → [..., K]."""
    counts = np.asarray(confusion, dtype=np.float64)
    return proportion(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def producers_accuracy(confusion: ArrayLike) -> Proportion:
    """Of what is labelled as a class, the share predicted as it (recall). [..., K, K] → [..., K]."""
    counts = np.asarray(confusion, dtype=np.float64)
    return proportion(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-2))


def difference(current: Proportion, reference: Proportion) -> Difference:
    """Current minus reference share, two independent samples.

    Interval: Newcombe's hybrid score interval (Newcombe 1998, Statistics in Medicine 17, method 10).
    p-value: two-sided pooled score test; 1 where both samples are all correct or all wrong. NaN where a
    sample is empty.
    """
    value = current.value - reference.value
    below = np.hypot(current.value - current.lower, reference.upper - reference.value)
    above = np.hypot(current.upper - current.value, reference.value - reference.lower)
    pooled = ratio(current.value * current.n + reference.value * reference.n, current.n + reference.n)
    variance = np.maximum(pooled * (1 - pooled), 0.0) * (ratio(1, current.n) + ratio(1, reference.n))
    p_value = 2 * ndtr(-np.abs(ratio(value, np.sqrt(variance))))
    p_value = np.where(np.isfinite(value) & ~(variance > 0), 1.0, p_value)
    return Difference(value, value - below, value + above, p_value)
