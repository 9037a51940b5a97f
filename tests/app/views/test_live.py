"""A chart that is kept up to date holds what a chart drawn anew holds."""

from typing import Any

import geopandas as gpd
import holoviews as hv
import numpy as np
import pandas as pd
import pytest
import shapely
from bokeh.models import FactorRange, LinearColorMapper
from bokeh.plotting import figure

from app.pages import explore_charts, explore_map
from app.views.layers import LAYERS, Layer
from app.views.live import Live
from app.views.outlines import in_metres
from monitoring.tally import Tally, tally
from tests.app.rasters import raster
from tests.app.views.test_layers import CLASSES, cells, class_cells, wide

NAMES = ["wheat", "cotton", "rice", "fallow"]
EUROPE, ASIA, OCEAN = (-1e6, 4e6, 4e6, 8e6), (6e6, 4e6, 9e6, 7e6), (-1.7e7, -1e6, -1.69e7, -0.99e6)


def sums(seed: int, rows: int = 60) -> Tally:
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 50, rows)
    bins = rng.integers(0, 20, rows)
    label = pd.array(rng.integers(0, CLASSES, rows), "Int16")
    label[rng.random(rows) < 0.3] = pd.NA
    mean = (bins + 0.5) / 20
    table = pd.DataFrame(
        {
            "predicted": rng.integers(0, CLASSES, rows), "label": label, "confidence_bin": pd.array(bins, "Int8"),
            "n": n, "sum_confidence": n * mean, "sum_confidence2": n * mean**2,
        }
    )  # fmt: skip
    return tally(table, CLASSES)


def days(seed: int, count: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 40, count)
    labelled = rng.integers(0, n + 1)
    return pd.DataFrame(
        {
            "day": pd.date_range("2026-01-01", periods=count * 2)[np.sort(rng.permutation(count * 2)[:count])],
            "n": n, "n_labelled": labelled, "n_correct": rng.integers(0, labelled + 1),
        }
    )  # fmt: skip


def layer(key: str, seed: int) -> tuple[Layer, Any, list[str], bool]:
    by_class = key == "predicted"
    table = wide(class_cells(seed)) if by_class else cells(seed)
    return LAYERS[key], raster(table.iloc[: 300 * (seed > 0)], 10, CLASSES if by_class else 0), NAMES, seed % 2 == 0


def singles(count: int) -> pd.DataFrame | None:
    known = np.arange(count) % 3 > 0
    return None if count == 0 else pd.DataFrame(
        {
            "id": [f"s{row}" for row in range(count)], "x": np.arange(count) * 10.0, "y": np.arange(count) * 5.0,
            "predicted": [NAMES[row % 4] for row in range(count)],
            "label": [NAMES[row % 3] if yes else None for row, yes in enumerate(known)],
            "confidence": np.where(known, 0.5, np.nan), "predicted_at": pd.date_range("2026-01-01", periods=count),
        }
    )  # fmt: skip


BOUNDARIES = in_metres(
    gpd.GeoDataFrame(
        geometry=[shapely.box(5, 45, 10, 50), shapely.box(60, 40, 70, 44).difference(shapely.box(63, 41, 64, 42))],
        crs=4326,
    )
)
CHARTS: dict[str, list[tuple[Any, ...]]] = {
    "calibration": [(sums(1), sums(2)), (sums(3, 5), sums(4)), (sums(5, 0), sums(5, 0)), (sums(1), sums(2))],
    "confidence": [(sums(1), sums(2), None), (sums(3), sums(4, 3), (0.5, 0.9)), (sums(5, 0), sums(2), None)],
    "errors": [(sums(5, 0), NAMES, False), (sums(1), NAMES, False), (sums(3, 4), NAMES, True)],
    "timeline": [(days(1, 30),), (days(2, 300),), (days(3, 0),), (days(4, 1),)],
}
PARTS: dict[str, list[tuple[Any, ...]]] = {
    "land": [(OCEAN, 100), (EUROPE, 5000), (ASIA, 5000)],
    "borders": [(OCEAN, 100), (EUROPE, 5000), (ASIA, 5000)],
    "outlines": [(BOUNDARIES, None, EUROPE, 5000), (BOUNDARIES, 1, ASIA, 500), (BOUNDARIES[:0], None, ASIA, 500)],
    "points": [(singles(0), NAMES), (singles(5), NAMES), (singles(400), NAMES), (singles(1), NAMES)],
    "box": [(None,), ((0.0, 1.0, 2.0, 3.0),), (None,)],
    "cells": [layer("errors", 0), layer("errors", 1), layer("density", 2), layer("predicted", 3)],
}


def picture(live: Live) -> figure:
    """The Bokeh figure of a chart that is drawn for the first time."""
    found: figure = hv.renderer("bokeh").get_plot(hv.Overlay([live.dynamic]).collate()).state
    return found


def columns(shown: figure) -> list[dict[str, Any]]:
    return [dict(renderer.data_source.data) for renderer in shown.renderers]


def ranges(shown: figure) -> list[Any]:
    return [
        list(axis.factors) if isinstance(axis, FactorRange) else [pd.Timestamp(axis.start), pd.Timestamp(axis.end)]
        for axis in (shown.x_range, shown.y_range)
    ]


def same(one: Any, other: Any) -> None:
    """Whether two columns show the same. Lines and rings are lists of arrays."""
    assert len(one) == len(other)
    if len(one) and isinstance(one[0], list | np.ndarray):
        for mine, others in zip(one, other, strict=True):
            same(mine, others)
    elif len(one) and isinstance(one[0], str):
        assert list(one) == list(other)
    else:
        np.testing.assert_allclose(np.asarray(one).astype(float), np.asarray(other).astype(float))


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_kept_up_to_date_holds_what_one_drawn_anew_does(name: str) -> None:
    draw, content = explore_charts.PARTS[name]
    first, *later = CHARTS[name]
    live = Live(draw, content, *first)
    shown = picture(live)
    for each in later:
        live.show(*each)
        anew = picture(Live(draw, content, *each))
        assert len(shown.renderers) == len(anew.renderers)
        for mine, others in zip(columns(shown), columns(anew), strict=True):
            for column in sorted(
                mine.keys() & others.keys() - {"share", "n", "wrong", "label", "predicted", "zvalues"}
            ):
                same(mine[column], others[column])
            assert used(mine) >= used(others) - {"wrong", "height"}
        assert scales(shown) == scales(anew)
        if name != "timeline" or len(each[0]):
            assert ranges(shown) == ranges(anew)


def scales(shown: figure) -> list[Any]:
    """Palette and ends of every colour scale."""
    return [(list(each.palette), each.low, each.high) for each in shown.select({"type": LinearColorMapper})]


def used(found: dict[str, Any]) -> set[str]:
    return {name for name, column in found.items() if len(column)}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_map_kept_up_to_date_holds_what_one_drawn_anew_does(name: str) -> None:
    draw, content = explore_map.PARTS[name]
    first, *later = PARTS[name]

    def on_a_map(*sums: Any) -> tuple[Live, figure]:
        live = Live(draw, content, *sums)
        overlay = hv.Overlay([live.dynamic, hv.DynamicMap(lambda: hv.Curve([0, 1]))]).collate()
        return live, hv.renderer("bokeh").get_plot(overlay.opts(xlim=(0, 1), ylim=(0, 1))).state

    live, shown = on_a_map(*first)
    for each in later:
        live.show(*each)
        _, anew = on_a_map(*each)
        for mine, others in zip(columns(shown), columns(anew), strict=True):
            for column in mine.keys() & others.keys():
                same(mine[column], others[column])
            assert used(mine) >= used(others)
        assert scales(shown) == scales(anew)


def test_a_chart_opened_again_shows_the_latest() -> None:
    draw, content = explore_charts.PARTS["calibration"]
    live = Live(draw, content, sums(1), sums(2))
    picture(live)
    live.show(sums(3), sums(4))
    same(columns(picture(live))[3]["accuracy"], content(sums(3), sums(4)).glyphs[3]["accuracy"])


def test_what_did_not_change_is_not_written_again() -> None:
    draw, content = explore_charts.PARTS["calibration"]
    live = Live(draw, content, sums(1), sums(2))
    shown = picture(live)
    live.show(sums(3), sums(4))
    before = [each.data_source.data for each in shown.renderers]
    live.show(sums(3), sums(4))
    assert all(each.data_source.data is data for each, data in zip(shown.renderers, before, strict=True))
    live.show(sums(3), sums(5))
    same = [each.data_source.data is data for each, data in zip(shown.renderers, before, strict=True)]
    assert same == [True, False, True, True, True]  # the rest is one curve


def test_the_colour_of_texts_on_the_errors_is_their_own() -> None:
    draw, content = explore_charts.PARTS["errors"]
    live = Live(draw, content, sums(5, 0), NAMES, False)
    shown = picture(live)
    live.show(sums(3, 4), NAMES, False)
    texts = shown.renderers[1]
    assert texts.glyph.text_color == "text_color"
    assert "#ffffff" in texts.data_source.data["text_color"]
