"""Two distributions on shared bars, and rows of a heatmap by likeness."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from app.views.distribution import MOST_BARS, of_bins, of_categories
from app.views.drift_heatmap import grid_of, similar
from storage.queries import Bins
from storage.records import Finding, Verdict


def bins_of(counts: dict[int | None, int]) -> pd.DataFrame:
    return pd.DataFrame({"region": 1, "bin": pd.array(list(counts), dtype="Int64"), "n": list(counts.values())})


def test_no_row_is_lost_when_bins_are_joined() -> None:
    rng = np.random.default_rng(1)
    before = bins_of({place: int(n) for place, n in enumerate(rng.integers(1, 40, 300))})
    now = bins_of({place: int(n) for place, n in enumerate(rng.integers(1, 40, 300), start=120)} | {None: 7})
    found = of_bins("ndvi", before, now, Bins(-1.0, 0.01))
    assert len(found.current) <= MOST_BARS
    assert found.reference.sum() == before["n"].sum()
    assert found.current.sum() == now["n"].sum() - 7
    assert found.edges is not None
    assert len(found.edges) == len(found.current) + 1
    assert np.all(np.diff(found.edges) > 0)


def test_bars_lie_where_the_values_do() -> None:
    found = of_bins("ndvi", bins_of({10: 5, 11: 5}), bins_of({11: 8, 12: 2}), Bins(2.0, 0.5))
    assert found.edges is not None
    assert found.edges.tolist() == pytest.approx([7.0, 7.5, 8.0, 8.5])
    assert found.reference.tolist() == [5, 5, 0]
    assert found.current.tolist() == [0, 8, 2]


def test_a_side_without_rows_is_empty_and_so_are_both() -> None:
    found = of_bins("ndvi", bins_of({3: 4}), bins_of({}), Bins(0.0, 1.0))
    assert found.current.tolist() == [0]
    assert of_bins("ndvi", bins_of({None: 3}), bins_of({}), Bins(0.0, 1.0)).reference.size == 0


def test_categories_are_shared_and_the_largest_comes_first() -> None:
    before = pd.DataFrame({"category": ["a", "b", None], "n": [10, 30, 5]})
    now = pd.DataFrame({"category": ["b", "c"], "n": [1, 2]})
    found = of_categories("sensor", before, now, {"a": "A"})
    assert found.names == ("b", "A", "c")
    assert found.reference.tolist() == [30, 10, 0]
    assert found.current.tolist() == [1, 0, 2]


def test_like_rows_are_neighbours_and_the_largest_on_top() -> None:
    effects = np.array([[0.0, 0.1], [0.5, 0.4], [0.1, 0.0], [0.5, 0.5], [0.0, 0.0]])
    order = similar(effects).tolist()
    assert set(order[:2]) == {1, 3}
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_a_grid_has_the_whole_on_top_and_figures_by_mean_effect() -> None:
    window = (datetime(2026, 4, 13), datetime(2026, 4, 20))

    def finding(region: str | None, metric: str, value: float | None) -> Finding:
        return Finding("crops", "1", region, region, *window, metric, value, None, None, 99, Verdict.OK)

    found = [
        finding(region, metric, value)
        for region, values in ((None, (0.1, 0.2)), ("d1", (0.1, 0.6)), ("d2", (None, 0.1)))
        for metric, value in zip(("drift:a", "drift:b"), values, strict=True)
    ]
    grid = grid_of([*found, finding("p1", "drift:a", 1.0)], ["d1", "d2"])
    assert grid.rows == ("The whole", "d1", "d2")
    assert grid.metrics == ("drift:b", "drift:a")
    assert grid.place("d2", "drift:a") == (2, 1)
    assert grid.place("p1", "drift:a") is None
