"""The additive sums that accuracy and calibration are computed from."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.calibration import BINS
from monitoring.units import Units

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Additive sums of predictions, K classes by code, 20 confidence bins; leading axes are units, or none.

    `confusion` [..., K, K]: labelled rows, predicted × label. `predicted` [..., K]: all rows by predicted class.
    Per confidence bin [..., 20]: `rows` all rows with a confidence and their `sum_confidence`; `labelled`,
    `correct` and `sum_labelled` (Σ confidence) those that have a label too. Over the labelled rows with a
    confidence: `sum_labelled2` (Σ confidence²) and `sum_correct` (Σ confidence of the correct ones).
    `sum_confidence2` is over all rows.
    """

    confusion: Counts
    predicted: Counts
    rows: Counts
    sum_confidence: Counts
    labelled: Counts
    correct: Counts
    sum_labelled: Counts
    sum_confidence2: Counts
    sum_labelled2: Counts
    sum_correct: Counts

    @property
    def n(self) -> Counts:
        """All rows. [...]"""
        return self.predicted.sum(axis=-1)

    @property
    def n_labelled(self) -> Counts:
        """Rows with a label. [...]"""
        return self.confusion.sum(axis=(-2, -1))

    def __sub__(self, part: Self) -> "Tally":
        """What is left when `part`, a subset, is taken away."""
        left = {f.name: getattr(self, f.name) - getattr(part, f.name) for f in fields(self)}
        return Tally(**{name: np.maximum(sums, 0.0) for name, sums in left.items()})


def tally(outcomes: pd.DataFrame, classes: int, units: Units | None = None) -> Tally:
    """The sums of what `storage.queries.outcomes` (with `units`: `outcomes_by_region`) returned.

    `classes` is the number of classes. With `units` every array has a leading axis of units.
    """
    n = outcomes["n"].to_numpy(float)
    predicted = outcomes["predicted"].to_numpy(int)
    has_label = outcomes["label"].notna().to_numpy()
    label = outcomes["label"].fillna(0).to_numpy(int)
    has_confidence = outcomes["confidence_bin"].notna().to_numpy()
    place = outcomes["confidence_bin"].fillna(0).to_numpy(int)
    total = outcomes["sum_confidence"].to_numpy(float)
    squares = outcomes["sum_confidence2"].to_numpy(float)
    key = outcomes["region"].to_numpy(int) if units is not None else np.zeros(len(outcomes), int)
    keys = units.keys if units is not None else 1

    def sums(weights: Counts, keep: NDArray[np.bool_], *axes: tuple[NDArray[np.int64], int]) -> Counts:
        shape = (keys, *(size for _, size in axes))
        places = np.ravel_multi_index((key, *(values for values, _ in axes)), shape) if len(key) else key
        counted = np.bincount(places[keep], weights=weights[keep], minlength=int(np.prod(shape)))
        by_key = counted.astype(float).reshape(shape)
        return units.roll_up(by_key) if units is not None else by_key[0]

    every = np.ones(len(outcomes), bool)
    known = has_confidence & has_label
    right = known & (predicted == label)
    by_class, by_bin = (predicted, classes), (place, BINS)
    return Tally(
        confusion=sums(n, has_label, by_class, (label, classes)),
        predicted=sums(n, every, by_class),
        rows=sums(n, has_confidence, by_bin),
        sum_confidence=sums(total, has_confidence, by_bin),
        labelled=sums(n, known, by_bin),
        correct=sums(n, right, by_bin),
        sum_labelled=sums(total, known, by_bin),
        sum_confidence2=sums(squares, has_confidence),
        sum_labelled2=sums(squares, known),
        sum_correct=sums(total, right),
    )
