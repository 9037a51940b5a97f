"""What is found in a window: for every region and figure, with n and a verdict, whatever the data lack."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.judgement import judge
from storage.database import Database
from storage.records import Finding, Verdict, Window
from tests.monitoring.watched import LAST, WEEKS, configuration, filled, predictions

PLACES = (None, "north", "a", "b")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        yield opened


def by_place(found: list[Finding], metric: str, version: str = "1") -> dict[str | None, Finding]:
    return {each.region: each for each in found if each.metric == metric and each.version == version}


def assert_sound(found: list[Finding]) -> None:
    """Every finding has n and a verdict, no NaN, one finding a figure, and an interval that holds its value."""
    seen = set()
    for each in found:
        assert isinstance(each.verdict, Verdict)
        assert isinstance(each.n, int)
        assert each.n >= 0
        for number in (each.value, each.lower, each.upper, each.reference, *each.details.values()):
            assert not (isinstance(number, float) and not math.isfinite(number)), each
        if each.value is None:
            assert each.verdict in (Verdict.INSUFFICIENT, Verdict.OK)
        elif each.lower is not None and each.upper is not None:
            assert each.lower - 1e-12 <= each.value <= each.upper + 1e-12
        key = (each.version, each.region, each.metric)
        assert key not in seen
        seen.add(key)


def test_the_planted_failure_is_found_in_its_region_and_nowhere_else(database: Database, tmp_path: Path) -> None:
    frame = predictions()
    model = filled(database, configuration(tmp_path), frame)
    found = judge(database, model, LAST)
    assert_sound(found)
    critical = {(each.region, each.metric) for each in found if each.verdict == Verdict.CRITICAL}
    assert ("b", "accuracy") in critical
    assert ("b", "drift:ndvi") in critical
    assert not [where for where in critical if where[0] == "a"]
    assert not [metric for _, metric in critical if metric == "drift:sensor"]
    accuracy = by_place(found, "accuracy")
    last = frame[frame["time"] >= LAST.start]
    part = last[last["lon"] == 63]
    assert accuracy["b"].value == pytest.approx((part["predicted"] == part["label"]).mean())
    assert accuracy["b"].n == len(part)


def test_a_week_like_the_others_is_ok(database: Database, tmp_path: Path) -> None:
    model = filled(database, configuration(tmp_path), predictions(shifted=False))
    assert not [each for each in judge(database, model, LAST) if each.verdict == Verdict.CRITICAL]


def test_regions_and_no_region_add_up_to_the_whole(database: Database, tmp_path: Path) -> None:
    frame = predictions()
    found = judge(database, filled(database, configuration(tmp_path), frame), LAST)
    outside = int(((frame["time"] >= LAST.start) & (frame["lon"] == 10)).sum())
    for metric in ("accuracy", "ece", "confidence", "drift:ndvi", "drift:sensor", "drift:predicted"):
        n = {place: each.n for place, each in by_place(found, metric).items()}
        assert set(n) == set(PLACES)
        assert n["a"] + n["b"] == n["north"]
        assert n["north"] + outside == n[None] == 400


def test_a_window_within_the_reference_is_never_worse_than_ok(database: Database, tmp_path: Path) -> None:
    found = judge(database, filled(database, configuration(tmp_path), predictions()), WEEKS[1])
    assert_sound(found)
    assert {each.verdict for each in found} == {Verdict.OK, Verdict.INSUFFICIENT}
    reasons = {each.details["reason"] for each in found if each.metric.startswith("drift:")}
    assert reasons == {"the window is part of the reference"}


def test_without_predictions_nothing_is_found(database: Database, tmp_path: Path) -> None:
    model = filled(database, configuration(tmp_path), predictions().iloc[:0])
    assert judge(database, model, LAST) == []
    assert judge(database, model, Window(LAST.end, LAST.end)) == []


@pytest.mark.parametrize(
    "lacking", ["label", "confidence", "ndvi", "sensor", "everything"], ids=lambda name: f"without_{name}"
)
def test_what_the_data_lack_is_insufficient_and_the_rest_is_judged(
    database: Database, tmp_path: Path, lacking: str
) -> None:
    columns = ["label", "confidence", "ndvi", "sensor"] if lacking == "everything" else [lacking]
    frame = predictions()
    for column in columns:
        frame[column] = pd.Series([None] * len(frame), dtype=object)
    found = judge(database, filled(database, configuration(tmp_path), frame), LAST)
    assert_sound(found)
    if "label" in columns:
        assert {each.verdict for each in by_place(found, "accuracy").values()} == {Verdict.INSUFFICIENT}
        assert by_place(found, "accuracy")[None].value is None
    if "confidence" in columns:
        assert {each.verdict for each in by_place(found, "ece").values()} == {Verdict.INSUFFICIENT}
        assert {each.verdict for each in by_place(found, "drift:confidence").values()} == {Verdict.INSUFFICIENT}
    assert by_place(found, "drift:predicted")[None].verdict != Verdict.INSUFFICIENT


def test_a_feature_that_went_missing_in_the_window_is_insufficient(database: Database, tmp_path: Path) -> None:
    frame = predictions()
    frame.loc[frame["time"] >= LAST.start, ["ndvi", "sensor"]] = None
    found = judge(database, filled(database, configuration(tmp_path), frame), LAST)
    assert_sound(found)
    for metric in ("drift:ndvi", "drift:sensor"):
        whole = by_place(found, metric)[None]
        assert (whole.verdict, whole.n, whole.details["missing"]) == (Verdict.INSUFFICIENT, 0, 400)


def test_a_feature_that_was_missing_in_window_and_reference_stops_nothing(database: Database, tmp_path: Path) -> None:
    frame = predictions()
    late = frame["time"] >= WEEKS[1].start
    frame.loc[late, ["ndvi", "sensor"]] = None
    settings = configuration(tmp_path, reference={"from": "2026-03-09", "to": "2026-03-22"})
    found = judge(database, filled(database, settings, frame), LAST)
    assert_sound(found)
    assert by_place(found, "drift:ndvi")[None].verdict == Verdict.INSUFFICIENT
    assert by_place(found, "drift:sensor")[None].verdict == Verdict.INSUFFICIENT


@pytest.mark.parametrize("value", [0.0, np.inf, 1e30])
def test_a_constant_or_infinite_feature_stops_nothing(database: Database, tmp_path: Path, value: float) -> None:
    found = judge(
        database, filled(database, configuration(tmp_path), predictions().assign(ndvi=value, sensor="A")), LAST
    )
    assert_sound(found)
    assert not [each for each in found if each.metric.startswith("drift:ndvi") and each.verdict == Verdict.CRITICAL]


def test_without_regions_there_is_the_whole(database: Database, tmp_path: Path) -> None:
    found = judge(database, filled(database, configuration(tmp_path, regions=None), predictions()), LAST)
    assert_sound(found)
    assert {each.region for each in found} == {None}


def test_without_features_predicted_classes_and_confidence_are_watched_still(
    database: Database, tmp_path: Path
) -> None:
    found = judge(database, filled(database, configuration(tmp_path, features=None), predictions()), LAST)
    drift = {each.metric for each in found if each.metric.startswith("drift:")}
    assert drift == {"drift:predicted", "drift:confidence"}


def test_without_a_reference_nothing_is_critical(database: Database, tmp_path: Path) -> None:
    settings = configuration(tmp_path, reference={"from": "2020-01-01", "to": "2020-01-31"})
    found = judge(database, filled(database, settings, predictions()), LAST)
    assert_sound(found)
    assert {each.verdict for each in found if each.metric.startswith("drift:")} == {Verdict.INSUFFICIENT}
    assert {each.verdict for each in by_place(found, "accuracy").values()} == {Verdict.INSUFFICIENT}


def test_each_version_of_a_window_is_judged_apart(database: Database, tmp_path: Path) -> None:
    frame = predictions()
    second = (frame["time"] >= LAST.start) & (np.arange(len(frame)) % 2 == 0)
    frame.loc[second, "version"] = "2"
    found = judge(database, filled(database, configuration(tmp_path), frame), LAST)
    assert_sound(found)
    n = {version: by_place(found, "accuracy", version)[None].n for version in ("1", "2")}
    assert n == {"1": int((~second & (frame["time"] >= LAST.start)).sum()), "2": int(second.sum())}


def test_a_version_can_be_the_reference(database: Database, tmp_path: Path) -> None:
    frame = predictions()
    frame.loc[frame["time"] >= LAST.start, "version"] = "2"
    model = filled(database, configuration(tmp_path, reference={"version": "1"}), frame)
    found = judge(database, model, LAST)
    assert by_place(found, "accuracy", "2")["b"].verdict == Verdict.CRITICAL
    within = judge(database, model, WEEKS[1])
    assert {each.verdict for each in by_place(within, "accuracy").values()} == {Verdict.OK}


def test_trailing_days_can_be_the_reference(database: Database, tmp_path: Path) -> None:
    model = filled(database, configuration(tmp_path, reference={"trailing": "21d"}), predictions())
    found = judge(database, model, LAST)
    assert_sound(found)
    assert by_place(found, "accuracy")["b"].verdict == Verdict.CRITICAL
    assert {each.verdict for each in by_place(judge(database, model, WEEKS[0]), "accuracy").values()} == {
        Verdict.INSUFFICIENT
    }


def test_judging_labels_only_gives_the_same_without_drift(database: Database, tmp_path: Path) -> None:
    model = filled(database, configuration(tmp_path), predictions())
    everything = judge(database, model, LAST)
    assert judge(database, model, LAST, drift=False) == [
        each for each in everything if not each.metric.startswith("drift:")
    ]
