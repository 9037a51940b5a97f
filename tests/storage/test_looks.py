"""A look gives what the same questions give one by one, whichever rows are read together for them."""

from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import compiled, queries
from storage.database import Database
from storage.errors import NotFoundError
from storage.looks import MULTIPLE, CellsOf, look, warm_up
from storage.queries import Filter
from tests.storage.test_queries import boxes, confidences, filled, filters, metres, quick

__all__ = ["filled"]


def assert_same(found: pd.DataFrame | None, plain: pd.DataFrame, keys: list[str]) -> None:
    assert found is not None
    one, other = (frame.sort_values(keys).reset_index(drop=True) for frame in (found, plain))
    for name in plain.columns:
        numbers = (
            frame[name].to_numpy("datetime64[D]").astype(float)
            if name == "day"
            else frame[name].astype("Float64").to_numpy(float, na_value=np.nan)
            for frame in (one, other)
        )
        np.testing.assert_allclose(*numbers, rtol=1e-12, err_msg=name)


@quick
@given(filters, confidences, boxes, boxes, st.integers(6, 16), st.booleans())
def test_a_look_gives_what_its_questions_give_one_by_one(
    filled, part: dict, confidence, box, seen, level: int, by_class: bool
) -> None:
    database, _ = filled
    filter_ = Filter("crops", **part, confidence=confidence, bounds=metres(box))
    cells = CellsOf(replace(filter_, bounds=metres(seen)), level, by_class)
    found = look(database, "crops", cells=cells, outcomes=filter_, days=filter_)
    assert_same(found.outcomes, queries.outcomes(database, filter_), ["predicted", "label", "confidence_bin"])
    assert_same(found.days, queries.outcomes_by_day(database, replace(filter_, start=None, end=None)), ["day"])

    raster = found.cells
    assert raster is not None
    rows, columns = np.nonzero(raster.sums["n"])
    table = {"x": columns + raster.left, "y": rows + raster.top}
    table |= {name: sums[rows, columns] for name, sums in raster.sums.items()}
    if raster.classes is not None:
        table |= {f"n_{code}": counts[rows, columns] for code, counts in enumerate(raster.classes)}
    plain = (queries.class_cells if by_class else queries.cells)(database, cells.filter_, level)
    assert_same(pd.DataFrame(table), plain.drop(columns="sum_labelled_confidence"), ["x", "y"])
    assert not any(each % MULTIPLE for each in (raster.left, raster.top, *raster.sums["n"].shape))


def test_nothing_is_in_sight_beside_the_predictions(filled) -> None:
    database, _ = filled
    far = Filter("crops", bounds=metres((-80.0, -40.0, -79.0, -39.0)))
    found = look(database, "crops", cells=CellsOf(far, 12), outcomes=far, days=far)
    assert found.cells is not None
    assert not found.cells.sums["n"].any()
    assert found.outcomes is not None
    assert found.outcomes.empty


def test_only_what_is_asked_for_is_read(filled) -> None:
    database, _ = filled
    found = look(database, "crops", days=Filter("crops"))
    assert (found.cells, found.outcomes) == (None, None)


def test_a_model_without_predictions_cannot_be_looked_at() -> None:
    with Database.open(":memory:") as database, pytest.raises(NotFoundError, match="crops"):
        look(database, "crops", days=Filter("crops"))


def test_loops_are_compiled_once() -> None:
    warm_up()
    loops = (compiled.add_cells, compiled.add_outcomes, compiled.add_days, compiled.add_summed)
    assert [len(loop.signatures) for loop in loops] == [1, 1, 1, 1]


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=50))
def test_millionths_are_rounded_as_the_store_rounds_them(values: list[float]) -> None:
    values = [*values, 0.0000005, 0.1234565, 0.49999999999999994e-6]
    with duckdb.connect() as connection:
        stored = connection.execute("SELECT round(unnest(?::DOUBLE[]) * 1000000)", [values]).fetchall()
    assert [compiled._millionths(value) for value in values] == [each for (each,) in stored]
