from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from storage.alerts import AlertChanges, alerts
from storage.database import Database
from storage.errors import NotFoundError
from storage.findings import (
    fail_run,
    findings,
    finish_run,
    last_done,
    mark_interrupted,
    report_html,
    reports,
    runs,
    save_report,
    start_run,
    stored_run,
)
from storage.records import Alert, Finding, Verdict, Window

FIRST = Window(datetime(2026, 3, 1), datetime(2026, 3, 8))
SECOND = Window(datetime(2026, 3, 8), datetime(2026, 3, 15))
THIRD = Window(datetime(2026, 3, 15), datetime(2026, 3, 22))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as database:
        yield database


def finding(window: Window = FIRST, **changes: object) -> Finding:
    plain = Finding(
        model="crops",
        version="1",
        region="fergana",
        region_name="Fergana",
        window_start=window.start,
        window_end=window.end,
        metric="accuracy",
        value=0.44,
        lower=0.38,
        upper=0.49,
        n=305,
        verdict=Verdict.CRITICAL,
        reference=0.76,
        details={"design_effect": 1.4, "against": "2016"},
    )
    return replace(plain, **changes)


def record(db: Database, *found: Finding, window: Window = FIRST, model: str = "crops") -> str:
    run = start_run(db, model, window)
    return finish_run(db, run, found, predictions=1000).id


def test_a_finding_comes_back_as_it_was_kept(db: Database) -> None:
    run = record(db, finding())
    assert findings(db) == [replace(finding(), run=run)]


def test_figures_that_are_not_finite_come_back_as_none(db: Database) -> None:
    record(
        db,
        finding(
            value=float("nan"),
            lower=float("-inf"),
            upper=np.float64("inf"),
            reference=None,
            details={"effect": float("nan"), "bins": np.array([1, 2]), "share": np.float64(0.5)},
        ),
    )
    (kept,) = findings(db)
    assert (kept.value, kept.lower, kept.upper, kept.reference) == (None, None, None, None)
    assert kept.details == {"effect": None, "bins": [1, 2], "share": 0.5}


def test_a_run_is_running_then_done_with_its_counts(db: Database) -> None:
    run = start_run(db, "crops", FIRST)
    assert [kept.outcome for kept in runs(db)] == ["running"]
    done = finish_run(db, run, [finding(), finding(region=None)], predictions=1000, message="all well")
    assert runs(db) == [done]
    assert (done.outcome, done.predictions, done.findings, done.message) == ("done", 1000, 2, "all well")
    assert done.finished_at is not None
    assert done.finished_at >= done.started_at
    assert stored_run(db, run.id) == done


def test_a_second_run_of_a_window_replaces_what_the_first_found_and_nothing_else(db: Database) -> None:
    record(db, finding(), finding(metric="ece"))
    later = record(db, finding(SECOND), window=SECOND)
    other = record(db, finding(model="roads"), model="roads")
    again = record(db, finding(value=0.5))
    assert {(kept.model, kept.window_start, kept.metric, kept.run) for kept in findings(db)} == {
        ("crops", FIRST.start, "accuracy", again),
        ("crops", SECOND.start, "accuracy", later),
        ("roads", FIRST.start, "accuracy", other),
    }


def test_a_failed_run_leaves_the_previous_findings_and_says_so(db: Database) -> None:
    first = record(db, finding())
    failed = fail_run(db, start_run(db, "crops", FIRST), "the disk\nis full")
    assert [kept.run for kept in findings(db)] == [first]
    assert runs(db)[0] == failed
    assert (failed.outcome, failed.message) == ("failed", "the disk is full")


def test_a_failure_while_alerts_are_judged_leaves_everything_as_it_was(db: Database) -> None:
    first = record(db, finding())
    run = start_run(db, "crops", FIRST)

    def judge(latest: list[Finding], opened: list[Alert]) -> AlertChanges:
        raise RuntimeError("a bad rule")

    with pytest.raises(RuntimeError, match="a bad rule"):
        finish_run(db, run, [finding(value=0.9)], report=("<html>", {}), judge_alerts=judge)
    assert [(kept.run, kept.value) for kept in findings(db)] == [(first, 0.44)]
    assert reports(db, "crops") == []
    assert alerts(db) == []
    assert stored_run(db, run.id).outcome == "running"


def test_alerts_are_judged_on_the_last_window_with_enough_data_of_each_metric(db: Database) -> None:
    seen: list[Finding] = []

    def judge(latest: list[Finding], opened: list[Alert]) -> AlertChanges:
        seen[:] = latest
        return AlertChanges()

    record(db, finding(), finding(metric="drift:ndvi"), finding(model="roads"))
    run = start_run(db, "crops", SECOND)
    unsure = finding(SECOND, verdict=Verdict.INSUFFICIENT, value=None)
    drifted = [finding(SECOND, metric="drift:ndvi", version=version) for version in ("1", "2")]
    finish_run(db, run, [unsure, *drifted], judge_alerts=judge)
    assert {(each.model, each.metric, each.version, each.window_start) for each in seen} == {
        ("crops", "accuracy", "1", FIRST.start),
        ("crops", "drift:ndvi", "1", SECOND.start),
        ("crops", "drift:ndvi", "2", SECOND.start),
    }


def test_findings_can_be_narrowed_by_region_metric_and_time(db: Database) -> None:
    record(db, finding(), finding(region=None, region_name=None), finding(metric="drift:ndvi"))
    record(db, finding(SECOND), window=SECOND)
    record(db, finding(THIRD), window=THIRD)
    assert len(findings(db)) == 5
    assert findings(db, "roads") == []
    assert [kept.region for kept in findings(db, region=None)] == [None]
    assert len(findings(db, "crops", region="fergana")) == 4
    assert [kept.metric for kept in findings(db, metric="drift:*")] == ["drift:ndvi"]
    assert findings(db, metric="drift") == []
    spans = findings(db, metric="accuracy", region="fergana", start=SECOND.start, end=SECOND.end)
    assert [kept.window_start for kept in spans] == [SECOND.start]


def test_latest_keeps_the_last_window_of_each_version_region_and_metric(db: Database) -> None:
    record(db, finding(), finding(metric="ece"), finding(version="2"))
    record(db, finding(SECOND), window=SECOND)
    kept = {(each.version, each.metric, each.window_start) for each in findings(db, latest=True)}
    assert kept == {
        ("1", "accuracy", SECOND.start),
        ("1", "ece", FIRST.start),
        ("2", "accuracy", FIRST.start),
    }
    earlier = findings(db, metric="accuracy", end=FIRST.end, latest=True)
    assert {each.window_start for each in earlier} == {FIRST.start}


def test_a_run_left_running_is_interrupted(db: Database) -> None:
    left = start_run(db, "crops", FIRST)
    record(db, window=SECOND)
    assert mark_interrupted(db) == 1
    assert stored_run(db, left.id).outcome == "interrupted"
    assert sorted(run.outcome for run in runs(db)) == ["done", "interrupted"]
    assert mark_interrupted(db) == 0


def test_a_run_without_a_page_shows_the_one_that_stands_for_its_window(db: Database) -> None:
    save_report(db, start_run(db, "crops", FIRST), "<html>first</html>", {})
    assert report_html(db, record(db, finding())) == "<html>first</html>"
    assert report_html(db, record(db, window=SECOND)) is None


def test_the_last_done_run_of_a_window_is_neither_a_failed_one_nor_that_of_another(db: Database) -> None:
    record(db)
    done = record(db)
    fail_run(db, start_run(db, "crops", FIRST), "no")
    record(db, model="roads")
    last = last_done(db, "crops", FIRST)
    assert last is not None
    assert last.id == done
    assert last_done(db, "crops", SECOND) is None


def test_runs_are_listed_newest_first_up_to_a_limit(db: Database) -> None:
    ids = [record(db, window=Window(FIRST.start + timedelta(days=day), FIRST.end)) for day in range(3)]
    record(db, model="roads")
    assert [run.id for run in runs(db, "crops", limit=2)] == [ids[2], ids[1]]
    assert [run.id for run in runs(db, "crops", limit=2, offset=2)] == [ids[0]]


def test_a_report_comes_back_as_it_was_saved_and_is_replaced_by_the_next_of_its_window(db: Database) -> None:
    first = start_run(db, "crops", FIRST)
    save_report(db, first, "<html>ütf</html>", {"current": 10, "seed": 0})
    second = start_run(db, "crops", FIRST)
    finish_run(db, second, [], report=("<html>second</html>", {"current": 20}))
    later = start_run(db, "crops", SECOND)
    save_report(db, later, "<html>later</html>", {})
    assert report_html(db, second.id) == report_html(db, first.id) == "<html>second</html>"
    assert report_html(db, "unknown") is None
    assert [(report.run, report.sample) for report in reports(db, "crops")] == [
        (later.id, {}),
        (second.id, {"current": 20}),
    ]


def test_a_run_that_does_not_exist_is_named(db: Database) -> None:
    with pytest.raises(NotFoundError, match="no run 'x'"):
        stored_run(db, "x")
