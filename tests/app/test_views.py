"""What the charts draw, from sums worked out by hand and from random rows."""

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from app.filters import bounds
from app.views.basemap import borders, land, path_columns
from app.views.calibration import calibration_curve
from app.views.confidence import confidence_histogram, snapped
from app.views.errors import error_heatmap
from app.views.figures import selection_figures
from app.views.layers import LAYERS, fitting_level, layer_image, legend, points_of
from app.views.timeline import timeline
from monitoring.tally import Tally, tally
from storage import grid
from tests.app.rasters import raster

CLASSES = ["wheat", "cotton", "rice"]
EUROPE = (-1e6, 4e6, 4e6, 8e6)


def outcomes(*rows: tuple[int, int | None, int | None, int, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["predicted", "label", "confidence_bin", "n", "sum_confidence"])
    table["label"] = table["label"].astype("Int16")
    table["confidence_bin"] = table["confidence_bin"].astype("Int8")
    return table.assign(sum_confidence2=table["sum_confidence"] ** 2 / table["n"])


SOME = outcomes((0, 0, 18, 90, 83.0), (0, 1, 18, 10, 9.2), (1, None, 10, 40, 21.0), (2, 2, None, 5, 0.0))
NONE = outcomes()


def cells(rows: int = 200, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"x": rng.integers(500, 540, rows), "y": rng.integers(300, 330, rows)}).drop_duplicates()
    n = rng.integers(1, 30, len(table))
    labelled = rng.integers(0, n + 1)
    return table.assign(
        n=n, n_labelled=labelled, n_correct=rng.integers(0, labelled + 1), n_confidence=n, sum_confidence=n * 0.8,
        n_entropy=n, sum_entropy=n * 0.5,
    ).reset_index(drop=True)  # fmt: skip


def drawn(element: hv.Element) -> None:
    hv.render(element, backend="bokeh")


def test_a_tally_counts_what_has_a_label_and_what_has_a_confidence() -> None:
    found = tally(SOME, 3)
    assert found.n == 145
    assert found.n_labelled == 105
    assert found.confusion.tolist() == [[90, 10, 0], [0, 0, 0], [0, 0, 5]]
    assert (found.rows[18], found.rows[10], found.labelled[18], found.correct[18]) == (100, 40, 100, 90)
    assert found.labelled.sum() == 100


def test_the_selection_and_its_rest_are_the_whole() -> None:
    whole, part = tally(SOME, 3), tally(SOME.iloc[:1], 3)
    rest = whole - part
    assert rest.n == 55
    assert rest.confusion.sum() + part.confusion.sum() == whole.confusion.sum()


def test_the_figures_have_interval_and_n() -> None:
    text = selection_figures(tally(SOME.iloc[:2], 3), tally(NONE, 3))
    assert "0.9<" in text
    assert "0.826–0.945" in text  # Wilson, 90 of 100: (0.9 + z²/200 ± …) / (1 + z²/100)
    assert "n 100" in text


def test_without_labels_the_figures_say_so() -> None:
    assert "no labels yet" in selection_figures(tally(SOME.iloc[2:3], 3), tally(NONE, 3))


@pytest.mark.parametrize("part", [SOME, NONE, SOME.iloc[2:3]])
@pytest.mark.parametrize("dark", [False, True])
def test_every_chart_is_drawn_from_much_little_and_nothing(part: pd.DataFrame, dark: bool) -> None:
    mine, rest = tally(part, 3), tally(SOME, 3)
    drawn(calibration_curve(mine, rest))
    drawn(confidence_histogram(mine, rest, (0.5, 0.9)))
    drawn(error_heatmap(mine, CLASSES, dark))


def test_the_timeline_is_drawn_from_many_days_and_from_none() -> None:
    days = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=400), "n": 10, "n_labelled": 5, "n_correct": 4})
    drawn(timeline(days))
    drawn(timeline(days.iloc[:1]))
    drawn(timeline(days.iloc[:0]))


def test_a_brushed_range_covers_whole_bins() -> None:
    assert snapped((0.52, 0.61)) == (0.5, 0.65)
    assert snapped((0.5, 0.65)) == (0.5, 0.65)
    assert snapped((-1.0, 2.0)) is None


@pytest.mark.parametrize("key", list(LAYERS))
@pytest.mark.parametrize("dark", [False, True])
def test_every_layer_is_drawn_with_a_legend(key: str, dark: bool) -> None:
    table = cells()
    if key == "predicted":
        table = table.assign(
            **{f"n_{code}": table["n"].where(np.arange(len(table)) % 3 == code, 0) for code in range(3)}
        )
    for shown in (table, table.iloc[:1], table.iloc[:0]):
        drawn(layer_image(LAYERS[key], raster(shown, 10, 3 if key == "predicted" else 0), CLASSES, dark))
        assert "dm-legend" in legend(LAYERS[key], CLASSES, dark, shown=not shown.empty, single=False)


def test_cells_are_three_to_six_pixels_wide() -> None:
    for width in (500.0, 12_345.0, 3e6, 4e7):
        level = fitting_level((0, 0, width, width), 900)
        assert 3 <= grid.cell_size(level) / width * 900 <= 6


def test_single_predictions_are_drawn_with_and_without_label() -> None:
    rows = pd.DataFrame(
        {
            "id": ["a", "b"], "x": [1.0, 2.0], "y": [1.0, 2.0], "predicted": ["wheat", "rice"], "label": ["rice", None],
            "confidence": [0.5, None], "predicted_at": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        }
    )  # fmt: skip
    points = points_of(rows, CLASSES)
    drawn(points)
    assert points["label"].tolist() == ["rice", "not yet"]


def test_land_and_borders_are_there_and_near_the_view_only() -> None:
    near = land(EUROPE, 5000)
    assert len(near.data) > 10
    lines = borders(EUROPE, 5000)
    assert np.isnan(path_columns(lines.data)["xs"][0]).sum() > 10  # gaps between lines
    drawn(near)
    drawn(lines)
    assert len(land((-2e7, 1e6, -1.99e7, 1.1e6), 100).data) < 5


def test_what_is_in_sight_counts_unless_it_is_everything() -> None:
    extent = (0.0, 0.0, 10.0, 10.0)
    assert bounds(None, None, extent) is None
    assert bounds(None, (-1.0, -1.0, 11.0, 11.0), extent) is None
    assert bounds(None, (0.0, 0.0, 5.0, 5.0), extent) == (0.0, 0.0, 5.0, 5.0)
    assert bounds((1.0, 1.0, 2.0, 2.0), (0.0, 0.0, 5.0, 5.0), extent) == (1.0, 1.0, 2.0, 2.0)


def test_a_tally_of_nothing_is_nothing() -> None:
    assert isinstance(tally(NONE, 3), Tally)
    assert tally(NONE, 3).n == 0


def test_a_view_of_no_screens_shape_has_no_more_cells_than_one_four_times_as_high_as_wide() -> None:
    level = fitting_level((0, 0, 1, 4e6), 900)
    assert 4e6 / grid.cell_size(level) <= 1200
