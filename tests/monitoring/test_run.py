"""A run keeps what it found, all of it or nothing, and gives the same when it is done again."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from monitoring import run as monitoring
from monitoring.run import backfill, changed_windows, monitor, run_window
from monitoring.worker import Worker
from storage import findings as store
from storage.alerts import alerts
from storage.database import Database
from storage.errors import DriftmapError, NotFoundError
from storage.findings import findings, report_html, reports, runs
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.records import Finding, Verdict, Window
from tests.monitoring.watched import LAST, START, WEEKS, configuration, filled, predictions

SOON = LAST.end + timedelta(hours=6)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        yield opened


def kept(database: Database, *, without: str = "no metric") -> list[Finding]:
    found = [replace(each, run="") for each in findings(database, "crops")]
    return [each for each in found if not each.metric.startswith(without)]


def test_a_run_keeps_findings_report_and_alerts_and_again_gives_the_same(
    database: Database, tmp_path: Path, worker: Worker
) -> None:
    settings = configuration(tmp_path)
    model = filled(database, settings, predictions())
    first = run_window(database, settings, model, LAST, SOON, worker)
    assert (first.outcome, first.predictions, first.message) == ("done", 400, "")
    found = kept(database)
    assert first.findings == len(found)
    opened = alerts(database)
    assert ("b", "accuracy") in {(each.region, each.metric) for each in opened}
    again = run_window(database, settings, model, LAST, SOON, worker)
    assert again.outcome == "done"
    assert kept(database) == found
    assert [each.id for each in alerts(database)] == [each.id for each in opened]
    share = next(each for each in found if each.metric == "evidently_drifted_share")
    assert (share.n, share.details["sample"]["reference"]) == (400, 1200)
    assert all(each.run == again.id for each in findings(database, "crops"))
    page = report_html(database, again.id)
    assert page is not None
    assert "<html" in page


def test_new_labels_are_judged_again_and_drift_findings_and_report_stay(
    database: Database, tmp_path: Path, worker: Worker
) -> None:
    settings = configuration(tmp_path)
    frame = predictions()
    labels = frame[["id", "label"]]
    late = frame["time"] >= LAST.start
    model = filled(database, settings, frame.assign(label=frame["label"].mask(late).astype(object)))
    run_window(database, settings, model, LAST, SOON, worker)
    before = kept(database)
    kept_reports = reports(database, "crops")
    assert changed_windows(database, model) == []
    label_table(database, model.stored, pa.Table.from_pandas(labels[late]), "labels")
    assert changed_windows(database, model) == [(LAST, True)]
    runs_done = monitor(database, settings, "crops", SOON + timedelta(days=7), worker)
    assert [each.window_start for each in runs_done] == [LAST.end, LAST.start]
    after = [each for each in kept(database) if each.window_start == LAST.start]
    about_drift = [each for each in before if each.metric.startswith(("drift:", "evidently"))]
    assert [each for each in after if each.metric.startswith(("drift:", "evidently"))] == about_drift
    accuracy = {each.region: each for each in after if each.metric == "accuracy"}
    assert accuracy[None].n == 400
    assert accuracy["b"].verdict == Verdict.CRITICAL
    assert reports(database, "crops") == kept_reports
    assert changed_windows(database, model) == []


def test_rows_that_come_late_make_their_window_be_judged_anew(
    database: Database, tmp_path: Path, worker: Worker
) -> None:
    settings = configuration(tmp_path, reference={"from": "2020-01-01", "to": "2020-01-31"})
    frame = predictions()
    model = filled(database, settings, frame.iloc[::2])
    run_window(database, settings, model, LAST, SOON, worker)
    ingest_table(database, model.stored, pa.Table.from_pandas(frame), "the rest")
    assert changed_windows(database, model) == [(LAST, False)]


def test_labels_that_trade_places_make_their_window_be_judged_again(
    database: Database, tmp_path: Path, worker: Worker
) -> None:
    settings = configuration(tmp_path, reference={"from": "2020-01-01", "to": "2020-01-31"})
    frame = predictions()
    model = filled(database, settings, frame)
    run_window(database, settings, model, LAST, SOON, worker)
    within = frame[(frame["time"] >= LAST.start) & (frame["time"] < LAST.end)]
    wrong = within[within["label"] != within["predicted"]]
    one = wrong.iloc[0]
    right = within[within["label"] == within["predicted"]].iloc[0]
    turned = next(name for name in sorted(set(frame["label"])) if name != right["label"])
    # One error becomes right and one right an error: as many labels, and as many correct, as before.
    moved = pd.DataFrame({"id": [one["id"], right["id"]], "label": [one["predicted"], turned]})
    label_table(database, model.stored, pa.Table.from_pandas(moved, preserve_index=False), "corrections")
    assert changed_windows(database, model) == [(LAST, True)]


@pytest.mark.parametrize(("module", "name"), [(monitoring, "judge"), (store, "apply_changes"), (store, "close_run")])
def test_a_run_that_fails_half_way_leaves_the_findings_as_they_were_and_says_so(
    database: Database, tmp_path: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    settings = configuration(tmp_path, reference={"from": "2020-01-01", "to": "2020-01-31"})
    model = filled(database, settings, predictions())
    run_window(database, settings, model, LAST, SOON, worker)
    before, opened = findings(database, "crops"), alerts(database)
    ingest_table(database, model.stored, pa.Table.from_pandas(predictions(seed=2)), "other rows")
    monkeypatch.setattr(module, name, failing_once(getattr(module, name)))
    failed = run_window(database, settings, model, LAST, SOON, worker)
    assert (failed.outcome, failed.message) == ("failed", "The disk is full. Free some space.")
    assert findings(database, "crops") == before
    assert alerts(database) == opened
    assert runs(database, "crops", 1)[0] == failed
    assert run_window(database, settings, model, LAST, SOON, worker).outcome == "done"


def failing_once(real: Callable[..., Any]) -> Callable[..., Any]:
    calls: list[Any] = []

    def stand_in(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise DriftmapError("The disk is full.\nFree some space.")
        return real(*arguments, **named)

    return stand_in


def test_a_window_without_predictions_says_so_and_drops_what_was_found_in_it(
    database: Database, tmp_path: Path, worker: Worker
) -> None:
    settings = configuration(tmp_path)
    model = filled(database, settings, predictions().iloc[:0])
    run = run_window(database, settings, model, LAST, SOON, worker)
    assert (run.outcome, run.message, run.findings) == ("done", "No predictions in this window.", 0)
    assert findings(database, "crops") == []


def test_a_backfill_tiles_the_span_the_oldest_window_first(database: Database, tmp_path: Path, worker: Worker) -> None:
    settings = configuration(tmp_path, reference={"from": "2020-01-01", "to": "2020-01-31"})
    filled(database, settings, predictions())
    done = backfill(database, settings, "crops", START, LAST.end + timedelta(days=3), worker)
    assert [Window(run.window_start, run.window_end) for run in done] == WEEKS[:4]
    assert {each.outcome for each in done} == {"done"}
    again = backfill(database, settings, "crops", START, LAST.end, worker)
    assert [run.findings for run in again] == [run.findings for run in done]
    with pytest.raises(DriftmapError, match="no window of 7d fits"):
        backfill(database, settings, "crops", START, START + timedelta(days=6), worker)


def test_an_alert_closes_when_the_failure_is_over(database: Database, tmp_path: Path, worker: Worker) -> None:
    settings = configuration(tmp_path, reference={"trailing": "21d"})
    frame = predictions()
    better = predictions(shifted=False).query("time >= @LAST.start")
    better = better.assign(id="t" + better["id"], time=better["time"] + pd.Timedelta(days=7))
    model = filled(database, settings, pd.concat([frame, better]))
    run_window(database, settings, model, LAST, SOON, worker, only_labels=True)
    opened = {each.region for each in alerts(database, "open")}
    assert "b" in opened
    run_window(database, settings, model, WEEKS[4], SOON + timedelta(days=7), worker, only_labels=True)
    assert "b" not in {each.region for each in alerts(database, "open")}
    assert "b" in {each.region for each in alerts(database, "closed")}


def test_a_model_that_is_not_configured_is_named(database: Database, tmp_path: Path, worker: Worker) -> None:
    with pytest.raises(NotFoundError, match="No model 'trees' in the configuration"):
        monitor(database, configuration(tmp_path), "trees", datetime(2026, 4, 1), worker)
