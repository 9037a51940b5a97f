"""The figures of one region, ranked by drift."""

from functools import partial

import holoviews as hv
import numpy as np
import pandas as pd

from app.numbers import MARKS, VERDICT_COLOURS, count, number
from app.views.style import CHART, REST
from storage.records import Finding, Verdict

ROW = 21  # pixels


def drift_bars(drifts: list[Finding], chosen: hv.DynamicMap) -> tuple[hv.DynamicMap, hv.DynamicMap]:
    """A bar a figure as long as its effect, the limit of what is usual as a tick, and the verdict's mark.

    `drifts` in the order shown; `chosen` sets off one of them (`chosen_bar`). The second of what is returned is
    the part that is tapped, with one rectangle for each of `drifts`.
    """
    names = [each.metric.removeprefix("drift:") for each in drifts]
    effects = np.array([each.value or 0.0 for each in drifts])
    usual = np.array([each.details.get("usual") or np.nan for each in drifts], dtype=float)
    top = float(np.nanmax([0.3, *effects, *usual])) * 1.14
    y = -np.arange(len(drifts), dtype=float)
    rows = pd.DataFrame(
        {
            "left": 0.0, "bottom": y - 0.5, "right": top, "top": y + 0.5, "name": names,
            "effect": [number(each.value) for each in drifts],
            "usual": [number(value) for value in usual],
            "n": [count(each.n) for each in drifts],
            "verdict": [f"{MARKS[each.verdict]} {each.verdict.value}" for each in drifts],
        }
    )  # fmt: skip
    bars = pd.DataFrame(
        {
            "left": 0.0, "bottom": y - 0.32, "right": effects, "top": y + 0.32,
            "colour": [colour(each.verdict) for each in drifts],
        }
    )  # fmt: skip
    ticks = pd.DataFrame({"x0": usual, "y0": y - 0.42, "x1": usual, "y1": y + 0.42}).dropna()
    marked = [place for place, each in enumerate(drifts) if each.verdict in (Verdict.WARNING, Verdict.CRITICAL)]
    marks = pd.DataFrame(
        {
            "x": effects[marked] + top * 0.025, "y": y[marked],
            "mark": [MARKS[drifts[place].verdict] for place in marked],
            "colour": [VERDICT_COLOURS[drifts[place].verdict] for place in marked],
        }
    )  # fmt: skip
    corners = ["left", "bottom", "right", "top"]
    hover = [("", "@name"), ("", "@verdict"), ("effect", "@effect"), ("usual up to", "@usual"), ("n", "@n")]
    tapped = hv.DynamicMap(
        lambda: hv.Rectangles(rows, corners, ["name", "effect", "usual", "n", "verdict"]).opts(
            color=REST, fill_alpha=0, line_alpha=0, tools=["tap"], hover_tooltips=hover, hover_fill_alpha=0.12,
            hover_fill_color=REST, selection_fill_alpha=0, nonselection_fill_alpha=0,
        )
    )  # fmt: skip
    drawn = hv.Overlay(
        [
            hv.Rectangles(bars, corners, ["colour"]).opts(color="colour", alpha=0.85, line_alpha=0),
            hv.Segments(ticks, ["x0", "y0", "x1", "y1"]).opts(color=REST, line_width=2),
            hv.Labels(marks, ["x", "y"], ["mark", "colour"]).opts(text_color="colour", text_font_size="10px"),
        ]
    )
    plot = hv.Overlay([tapped, chosen, *(hv.DynamicMap(partial(_as_is, each)) for each in drawn)]).collate()
    return plot.opts(
        hv.opts.Overlay(
            xlabel="effect", ylabel="", xlim=(0, top), ylim=(-len(drifts) + 0.4, 0.6), show_legend=False,
            yticks=[(float(place), name) for place, name in zip(y, names, strict=True)], **CHART,
        )
    ), tapped  # fmt: skip


def chosen_bar(place: int) -> hv.HSpan:
    """Sets off the bar at `place`."""
    return hv.HSpan(-place - 0.5, -place + 0.5).opts(color=REST, alpha=0.16, line_alpha=0)


def _as_is(element: hv.Element) -> hv.Element:
    return element


def colour(verdict: Verdict) -> str:
    """Red and amber for what is wrong, grey for the rest."""
    return VERDICT_COLOURS[verdict] if verdict in (Verdict.WARNING, Verdict.CRITICAL) else "#7f9bb3"
