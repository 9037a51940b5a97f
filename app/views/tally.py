"""The sums that every chart of a selection is drawn from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring.calibration import BINS

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Additive sums of a set of predictions; K classes by code, 20 confidence bins.

    `confusion` [K, K]: labelled rows, predicted × label. Per bin [20]: `rows` all rows with a confidence;
    `labelled`, `correct` and `sum_confidence` those that have a label too, as are the sums of confidence² and
    of the confidence of the correct ones. `n`: all rows.
    """

    n: int
    confusion: Counts
    rows: Counts
    labelled: Counts
    correct: Counts
    sum_confidence: Counts
    sum_confidence2: float
    sum_confidence_correct: float

    def __sub__(self, part: "Tally") -> "Tally":
        """What is left when `part`, a subset, is taken away."""
        return Tally(
            self.n - part.n,
            self.confusion - part.confusion,
            self.rows - part.rows,
            self.labelled - part.labelled,
            self.correct - part.correct,
            np.maximum(self.sum_confidence - part.sum_confidence, 0.0),
            max(self.sum_confidence2 - part.sum_confidence2, 0.0),
            max(self.sum_confidence_correct - part.sum_confidence_correct, 0.0),
        )

    @property
    def n_labelled(self) -> int:
        return int(self.confusion.sum())


def tally(outcomes: pd.DataFrame, classes: int) -> Tally:
    """The sums of what `storage.queries.outcomes` returned, for a model of `classes` classes."""
    n = outcomes["n"].to_numpy(float)
    predicted = outcomes["predicted"].to_numpy(int)
    has_label = outcomes["label"].notna().to_numpy()
    label = outcomes["label"].fillna(-1).to_numpy(int)
    has_confidence = outcomes["confidence_bin"].notna().to_numpy()
    place = outcomes["confidence_bin"].fillna(0).to_numpy(int)
    total = outcomes["sum_confidence"].fillna(0.0).to_numpy(float)

    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (predicted[has_label], label[has_label]), n[has_label])

    def per_bin(keep: npt.NDArray[np.bool_], weights: Counts) -> Counts:
        return np.bincount(place[keep], weights=weights[keep], minlength=BINS).astype(float)

    known = has_confidence & has_label
    right = known & (predicted == label)
    return Tally(
        int(n.sum()),
        confusion,
        per_bin(has_confidence, n),
        per_bin(known, n),
        per_bin(right, n),
        per_bin(known, total),
        float(outcomes["sum_confidence2"].fillna(0.0).to_numpy(float)[known].sum()),
        float(total[right].sum()),
    )
