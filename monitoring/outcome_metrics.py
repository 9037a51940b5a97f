"""Figures of predictions held against labels: accuracy, accuracy by class, calibration. One function a metric.

To add a metric write a function from a Comparison to findings and name it in METRICS.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from monitoring.accuracy import Difference, Proportion, difference, overall, producers_accuracy, ratio, users_accuracy
from monitoring.calibration import Estimate, confidence_gap, expected_calibration_error
from monitoring.comparison import FEW_ROWS, MIN_ROWS, Comparison, judge_change
from monitoring.tally import Tally
from storage.records import Finding, Verdict

Floats = NDArray[np.float64]


def accuracy(comparison: Comparison) -> list[Finding]:
    """Share correct of the labelled, against the region's own reference; the whole's where it has too few."""
    current = overall(comparison.current.confusion)
    reference = own_or_whole(overall(comparison.reference.confusion))
    return share_findings(comparison, "accuracy", current, reference)


def class_accuracy(comparison: Comparison) -> list[Finding]:
    """User's and producer's accuracy of every class."""
    found = []
    for name, measure in (("users_accuracy", users_accuracy), ("producers_accuracy", producers_accuracy)):
        current = measure(comparison.current.confusion)
        reference = own_or_whole(measure(comparison.reference.confusion))
        for code, label in enumerate(comparison.classes):
            found += share_findings(comparison, f"{name}:{label}", column(current, code), column(reference, code))
    return found


def column(shares: Proportion, code: int) -> Proportion:
    return Proportion(shares.value[:, code], shares.lower[:, code], shares.upper[:, code], shares.n[:, code])


def own_or_whole(reference: Proportion) -> Proportion:
    """`reference` [units, ...] with the whole's figures where a unit has fewer than 30 rows of its own."""
    few = reference.n < MIN_ROWS
    arrays = (reference.value, reference.lower, reference.upper, reference.n)
    return Proportion(*(np.where(few, array[:1], array) for array in arrays))


def share_findings(comparison: Comparison, metric: str, current: Proportion, reference: Proportion) -> list[Finding]:
    change = difference(current, reference)
    verdict, details = judge_change(comparison, change, -change.value, current.n, reference.n)
    return comparison.findings(
        metric, current.value, current.lower, current.upper, current.n, verdict, reference.value, details
    )


def gap(tally: Tally) -> Estimate:
    """Mean confidence minus accuracy, by unit."""
    return confidence_gap(
        tally.labelled.sum(axis=-1),
        tally.correct.sum(axis=-1),
        tally.sum_labelled.sum(axis=-1),
        tally.sum_labelled2,
        tally.sum_correct,
    )


def calibration_gap(comparison: Comparison) -> list[Finding]:
    """Mean confidence minus accuracy of the labelled, judged by how much further from 0 than in the reference."""
    current, reference = gap(comparison.current), gap(comparison.reference)
    few = reference.n < MIN_ROWS
    reference = Estimate(
        *(np.where(few, array[:1], array) for array in (reference.value, reference.lower, reference.upper, reference.n))
    )
    value = current.value - reference.value
    half = np.hypot(current.upper - current.value, reference.upper - reference.value)
    error = half / 1.959963984540054
    change = Difference(value, value - half, value + half, 2 * ndtr(-np.abs(ratio(value, error))))
    worsening = np.abs(current.value) - np.abs(reference.value)
    verdict, details = judge_change(comparison, change, worsening, current.n, reference.n)
    return comparison.findings(
        "confidence_gap", current.value, current.lower, current.upper, current.n, verdict, reference.value, details
    )


def calibration_error(comparison: Comparison) -> list[Finding]:
    """Expected calibration error, judged by what exceeds chance: a sample of a calibrated model shows some too."""
    current, reference = comparison.current, comparison.reference
    n = current.labelled.sum(axis=-1)
    value = expected_calibration_error(current.labelled, current.correct, current.sum_labelled)
    usual = expected_calibration_error(reference.labelled, reference.correct, reference.sum_labelled)
    usual = np.where(reference.labelled.sum(axis=-1) < MIN_ROWS, usual[:1], usual)
    chance = error_by_chance(current)
    excess = value - chance - np.nan_to_num(usual)
    verdict = np.full(len(n), Verdict.OK, dtype=object)
    if not comparison.is_reference:
        verdict[excess >= 0.05] = Verdict.WARNING
        verdict[excess >= 0.10] = Verdict.CRITICAL
    verdict[n < MIN_ROWS] = Verdict.INSUFFICIENT
    details = {"expected_by_chance": chance, "reason": np.where(n < MIN_ROWS, FEW_ROWS, "")}
    return comparison.findings("ece", value, np.nan, np.nan, n, verdict, usual, details)


def error_by_chance(tally: Tally) -> Floats:
    """The expected calibration error of a calibrated model on these rows: Σ √(2/π · n_b c_b (1 − c_b)) ÷ n.

    In bin b the number correct has variance n_b c_b (1 − c_b), c_b its mean confidence; the mean absolute
    deviation of a normal variable is √(2/π) of its standard deviation.
    """
    mean = np.nan_to_num(ratio(tally.sum_labelled, tally.labelled))
    spread = np.sqrt(2 / np.pi * tally.labelled * np.maximum(mean * (1 - mean), 0.0))
    return ratio(spread.sum(axis=-1), tally.labelled.sum(axis=-1))


def mean_confidence(comparison: Comparison) -> list[Finding]:
    """Mean confidence of all predictions, labelled or not. Its drift is judged by drift:confidence."""
    n, value, half = confidence_mean(comparison.current)
    n_reference, reference, _ = confidence_mean(comparison.reference)
    verdict = np.where(n < MIN_ROWS, Verdict.INSUFFICIENT, Verdict.OK).astype(object)
    details = {"n_reference": n_reference, "reason": np.where(n < MIN_ROWS, FEW_ROWS, "")}
    return comparison.findings("confidence", value, value - half, value + half, n, verdict, reference, details)


def confidence_mean(tally: Tally) -> tuple[Floats, Floats, Floats]:
    """Rows, mean confidence and half its 95% interval (normal), by unit."""
    n = tally.rows.sum(axis=-1)
    value = ratio(tally.sum_confidence.sum(axis=-1), n)
    variance = np.maximum(ratio(tally.sum_confidence2, n) - value**2, 0.0)
    return n, value, 1.959963984540054 * np.sqrt(ratio(variance, n))


METRICS: Sequence[Callable[[Comparison], list[Finding]]] = (
    accuracy,
    class_accuracy,
    calibration_gap,
    calibration_error,
    mean_confidence,
)
