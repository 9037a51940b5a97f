"""A region over time, judged window by judged window."""

from datetime import datetime
from functools import partial

import holoviews as hv
import numpy as np
import pandas as pd

from app.numbers import MARKS, VERDICT_COLOURS, days
from app.views.style import ACCENT, CHART, GUIDE, REST
from storage.records import Finding, Verdict, Window

SHAPES = {Verdict.OK: "circle", Verdict.WARNING: "triangle", Verdict.CRITICAL: "square"}


def trend(
    accuracy: list[Finding], confidence: list[Finding], spans: hv.DynamicMap, alerted: list[datetime]
) -> hv.DynamicMap:
    """Accuracy with its band and reference, and mean confidence; a mark where it is a warning or worse.

    `spans`: what `window_spans` makes of the same findings. `alerted`: starts of windows on which an alert opened.
    """
    judged, believed = _points(accuracy), _points(confidence)
    low = lowest(accuracy)
    opened = [_middle(each) for each in windows_of(accuracy, confidence) if each.start in alerted]
    layers: list[hv.Element] = [
        hv.Segments(_timed(pd.DataFrame({"x0": opened, "y0": low, "x1": opened, "y1": 1.02}), "x0", "x1")).opts(
            color=VERDICT_COLOURS[Verdict.CRITICAL], line_dash="dashed", line_width=1
        ),
        hv.Curve((judged["time"], judged["reference"]), "time", "accuracy").opts(
            color=GUIDE, line_dash="dotted", line_width=1.6
        ),
        hv.Curve((believed["time"], believed["value"]), "time", "accuracy").opts(color=REST, line_width=1.6),
        hv.Area((judged["time"], judged["lower"], judged["upper"]), "time", ["lower", "upper"]).opts(
            color=ACCENT, alpha=0.2, line_alpha=0
        ),
        hv.Curve((judged["time"], judged["value"]), "time", "accuracy").opts(color=ACCENT, line_width=2),
    ]
    for verdict, shape in SHAPES.items():
        part = judged[judged["verdict"] == verdict]
        layers.append(
            hv.Points((part["time"], part["value"]), ["time", "accuracy"]).opts(
                marker=shape,
                size=6 if verdict == Verdict.OK else 9,
                color=ACCENT if verdict == Verdict.OK else VERDICT_COLOURS[verdict],
            )
        )
    plot = hv.Overlay([spans, *(hv.DynamicMap(partial(_as_is, layer)) for layer in layers)]).collate()
    return plot.opts(hv.opts.Overlay(xlabel="", ylabel="", ylim=(low, 1.02), show_legend=False, **CHART))


def window_spans(accuracy: list[Finding], confidence: list[Finding], chosen: Window | None) -> hv.Rectangles:
    """One rectangle a window, in the order of `windows_of`, to be tapped; those within `chosen` are shaded."""
    by_window = {(each.window_start, each.window_end): each for each in accuracy}
    means = {(each.window_start, each.window_end): each for each in confidence}
    windows = windows_of(accuracy, confidence)
    shaded = [chosen is not None and _within(each, chosen) for each in windows]
    table = pd.DataFrame(
        {
            "left": [each.start for each in windows], "bottom": lowest(accuracy),
            "right": [each.end for each in windows], "top": 1.02,
            "days": [days(each.start, each.end) for each in windows],
            "accuracy": [_said(by_window.get((each.start, each.end))) for each in windows],
            "confidence": [_said(means.get((each.start, each.end))) for each in windows],
            "shade": [0.18 if each else 0.0 for each in shaded],
        }
    )  # fmt: skip
    return hv.Rectangles(
        _timed(table, "left", "right"),
        ["left", "bottom", "right", "top"],
        ["days", "accuracy", "confidence", "shade"],
    ).opts(
        color=REST, fill_alpha="shade", line_alpha=0, tools=["tap"], hover_fill_alpha=0.12, hover_fill_color=REST,
        hover_tooltips=[("", "@days"), ("accuracy", "@accuracy"), ("mean confidence", "@confidence")],
    )  # fmt: skip


def lowest(accuracy: list[Finding]) -> float:
    """Where the axis begins: below every interval, and not above 0.5."""
    bounds = _points(accuracy)["lower"].dropna()
    return max(0.0, float(np.floor((min([0.5, *bounds]) - 0.02) * 10) / 10))


def windows_of(*findings: list[Finding]) -> list[Window]:
    """The windows that any of `findings` is of, in order."""
    return sorted(
        {Window(each.window_start, each.window_end) for part in findings for each in part},
        key=lambda window: (window.start, window.end),
    )


def _within(window: Window, chosen: Window) -> bool:
    return chosen.start <= window.start and window.end <= chosen.end


def _middle(window: Window) -> datetime:
    return window.start + (window.end - window.start) / 2


def _said(finding: Finding | None) -> str:
    if finding is None or finding.value is None:
        return "no labels"
    mark = MARKS[finding.verdict]
    bounds = f"  {finding.lower:.3f}–{finding.upper:.3f}" if finding.lower is not None else ""
    return f"{mark} {finding.value:.3f}{bounds}  n {finding.n:,}"


def _points(findings: list[Finding]) -> pd.DataFrame:
    known = [each for each in findings if each.verdict != Verdict.INSUFFICIENT]
    table = pd.DataFrame(
        {
            "time": [_middle(Window(each.window_start, each.window_end)) for each in known],
            "verdict": pd.Series([each.verdict for each in known], dtype=object),
        }
    )
    for name in ("value", "lower", "upper", "reference"):
        table[name] = np.array([getattr(each, name) for each in known], dtype=float)
    return _timed(table, "time")


def _timed(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """`table` with `columns` as times, also where it has no rows."""
    return table.assign(**{name: pd.to_datetime(table[name]) for name in columns})


def _as_is(element: hv.Element) -> hv.Element:
    return element
