"""One window of one model version, held against its reference; and findings made from arrays over units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitoring.accuracy import Difference
from monitoring.configuration import MonitoredModel
from monitoring.drift import benjamini_hochberg
from monitoring.tally import Tally
from monitoring.units import Units
from storage.records import Finding, Verdict, Window

MIN_ROWS = 30
PART_OF_REFERENCE = "the window is part of the reference"
FEW_ROWS = f"fewer than {MIN_ROWS} rows"


@dataclass(frozen=True)
class Comparison:
    """What the figures of a window are computed from. `is_reference`: the window is part of the reference."""

    model: MonitoredModel
    version: str
    window: Window
    units: Units
    classes: Sequence[str]
    current: Tally
    reference: Tally
    is_reference: bool

    def findings(
        self,
        metric: str,
        value: ArrayLike,
        lower: ArrayLike,
        upper: ArrayLike,
        n: ArrayLike,
        verdict: ArrayLike,
        reference: ArrayLike = np.nan,
        details: Mapping[str, ArrayLike] | None = None,
    ) -> list[Finding]:
        """One finding a unit. Arrays [units], or single values for all; NaN stands for 'none'."""
        size = len(self.units)
        columns = [np.broadcast_to(np.asarray(array), size) for array in (value, lower, upper, n, verdict, reference)]
        extra = {name: np.broadcast_to(np.asarray(array), size) for name, array in (details or {}).items()}
        return [
            Finding(
                model=self.model.name,
                version=self.version,
                region=None if place is None else place.id,
                region_name=None if place is None else place.name,
                window_start=self.window.start,
                window_end=self.window.end,
                metric=metric,
                value=number(columns[0][k]),
                lower=number(columns[1][k]),
                upper=number(columns[2][k]),
                n=int(columns[3][k]),
                verdict=Verdict(columns[4][k]),
                reference=number(columns[5][k]),
                details={name: plain(array[k]) for name, array in extra.items()},
            )
            for k, place in enumerate(self.units.places)
        ]


def number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class DropRule:
    """When a change of a share (accuracy, confidence gap) is worth a word.

    `warning`: adjusted p < `q` and a change of at least `warning`. `critical`: adjusted p < `critical_q` and a
    change of at least `critical`. p-values are adjusted over all units by Benjamini–Hochberg.
    """

    q: float = 0.05
    critical_q: float = 0.001
    warning: float = 0.05
    critical: float = 0.10

    def decide(self, worsening: ArrayLike, p_adjusted: ArrayLike, enough: NDArray[np.bool_]) -> NDArray[np.object_]:
        """A Verdict per unit. `worsening` is the size of the change for the worse; `enough`: rows on both sides."""
        worsening, p_adjusted = np.asarray(worsening), np.asarray(p_adjusted)
        verdict = np.full(worsening.shape, Verdict.OK, dtype=object)
        with np.errstate(invalid="ignore"):
            verdict[(p_adjusted < self.q) & (worsening >= self.warning)] = Verdict.WARNING
            verdict[(p_adjusted < self.critical_q) & (worsening >= self.critical)] = Verdict.CRITICAL
        verdict[~enough] = Verdict.INSUFFICIENT
        return verdict


def judge_change(
    comparison: Comparison, change: Difference, worsening: ArrayLike, n: ArrayLike, n_reference: ArrayLike
) -> tuple[NDArray[np.object_], dict[str, ArrayLike]]:
    """Verdict and details [units] of a share that changed by `change` since the reference.

    A window that is part of the reference, or that has none, is ok where it has rows enough to say so.
    """
    few = np.asarray(n) < MIN_ROWS
    alone = np.asarray(n_reference) < MIN_ROWS
    if comparison.is_reference:
        verdict = np.where(few, Verdict.INSUFFICIENT, Verdict.OK).astype(object)
        return verdict, {"reason": np.where(few, FEW_ROWS, PART_OF_REFERENCE)}
    p_adjusted = benjamini_hochberg(np.where(few | alone, np.nan, change.p_value))
    verdict = DropRule().decide(worsening, p_adjusted, ~few & ~alone)
    reason = np.where(few, FEW_ROWS, np.where(alone, f"{FEW_ROWS} in the reference", "")).astype(object)
    return verdict, {
        "change": change.value,
        "change_lower": change.lower,
        "change_upper": change.upper,
        "p_adjusted": p_adjusted,
        "n_reference": n_reference,
        "reason": reason,
    }
