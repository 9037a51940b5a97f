"""What the page Alerts says and draws of an alert, without a browser."""

from dataclasses import replace
from datetime import datetime, timedelta

import holoviews as hv

from app.pages.alert_detail import heading, history, open_view, told
from app.pages.alerts import place, since_when, summary
from app.selection import Selection
from app.views.alert_trend import alert_trend
from storage.alerts import AlertEvent, Delivery
from storage.records import Alert, Finding, Run, Verdict

START = datetime(2026, 3, 2)
WEEK = timedelta(days=7)
ALERT = Alert(
    id="a1",
    rule="accuracy",
    model="crops",
    version="1",
    region="fergana",
    region_name="<b>Fergana</b>",
    metric="users_accuracy:<i>rice</i>",
    severity=Verdict.CRITICAL,
    state="open",
    opened_at=START + 3 * WEEK,
    updated_at=START + 3 * WEEK,
    closed_at=None,
    window_start=START + 2 * WEEK,
    window_end=START + 3 * WEEK,
    value=0.44,
    lower=0.38,
    upper=0.49,
    n=305,
    reference=0.76,
    message="<script>",
    url="http://x/?page=regions&model=crops&version=1&start=2026-03-16&end=2026-03-23&region=fergana",
    since=START + 2 * WEEK,
)
CLOSED = replace(ALERT, id="a2", state="closed", closed_at=START + 4 * WEEK)
RUN = Run("r1", "crops", START, START + WEEK, START, START, "done", "", 10, 10)


def week(number: int, value: float | None) -> Finding:
    verdict = Verdict.INSUFFICIENT if value is None else Verdict.OK
    start = START + number * WEEK
    name, n = ALERT.metric, 300
    return Finding("crops", "1", "fergana", "F", start, start + WEEK, name, value, value, value, n, verdict, 0.76)


def test_names_from_outside_are_text() -> None:
    for html in (place(ALERT, "<u>"), heading(ALERT), history([AlertEvent("a1", START, "opened", "<b>", "<i>")])):
        assert not any(tag in html for tag in ("<i>rice", "<b>F", "<script>", "<u>", "<br><i>", " <b>"))


def test_the_summary_counts_what_is_open_by_severity() -> None:
    assert (
        summary([ALERT, replace(ALERT, severity=Verdict.WARNING), ALERT, CLOSED]) == "2 critical, 1 warning, 1 closed"
    )


def test_where_nothing_is_wrong_it_says_since_when() -> None:
    assert since_when([CLOSED], RUN) == (
        "Last run 2026-03-02 00:00 UTC, done. No alert is open since 2026-03-30 00:00 UTC."
    )
    assert since_when([], RUN).endswith("No alert was ever open.")


def test_messages_say_why_they_did_not_arrive() -> None:
    failed = Delivery("d", "a1", "opened", "ops", START, START, 5, "failed", "no <answer>")
    assert "■</span> failed" in told([failed])
    assert "no &lt;answer&gt;" in told([failed])
    assert "Nobody was told" in told([])


def test_open_view_gives_up_every_other_filter() -> None:
    selection = Selection(page="alerts", model="other", classes=["rice"], confidence=(0.5, 1.0), alert="a1")
    open_view(selection, ALERT.url)
    assert (selection.page, selection.model, selection.region) == ("regions", "crops", "fergana")
    assert (selection.classes, selection.confidence, selection.alert) == ([], None, None)
    assert selection.window is not None
    assert selection.window.start == ALERT.window_start


def test_the_trend_draws_windows_without_a_value_and_moments_near_them() -> None:
    hv.render(alert_trend(CLOSED, [week(0, None), week(1, 0.8), week(2, 0.4), week(3, 0.5)]))
    hv.render(alert_trend(replace(ALERT, reference=None), [week(0, None)]))


def test_a_moment_far_from_the_windows_does_not_stretch_the_trend() -> None:
    near = hv.render(alert_trend(replace(ALERT, opened_at=START + 6 * WEEK), [week(n, 0.7) for n in range(5)]))
    far = hv.render(alert_trend(replace(ALERT, opened_at=START + 60 * WEEK), [week(n, 0.7) for n in range(5)]))
    assert near.x_range.end > far.x_range.end
