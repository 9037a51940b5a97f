"""Drift of every feature, of the predicted classes and of confidence, in the whole and every region."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.comparison import FEW_ROWS, MIN_ROWS, PART_OF_REFERENCE, Comparison
from monitoring.drift import DriftRule, Effect, benjamini_hochberg, categorical_effect, leave_one_out, numeric_effect
from monitoring.units import Units
from storage.records import Finding, Verdict

Floats = NDArray[np.float64]
FURTHEST_BIN = 1024  # from the first one of the usual span of 256; rarer values count as lying there


@dataclass(frozen=True, slots=True)
class Histograms:
    """Counts of one variable by unit: `current` [units, B], `reference` periods [units, P, B].

    `width` is that of a bin in the variable's unit; None for categories.
    """

    current: Floats
    periods: Floats
    width: float | None
    missing: Floats
    missing_reference: Floats


@dataclass(frozen=True, slots=True)
class Measured:
    """The effect of one variable by unit, and what is usual."""

    name: str
    effect: Effect
    usual: Floats
    missing: Floats
    missing_reference: Floats


def histograms(current: pd.DataFrame, reference: pd.DataFrame, units: Units, width: float | None) -> Histograms:
    """From rows of region, bin or category, n (and period) as `storage.queries.feature_histogram` returns them.

    Both missing is a missing value. `reference` has a column `period` too.
    """
    column = "category" if width is None else "bin"
    known = pd.concat([current[column], reference[column]]).dropna()
    if width is None:
        places = {value: place for place, value in enumerate(sorted(known.unique()))}
        size = max(len(places), 1)

        def place(values: pd.Series) -> NDArray[np.int64]:
            return values.map(places).to_numpy(np.int64)
    else:
        bins = known.to_numpy(np.int64).clip(-FURTHEST_BIN, 256 + FURTHEST_BIN)
        first = int(bins.min()) if len(bins) else 0
        size = int(bins.max()) - first + 1 if len(bins) else 1

        def place(values: pd.Series) -> NDArray[np.int64]:
            return values.to_numpy(np.int64).clip(-FURTHEST_BIN, 256 + FURTHEST_BIN) - first

    periods = int(reference["period"].max()) + 1 if len(reference) else 1
    return Histograms(
        _counts(current, np.zeros(len(current), np.int64), place, column, units, (1, size))[:, 0],
        _counts(reference, reference["period"].to_numpy(np.int64), place, column, units, (periods, size)),
        width,
        _missing(current, column, units),
        _missing(reference, column, units),
    )


def _counts(
    rows: pd.DataFrame,
    period: NDArray[np.int64],
    place: Callable[[pd.Series], NDArray[np.int64]],
    column: str,
    units: Units,
    shape: tuple[int, int],
) -> Floats:
    known = rows[column].notna().to_numpy()
    sums = np.zeros((units.keys, *shape))
    chosen = rows[known]
    where = (chosen["region"].to_numpy(np.int64), period[known], place(chosen[column]))
    np.add.at(sums, where, chosen["n"].to_numpy(float))
    return units.roll_up(sums)


def _missing(rows: pd.DataFrame, column: str, units: Units) -> Floats:
    missing = rows[rows[column].isna()]
    sums = np.bincount(missing["region"].to_numpy(np.int64), weights=missing["n"], minlength=units.keys)
    return units.roll_up(sums.astype(float))


def measure(name: str, counts: Histograms, units: Units, rule: DriftRule) -> Measured:
    """The effect of one variable in every unit, and how large it usually is within the reference.

    What is usual is pooled over the regions of one level; the whole is its own level.
    """
    whole_reference = counts.periods.sum(axis=1)
    rest, single = leave_one_out(counts.periods)
    if counts.width is None:
        effect = categorical_effect(whole_reference, counts.current)
        among_periods = categorical_effect(rest, single)
    else:
        effect = numeric_effect(whole_reference, counts.current, counts.width)
        among_periods = numeric_effect(rest, single, counts.width)
    usual = np.full(len(units), np.nan)
    for level in np.unique(units.levels):
        same = units.levels == level
        usual[same] = rule.usual_effect(_only(among_periods, same), _only(effect, same))
    return Measured(name, effect, usual, counts.missing, counts.missing_reference)


def _only(effect: Effect, units: NDArray[np.bool_]) -> Effect:
    arrays = (effect.value, effect.noise, effect.p_value, effect.n_reference, effect.n_current)
    return Effect(*(array[units] for array in arrays))


def drift_findings(comparison: Comparison, measured: Iterable[Measured], rule: DriftRule) -> list[Finding]:
    """A finding `drift:<name>` for every unit and variable. p-values are adjusted over all of them together."""
    variables = list(measured)
    if not variables:
        return []
    p_values = np.stack([variable.effect.p_value for variable in variables])
    enough = np.stack(
        [np.minimum(variable.effect.n_current, variable.effect.n_reference) >= MIN_ROWS for variable in variables]
    )
    p_adjusted = benjamini_hochberg(np.where(enough, p_values, np.nan))
    found = []
    for variable, adjusted in zip(variables, p_adjusted, strict=True):
        effect = variable.effect
        if comparison.is_reference:
            verdict = np.full(len(comparison.units), Verdict.INSUFFICIENT, dtype=object)
            reason = np.full(len(comparison.units), PART_OF_REFERENCE, dtype=object)
            value = np.full(len(comparison.units), np.nan)
        else:
            verdict = rule.decide(adjusted, effect, variable.usual)
            value = effect.value
            reason = np.where(effect.n_current < MIN_ROWS, FEW_ROWS, "").astype(object)
            reason[(effect.n_current >= MIN_ROWS) & (effect.n_reference < MIN_ROWS)] = f"{FEW_ROWS} in the reference"
        found += comparison.findings(
            f"drift:{variable.name}",
            value,
            np.nan,
            np.nan,
            effect.n_current,
            verdict,
            details={
                "p_adjusted": adjusted,
                "min_effect": rule.min_effect,
                "usual": variable.usual,
                "n_reference": effect.n_reference,
                "missing": variable.missing,
                "missing_reference": variable.missing_reference,
                "reason": reason,
            },
        )
    return found
