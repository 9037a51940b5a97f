"""How the figure of an alert went, window by window."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import DatetimeTicker

from app.numbers import VERDICT_COLOURS
from app.views.style import ACCENT, GUIDE, chart
from storage.records import Alert, Finding, Verdict

MARKERS = {
    Verdict.OK: "circle",
    Verdict.WARNING: "triangle",
    Verdict.CRITICAL: "square",
    Verdict.INSUFFICIENT: "circle_dot",
}
HEIGHT = 180
OPEN_COLOUR = VERDICT_COLOURS[Verdict.CRITICAL]


def alert_trend(alert: Alert, findings: Sequence[Finding]) -> hv.Overlay:
    """The figure in each judged window with its 95% interval, the reference dashed, and the alert's days shaded.

    `findings`: those of the alert's metric, region and version, in order of their windows.
    """
    points = pd.DataFrame(
        {
            "time": [each.window_start + (each.window_end - each.window_start) / 2 for each in findings],
            "start": [each.window_start for each in findings],
            "last": [each.window_end - timedelta(days=1) for each in findings],
            "value": [_number(each.value) for each in findings],
            "lower": [_number(each.lower) for each in findings],
            "upper": [_number(each.upper) for each in findings],
            "n": [each.n for each in findings],
            "verdict": [each.verdict.value for each in findings],
        }
    ).dropna(subset=["value"])
    first, last = findings[0].window_start, findings[-1].window_end
    moments = _moments(alert, first, last)
    end = max([last, *(moment for moment, _ in moments)])
    low, high = _limits(points, alert.reference)
    hover = [
        ("window", "@start{%F} – @last{%F}"),
        ("value", "@value{0.000}  @lower{0.000}–@upper{0.000}"),
        ("n", "@n{0,0}"),
        ("verdict", "@verdict"),
    ]
    band = points.dropna(subset=["lower", "upper"])
    until = alert.closed_at if alert.closed_at is not None and alert.closed_at <= end else end
    layers: list[hv.Element] = [
        hv.Rectangles([(max(alert.since, first), low, max(until, alert.since), high)], ["x0", "y0", "x1", "y1"]).opts(
            color=OPEN_COLOUR, alpha=0.07, line_alpha=0
        ),
        hv.Area((band["time"], band["lower"], band["upper"]), "time", ["lower", "upper"]).opts(
            color=ACCENT, alpha=0.22, line_alpha=0
        ),
        hv.Curve((points["time"], points["value"]), "time", "value").opts(color=ACCENT, line_width=1.6),
    ]
    if alert.reference is not None:
        layers.append(
            hv.Curve(([first, end], [alert.reference] * 2), "time", "value").opts(
                color=GUIDE, line_dash="dashed", line_width=1.4
            )
        )
    layers += [
        hv.Points(points[points["verdict"] == verdict.value], ["time", "value"], list(points.columns[1:])).opts(
            color=VERDICT_COLOURS[verdict], marker=marker, size=7, hover_tooltips=hover
        )
        for verdict, marker in MARKERS.items()
        if (points["verdict"] == verdict.value).any()
    ]
    if moments:
        marks = pd.DataFrame(
            {
                "time": [moment for moment, _ in moments],
                "low": low,
                "high": high,
                # One below the other, so that the words of two near ones do not meet.
                "top": [high - (high - low) * (0.07 if word == "opened" else 0.18) for _, word in moments],
                "text": [f"{word} " for _, word in moments],
            }
        )
        layers.append(
            hv.Segments(marks, ["time", "low", "time", "high"]).opts(color=GUIDE, line_width=1.2, line_dash="dotted")
        )
        layers.append(
            hv.Labels(marks, ["time", "top"], "text").opts(text_font_size="10px", text_color=GUIDE, text_align="right")
        )
    return chart(
        layers,
        height=HEIGHT,
        xlabel="",
        ylabel="",
        xticks=DatetimeTicker(desired_num_ticks=5),
        xlim=(first, end),
        ylim=(low, high),
    )


def _moments(alert: Alert, first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """When the alert opened and closed, where that lies near enough to the windows to be drawn.

    A run over windows long past opens and closes alerts at its own time.
    """
    latest = last + max(last - first, timedelta(days=28))
    known = ((alert.opened_at, "opened"), (alert.closed_at, "closed"))
    return [(moment, word) for moment, word in known if moment is not None and first <= moment <= latest]


def _limits(points: pd.DataFrame, reference: float | None) -> tuple[float, float]:
    values = points[["value", "lower", "upper"]].to_numpy(float).ravel()
    values = np.append(values[np.isfinite(values)], [] if reference is None else [reference])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = max((high - low) * 0.12, 0.01)
    return low - margin, high + margin


def _number(value: float | None) -> float:
    return np.nan if value is None else value
