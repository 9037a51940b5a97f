"""Sums over rows, made in one pass by loops that Numba compiles when they are first run.

For what a screen shows they take a fraction of the processor time of the same sums in SQL, and one read serves
several of them. They run without Python's lock. Confidence and entropy are summed in millionths, rounded row by row as
in `storage.rollups`, so that both give the same integers.

What a row has, or is, is added as 0 or 1: a branch that rows take at random costs three times as much. For the same
reason the sums are flat, and what holds for all rows is decided before the loop.
"""

import numba
import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Array = npt.NDArray[np.generic]
Bits = npt.NDArray[np.uint8]  # one bit a row: whether it has a value; empty: all have
Column = tuple[Array, Bits]
Box = tuple[int, int, int, int]  # x first, y first, x last, y last: ends included
Span = tuple[int, int]  # first ≤ t < end, milliseconds; of rows without a time, all are within

DAY = 86_400_000
compiled = numba.njit(nogil=True)
inlined = numba.njit(nogil=True, inline="always")


@inlined
def _bit(bits: Bits, row: int) -> np.int64:
    return np.int64((bits[row >> 3] >> (row & 7)) & 1)


@inlined
def _millionths(value: np.float64) -> np.int64:
    """Halves are rounded away from zero, as DuckDB does."""
    scaled = value * 1_000_000.0
    whole = np.int64(scaled)
    left = scaled - whole
    return whole + np.int64(left >= 0.5) - np.int64(left <= -0.5)


@compiled
def add_cells(
    x: Array, y: Array, time: Array, predicted: Array, label: Column, confidence: Column, entropy: Column,
    box: Box, span: Span, shift: int, left: int, top: int, columns: int, sums: Integers, classes: Integers,
) -> None:  # fmt: skip
    """Add rows to `sums` [rows from the north, columns, 7: `storage.looks.DRAWN_SUMS`] by the cells they lie in.

    `classes` [rows, columns, K] counts them by predicted class, or is empty.
    """
    labels, labelled = label
    confidences, confident = confidence
    entropies, measured = entropy
    west, north, east, south = box
    timed, some_labelled, some_confident, some_measured = time.size, labelled.size, confident.size, measured.size
    kinds = classes.size // (sums.size // 7)
    for row in range(x.size):
        px, py = x[row], y[row]
        if px < west or px > east or py < north or py > south:
            continue
        if timed and (time[row] < span[0] or time[row] >= span[1]):
            continue
        cell = ((py >> shift) - top) * columns + (px >> shift) - left
        at = cell * 7
        known = np.int64(1)
        if some_labelled:
            known = _bit(labelled, row)
        sums[at] += 1
        sums[at + 1] += known
        sums[at + 2] += known & np.int64(labels[row] == predicted[row])
        if not some_confident or _bit(confident, row):
            millionths = _millionths(confidences[row])
            sums[at + 3] += 1
            sums[at + 4] += millionths
        if not some_measured or _bit(measured, row):
            sums[at + 5] += 1
            sums[at + 6] += _millionths(np.float64(entropies[row]))
        if kinds:
            classes[cell * kinds + predicted[row]] += 1


@compiled
def add_outcomes(
    x: Array, y: Array, time: Array, predicted: Array, label: Column, confidence: Column,
    box: Box, span: Span, classes: int, bins: int, sums: Integers,
) -> None:  # fmt: skip
    """Add rows to `sums` [predicted, label, confidence bin, 3: `storage.rollups.OUTCOME_SUMS`].

    The last of `classes` + 1 labels and the last of `bins` + 1 bins stand for none.
    """
    labels, labelled = label
    confidences, confident = confidence
    west, north, east, south = box
    timed, some_labelled, some_confident = time.size, labelled.size, confident.size
    for row in range(x.size):
        px, py = x[row], y[row]
        if px < west or px > east or py < north or py > south:
            continue
        if timed and (time[row] < span[0] or time[row] >= span[1]):
            continue
        known = np.int64(classes)
        if not some_labelled or _bit(labelled, row):
            known = np.int64(labels[row])
        at = (np.int64(predicted[row]) * (classes + 1) + known) * (bins + 1)
        if not some_confident or _bit(confident, row):
            value = confidences[row]
            bin_ = np.int64(value * bins)
            at = (at + (bin_ if bin_ < bins else bins - 1)) * 3
            sums[at + 1] += _millionths(value)
            sums[at + 2] += _millionths(value * value)
        else:
            at = (at + bins) * 3
        sums[at] += 1


@compiled
def add_days(
    x: Array, y: Array, time: Array, predicted: Array, label: Column, confidence: Column,
    box: Box, span: Span, first: int, sums: Integers,
) -> None:  # fmt: skip
    """Add rows to `sums` [days, 6: `storage.rollups.DAY_SUMS`], the first of which begins at `first` (milliseconds)."""
    labels, labelled = label
    confidences, confident = confidence
    west, north, east, south = box
    some_labelled, some_confident = labelled.size, confident.size
    for row in range(x.size):
        px, py = x[row], y[row]
        if px < west or px > east or py < north or py > south:
            continue
        if time[row] < span[0] or time[row] >= span[1]:
            continue
        at = (time[row] - first) // DAY * 6
        known = np.int64(1)
        if some_labelled:
            known = _bit(labelled, row)
        sums[at] += 1
        sums[at + 1] += known
        sums[at + 2] += known & np.int64(labels[row] == predicted[row])
        if not some_confident or _bit(confident, row):
            millionths = _millionths(confidences[row])
            sums[at + 3] += 1
            sums[at + 4] += millionths
            sums[at + 5] += millionths * known


@compiled
def add_summed(
    x: Array, y: Array, predicted: Array, values: Integers, place: int,
    shift: int, left: int, top: int, columns: int, sums: Integers, classes: Integers,
) -> None:  # fmt: skip
    """Add one sum of the rows of a roll-up by cell at its `place` in `sums`; with the first, n, `classes` too."""
    kinds = classes.size // (sums.size // 7) if place == 0 else 0
    for row in range(x.size):
        cell = ((y[row] >> shift) - top) * columns + (x[row] >> shift) - left
        sums[cell * 7 + place] += values[row]
        if kinds:
            classes[cell * kinds + predicted[row]] += values[row]
