"""A region over time, judged window by judged window."""

from datetime import datetime

import holoviews as hv
import numpy as np
import pandas as pd

from app.numbers import MARKS, VERDICT_COLOURS, days
from app.views.style import ACCENT, CHART, GUIDE, REST
from storage.records import Finding, Verdict, Window

SHAPES = {Verdict.OK: "circle", Verdict.WARNING: "triangle", Verdict.CRITICAL: "square"}


def trend(
    accuracy: list[Finding], confidence: list[Finding], chosen: Window | None, alerted: list[datetime]
) -> hv.Overlay:
    """Accuracy with its band and reference, and mean confidence; a mark where it is a warning or worse.

    `chosen`: the days that are selected, shaded. `alerted`: starts of windows on which an alert opened. The first
    element is one rectangle a window, in the order of `windows_of`, to be tapped.
    """
    judged = _points([each for each in accuracy if each.verdict != Verdict.INSUFFICIENT])
    believed = _points([each for each in confidence if each.verdict != Verdict.INSUFFICIENT])
    windows = windows_of(accuracy, confidence)
    lowest = min([0.5, *judged["lower"].dropna()]) if len(judged) else 0.5
    low = max(0.0, np.floor((lowest - 0.02) * 10) / 10)
    by_window = {(each.window_start, each.window_end): each for each in accuracy}
    means = {(each.window_start, each.window_end): each for each in confidence}
    spans = pd.DataFrame(
        {
            "left": [each.start for each in windows], "bottom": low, "right": [each.end for each in windows],
            "top": 1.02,
            "days": [days(each.start, each.end) for each in windows],
            "accuracy": [_said(by_window.get((each.start, each.end))) for each in windows],
            "confidence": [_said(means.get((each.start, each.end))) for each in windows],
            "shade": [0.18 if chosen is not None and _within(each, chosen) else 0.0 for each in windows],
        }
    )  # fmt: skip
    for column in ("left", "right"):
        spans[column] = pd.to_datetime(spans[column])
    opened = [_middle(each) for each in windows if each.start in alerted]
    flags = pd.DataFrame({"x0": opened, "y0": low, "x1": opened, "y1": 1.02})
    for column in ("x0", "x1"):
        flags[column] = pd.to_datetime(flags[column])
    layers: list[hv.Element] = [
        hv.Rectangles(spans, ["left", "bottom", "right", "top"], ["days", "accuracy", "confidence", "shade"]).opts(
            color=REST,
            fill_alpha="shade",
            line_alpha=0,
            tools=["tap"],
            hover_fill_alpha=0.12,
            hover_fill_color=REST,
            hover_tooltips=[("", "@days"), ("accuracy", "@accuracy"), ("mean confidence", "@confidence")],
        ),
        hv.Segments(flags, ["x0", "y0", "x1", "y1"]).opts(
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
            )  # fmt: skip
        )
    return hv.Overlay(layers).opts(hv.opts.Overlay(xlabel="", ylabel="", ylim=(low, 1.02), show_legend=False, **CHART))


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
    table = pd.DataFrame(
        {
            "time": [each.window_start + (each.window_end - each.window_start) / 2 for each in findings],
            "value": [each.value for each in findings],
            "lower": [each.lower for each in findings],
            "upper": [each.upper for each in findings],
            "reference": [each.reference for each in findings],
            "verdict": pd.Series([each.verdict for each in findings], dtype=object),
        }
    )
    table["time"] = pd.to_datetime(table["time"])
    for name in ("value", "lower", "upper", "reference"):
        table[name] = table[name].astype(float)
    return table
