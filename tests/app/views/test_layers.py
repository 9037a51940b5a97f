"""Cells as arrays hold what a plain count of the same cells gives."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.views.layers import COARSEST, LAYERS, layer_columns, legible
from storage import grid
from storage.looks import Raster
from tests.app.rasters import SUMS, raster

CLASSES = 4
LEVEL = 10


def class_cells(seed: int, rows: int = 300) -> pd.DataFrame:
    """Random cells, each class apart, in no order."""
    rng = np.random.default_rng(seed)
    width, left, top = int(rng.integers(1, 60)), int(rng.integers(0, 900)), int(rng.integers(0, 900))
    table = pd.DataFrame(
        {
            "x": left + rng.integers(0, width, rows), "y": top + rng.integers(0, width, rows),
            "predicted": rng.integers(0, CLASSES, rows),
        }
    ).drop_duplicates()  # fmt: skip
    n = rng.integers(1, 5, len(table))
    labelled = rng.integers(0, n + 1)
    confident = rng.integers(0, n + 1)
    return table.assign(
        n=n, n_labelled=labelled, n_correct=rng.integers(0, labelled + 1), n_confidence=confident,
        sum_confidence=confident * 0.75, n_entropy=n, sum_entropy=n * 0.5,
    )  # fmt: skip


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """`table` in the form of `storage.queries.class_cells`."""
    by_class = {f"n_{code}": table["n"].where(table["predicted"] == code, 0) for code in range(CLASSES)}
    return table.assign(**by_class).groupby(["x", "y"], as_index=False)[[*SUMS, *by_class]].sum()


def cells(seed: int) -> pd.DataFrame:
    """As `storage.queries.cells` gives them."""
    return class_cells(seed).groupby(["x", "y"], as_index=False)[list(SUMS)].sum()


def coarser(table: pd.DataFrame, steps: int) -> pd.DataFrame:
    """The plain way: `table` grouped by the cells `steps` levels above."""
    keys = ["x", "y", *(["predicted"] if "predicted" in table else [])]
    return table.assign(x=table["x"] // 2**steps, y=table["y"] // 2**steps).groupby(keys)[list(SUMS)].sum()


def at(found: Raster, x: int, y: int) -> tuple[int, int]:
    """The row and column of a cell."""
    return y - found.top, x - found.left


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.5, 40))
def test_arrays_hold_what_grouping_the_table_gives(seed: int, wanted: float) -> None:
    table = cells(seed)
    found = legible(raster(table, LEVEL), replace(LAYERS["errors"], wanted=wanted))
    plain = coarser(table, LEVEL - found.level)
    assert {name: found.sums[name].sum() for name in SUMS} == pytest.approx(plain.sum().to_dict())
    for (x, y), sums in plain.iterrows():
        assert {name: found.sums[name][at(found, x, y)] for name in SUMS} == pytest.approx(sums.to_dict())
    assert (found.sums["n"] > 0).sum() == len(plain)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.5, 40))
def test_cells_are_as_fine_as_their_evidence_allows(seed: int, wanted: float) -> None:
    table, layer = cells(seed), replace(LAYERS["errors"], wanted=wanted)

    def enough(steps: int) -> bool:
        evidence = coarser(table, steps)[layer.evidence]
        evidence = evidence[evidence > 0]
        return evidence.empty or evidence.median() >= wanted

    found = legible(raster(table, LEVEL), layer)
    assert LEVEL - found.level == next((steps for steps in range(COARSEST) if enough(steps)), COARSEST)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_the_class_of_a_cell_is_that_of_most_of_its_predictions(seed: int) -> None:
    table = class_cells(seed)
    found = legible(raster(wide(table), LEVEL, CLASSES), LAYERS["predicted"])
    plain = coarser(table, LEVEL - found.level)["n"]
    shown = layer_columns(LAYERS["predicted"], found)["image"][0][::-1]
    for (x, y), counts in plain.groupby(["x", "y"]):
        # Of equals the first.
        assert shown[at(found, x, y)] == counts.idxmax()[2]
    assert np.isfinite(shown).sum() == len(plain.groupby(["x", "y"]))
    by_cell = raster(table.groupby(["x", "y"], as_index=False)[list(SUMS)].sum(), LEVEL)
    for name in SUMS:
        np.testing.assert_allclose(raster(wide(table), LEVEL, CLASSES).sums[name], by_cell.sums[name])


def test_a_cell_is_where_it_is_on_the_map() -> None:
    table = cells(3)
    found = raster(table, LEVEL)
    columns = layer_columns(LAYERS["density"], found)
    one = table.iloc[7]
    row, column = at(found, int(one["x"]), int(one["y"]))
    shift = grid.DEPTH - LEVEL
    (west, east), (north, south) = grid.to_metres(
        np.array([one["x"], one["x"] + 1]) * 2**shift, np.array([one["y"], one["y"] + 1]) * 2**shift
    )
    rows_from_south = columns["image"][0].shape[0] - 1 - row
    size = grid.cell_size(LEVEL)
    assert (columns["x"][0] + column * size, columns["y"][0] + rows_from_south * size) == pytest.approx((west, south))
    assert (east - west, north - south) == pytest.approx((size, size))
    assert columns["rows"][0][rows_from_south, column] == one["n"]


def test_no_cells_are_an_empty_picture() -> None:
    columns = layer_columns(LAYERS["errors"], raster(cells(1).iloc[:0], LEVEL))
    assert not columns["rows"][0].any()
    assert np.isnan(columns["image"][0]).all()
