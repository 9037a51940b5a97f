"""The last windows with enough data, by region and kind of metric."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from storage.database import Database
from storage.findings import finish_run, judged_windows, last_judged, start_run
from storage.records import Finding, Verdict, Window

START = datetime(2026, 4, 6)
WEEK = timedelta(days=7)


def week(number: int) -> Window:
    return Window(START + number * WEEK, START + (number + 1) * WEEK)


def finding(window: Window, region: str | None, metric: str, verdict: Verdict, version: str = "1") -> Finding:
    return Finding("crops", version, region, region, window.start, window.end, metric, 0.5, None, None, 40, verdict)


@pytest.fixture
def database() -> Iterator[Database]:
    few, ok = Verdict.INSUFFICIENT, Verdict.OK
    with Database.open(":memory:") as database:
        kept = {
            0: [("d1", "accuracy", ok), ("d2", "accuracy", few), ("d1", "drift:a", ok), ("d1", "drift:b", ok)],
            1: [("d1", "accuracy", few), ("d2", "accuracy", few), ("d1", "drift:a", Verdict.CRITICAL),
                ("d1", "drift:b", few)],
        }  # fmt: skip
        for number, rows in kept.items():
            run = start_run(database, "crops", week(number))
            finish_run(database, run, [finding(week(number), *row) for row in rows])
        yield database


def test_each_kind_has_its_own_last_window(database: Database) -> None:
    found = {(each.region, each.metric): each for each in last_judged(database, "crops", ["accuracy", "drift"])}
    assert found["d1", "accuracy"].window_start == week(0).start
    assert found["d1", "drift:a"].window_start == week(1).start
    assert found["d1", "drift:b"].window_start == week(1).start, "all of a kind are of one window"


def test_a_region_that_never_had_enough_gets_its_last(database: Database) -> None:
    (found,) = [each for each in last_judged(database, "crops", ["accuracy"]) if each.region == "d2"]
    assert (found.window_start, found.verdict) == (week(1).start, Verdict.INSUFFICIENT)


def test_only_windows_within_the_days_count(database: Database) -> None:
    found = last_judged(database, "crops", ["drift"], end=week(0).end)
    assert {each.window_start for each in found} == {week(0).start}
    assert last_judged(database, "crops", ["drift"], start=week(2).start) == []
    assert last_judged(database, "crops", ["accuracy"], version="2") == []


def test_windows_are_judged_where_any_finding_had_enough(database: Database) -> None:
    assert judged_windows(database, "crops", "drift") == [week(0), week(1)]
    assert judged_windows(database, "crops", "accuracy") == [week(0)]
    assert judged_windows(database, "crops", "accuracy", start=week(1).start) == []
