"""How many predictions came for each day, and how many of them have a label."""

import holoviews as hv
import numpy as np
import pandas as pd

from app.views.style import ACCENT, REST, chart

HEIGHT = 130
MOST_BARS = 70
STEPS = {1: "day", 7: "week", 28: "4 weeks", 364: "52 weeks"}


def per_step(days: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Sums per day, week or more, few enough to draw: start, end, n, n_labelled; and the days of a step.

    `days`: what `storage.queries.outcomes_by_day` returned. Weeks start on Mondays.
    """
    if days.empty:
        moments = pd.Series([], dtype="datetime64[us]")
        sums = pd.Series([], dtype=np.int64)
        return pd.DataFrame({"start": moments, "end": moments, "n": sums, "n_labelled": sums}), 1
    day = pd.to_datetime(days["day"])
    first = day.min()
    span = (day.max() - first).days + 1
    step = next((step for step in STEPS if span / step <= MOST_BARS), max(STEPS))
    if step > 1:
        first -= pd.Timedelta(days=first.weekday())
    place = ((day - first).dt.days // step).to_numpy()
    sums = days.groupby(place)[["n", "n_labelled"]].sum()
    start = first + pd.to_timedelta(sums.index.to_numpy() * step, unit="D")
    return sums.assign(start=start, end=start + pd.Timedelta(days=step)).reset_index(drop=True), step


def coverage(days: pd.DataFrame) -> hv.Overlay:
    """Predictions as grey bars, those with a label as bars of the accent before them."""
    table, step = per_step(days)
    bars = pd.DataFrame(
        {
            "left": table["start"],
            "bottom": 0,
            "right": table["end"],
            "n": table["n"],
            "labelled": table["n_labelled"],
            "share": table["n_labelled"] / table["n"].clip(lower=1),
            "last": table["end"] - pd.Timedelta(days=1),
        }
    )
    hover = [
        ("from", "@left{%F} – @last{%F}"),
        ("predictions", "@n{0,0}"),
        ("labelled", "@labelled{0,0}  @share{0%}"),
    ]
    details = ["share", "last"]
    return chart(
        [
            hv.Rectangles(bars, ["left", "bottom", "right", "n"], ["labelled", *details]).opts(
                color=REST, alpha=0.4, line_alpha=0, hover_tooltips=hover
            ),
            hv.Rectangles(bars, ["left", "bottom", "right", "labelled"], details).opts(
                color=ACCENT, alpha=0.85, line_alpha=0
            ),
        ],
        height=HEIGHT,
        xlabel="",
        ylabel=f"a {STEPS[step]}",
        ylim=(0, max(1.0, float(table["n"].max() or 0) * 1.08)),
        yformatter="%d",
    )


def lag(days: pd.DataFrame) -> str:
    """How far labels have come, in words; empty where there are no predictions."""
    if days.empty:
        return ""
    labelled = days[days["n_labelled"] > 0]
    if labelled.empty:
        return "no labels yet"
    last, reached = pd.Timestamp(days["day"].max()), pd.Timestamp(labelled["day"].max())
    share = labelled["n_labelled"].sum() / days["n"].sum()
    behind = (last - reached).days
    late = f", {behind} {'day' if behind == 1 else 'days'} behind the last prediction" if behind else ""
    return f"{share:.0%} labelled, up to {reached.date().isoformat()}{late}"
