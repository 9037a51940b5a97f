from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.report import ReportResult, evidently_report
from storage.models import Model

MODEL = Model(
    name="crops",
    classes=("cotton", "rice", "wheat"),
    features={"ndvi": "numeric", "rain": "numeric", "sensor": "categorical"},
)


def sample(seed: int, rows: int = 600, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    label = random.choice(MODEL.classes, rows)
    wrong = random.random(rows) < 0.2
    return pd.DataFrame(
        {
            "ndvi": random.normal(shift, 1, rows),
            "rain": random.gamma(2, 1, rows),
            "sensor": random.choice(["a", "b", "c"], rows),
            "predicted": np.where(wrong, random.choice(MODEL.classes, rows), label),
            "label": label,
            "confidence": random.beta(8, 2, rows),
        }
    )


def report(current: pd.DataFrame, reference: pd.DataFrame | None = None, model: Model = MODEL) -> ReportResult:
    return evidently_report(current, sample(1) if reference is None else reference, model)


def test_a_shifted_feature_is_drifted_and_the_others_are_not() -> None:
    result = report(sample(3, shift=0.5))
    assert set(result.scores) == {"ndvi", "rain", "sensor", "predicted", "confidence"}
    assert [name for name, score in result.scores.items() if score.drifted] == ["ndvi"]
    assert (result.drifted, result.columns, result.drifted_share) == (1, 5, pytest.approx(0.2))
    assert result.scores["ndvi"].method == "K-S p_value"
    assert result.notes == ()
    assert "Classification Model Performance" in result.html


def test_the_score_is_that_of_scipy() -> None:
    from scipy.stats import ks_2samp

    current, reference = sample(2, shift=0.1), sample(1)
    score = report(current, reference).scores["ndvi"].score
    assert score == pytest.approx(ks_2samp(reference["ndvi"], current["ndvi"]).pvalue)


def test_infinite_values_count_as_missing() -> None:
    current = sample(2)
    current.loc[:3, "ndvi"] = [np.inf, -np.inf, np.nan, np.inf]
    result = report(current)
    assert result.notes == ("ndvi: 3 infinite values count as missing.",)
    assert (
        result.scores["ndvi"]
        == report(current.assign(ndvi=current["ndvi"].replace([np.inf, -np.inf], np.nan))).scores["ndvi"]
    )


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"ndvi": np.nan}, "ndvi is left out: it has no values in the window."),
        ({"sensor": None}, "sensor is left out: it has no values in the window."),
        ({"ndvi": np.inf}, "ndvi is left out: it has no values in the window."),
        ({"confidence": np.nan}, "confidence is left out: it has no values in the window."),
        ({"label": None}, "Accuracy is left out: there are no labels in the window."),
    ],
)
def test_a_column_without_values_is_left_out(change: dict[str, object], note: str) -> None:
    result = report(sample(2).assign(**change))
    assert result.notes == (note,)
    assert note in result.html
    assert ("Classification Model Performance" in result.html) == ("label" not in change)
    assert result.drifted_share is not None
    assert not set(change) & set(result.scores)


def test_a_column_of_one_value_is_left_out() -> None:
    result = report(sample(2).assign(sensor="a", rain=1.0), sample(1).assign(sensor="a", rain=1.0))
    assert set(result.scores) == {"ndvi", "predicted", "confidence"}
    assert result.notes == tuple(
        f"{name} is left out: it has one and the same value throughout." for name in ("rain", "sensor")
    )


def test_a_column_that_changes_from_one_value_to_another_is_drifted() -> None:
    result = report(sample(2).assign(sensor="a"), sample(1).assign(sensor="b"))
    assert result.scores["sensor"].drifted


def test_a_feature_that_is_not_there_is_left_out() -> None:
    result = report(sample(2).drop(columns=["rain", "confidence"]))
    assert result.notes == ("rain is left out: there is no such column.",)
    assert set(result.scores) == {"ndvi", "sensor", "predicted"}


def test_without_any_confidence_nothing_needs_saying() -> None:
    assert report(sample(2).assign(confidence=np.nan), sample(1).assign(confidence=np.nan)).notes == ()


def test_few_valued_integers_stay_numbers_and_numbers_of_sensors_stay_categories() -> None:
    random = np.random.default_rng(0)
    current, reference = (
        sample(seed).assign(rain=random.integers(0, 4, 600), sensor=random.integers(0, 3, 600)) for seed in (2, 1)
    )
    result = report(current, reference)
    assert "chi-square" in result.scores["sensor"].method
    assert result.scores["rain"].score is not None


@pytest.mark.parametrize("side", ["window", "reference"])
def test_an_empty_side_gives_an_honest_page(side: str) -> None:
    empty = sample(1).iloc[:0]
    result = report(empty, sample(1)) if side == "window" else report(sample(1), empty)
    note = f"The {side} has no predictions, so there is nothing to compare."
    assert result.notes == (note,)
    assert (result.drifted_share, result.drifted, result.columns, result.scores) == (None, 0, 0, {})
    assert note in result.html


def test_where_no_column_is_left_the_page_says_so() -> None:
    model = Model(name="<crops>", classes=("a", "b"))
    blank = pd.DataFrame({"predicted": ["a"] * 50, "label": None, "confidence": np.nan})
    result = report(blank, blank, model)
    assert result.notes[-1] == "No column is left to compare."
    assert "&lt;crops&gt;" in result.html
    assert "<crops>" not in result.html


def test_a_class_that_the_reference_never_labelled_leaves_accuracy_out_and_drift_in() -> None:
    reference = sample(1)
    result = report(sample(2), reference[reference["label"] != "rice"])
    assert result.notes == ("Accuracy is left out: the reference has no labels of rice.",)
    assert result.columns == 5


def test_a_class_missing_from_the_window_is_no_obstacle() -> None:
    current = sample(2)
    result = report(current[current["label"] != "rice"])
    assert result.notes == ()
    assert result.columns == 5


def test_labels_may_be_there_for_some_rows_only() -> None:
    current = sample(2)
    current.loc[::2, "label"] = None
    assert report(current).notes == ()


def test_two_classes_are_reported_too() -> None:
    two = [frame[(frame["label"] != "rice") & (frame["predicted"] != "rice")] for frame in (sample(2), sample(1))]
    result = report(*two)
    assert result.notes == ()
    assert "Classification Model Performance" in result.html


def test_one_class_only() -> None:
    one = [frame.assign(label="rice", predicted="rice") for frame in (sample(2), sample(1))]
    assert "Accuracy is left out: there is only one class." in report(*one).notes


def test_few_rows_are_reported_with_a_warning() -> None:
    result = report(sample(2, rows=1))
    assert "The window has few rows (1)" in result.notes[0]
    assert result.columns > 0


@pytest.mark.ui
def test_the_page_opens_without_internet(chromium_path: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    result = report(sample(2, shift=0.5).assign(rain=np.nan))
    page_file = tmp_path / "report.html"
    page_file.write_text(result.html, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path,
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.context.set_offline(True)
        page.goto(page_file.as_uri())
        page.get_by_text("Dataset Drift").first.wait_for()
        page.get_by_text("rain is left out").wait_for()
        page.get_by_text("ndvi", exact=True).first.wait_for()
        browser.close()
    assert [url for url in asked if url.startswith("http")] == []
