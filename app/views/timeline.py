"""Accuracy over time, above the number of predictions."""

import holoviews as hv
import numpy as np
import pandas as pd

from app.views.style import ACCENT, REST, chart
from monitoring.accuracy import proportion

DAY = np.timedelta64(1, "D")
MOST_BARS = 120


def timeline(days: pd.DataFrame) -> hv.Overlay:
    """Share correct with its Wilson band, and volume as bars scaled to the lower fifth.

    `days`: what `storage.queries.outcomes_by_day` returned. Days are joined where there are many.
    """
    table = _joined(days)
    found = proportion(table["n_correct"], table["n_labelled"])
    shown = table["n_labelled"].to_numpy() > 0
    curve = pd.DataFrame(
        {
            "time": table["middle"], "accuracy": found.value, "lower": found.lower, "upper": found.upper,
            "n": table["n_labelled"],
        }
    )[shown]  # fmt: skip
    largest = max(1.0, float(table["n"].max())) if len(table) else 1.0
    bars = pd.DataFrame(
        {
            "left": table["start"], "bottom": np.zeros(len(table)), "right": table["end"],
            "height": table["n"] / largest * 0.2, "predictions": table["n"],
        }
    )  # fmt: skip
    return chart(
        [
            hv.Rectangles(bars, ["left", "bottom", "right", "height"], ["predictions"]).opts(
                color=REST,
                alpha=0.45,
                line_alpha=0,
                nonselection_alpha=0.45,
                selection_alpha=0.45,
                hover_tooltips=[("from", "@left{%F}"), ("predictions", "@predictions{0,0}")],
                hover_formatters={"@left": "datetime"},
            ),
            hv.Area((curve["time"], curve["lower"], curve["upper"]), "time", ["lower", "upper"]).opts(
                color=ACCENT, alpha=0.22, line_alpha=0
            ),
            hv.Curve((curve["time"], curve["accuracy"]), "time", "accuracy").opts(color=ACCENT, line_width=2),
            hv.Points(curve, ["time", "accuracy"], ["lower", "upper", "n"]).opts(
                color=ACCENT,
                size=5,
                hover_formatters={"@time": "datetime"},
                hover_tooltips=[
                    ("day", "@time{%F}"),
                    ("accuracy", "@accuracy{0.00}  @lower{0.00}–@upper{0.00}"),
                    ("n", "@n{0,0}"),
                ],
            ),
        ],
        height=120,
        xlabel="",
        ylabel="accuracy",
        ylim=(0, 1.02),
        yticks=[0, 0.25, 0.5, 0.75, 1],
        brush=True,
    )


def _joined(days: pd.DataFrame) -> pd.DataFrame:
    """Sums per step of days, few enough to draw: start, end, middle, n, n_labelled, n_correct."""
    if days.empty:
        empty = pd.Series([], dtype="datetime64[us]")
        numbers = pd.Series([], dtype=float)
        return pd.DataFrame(
            {"start": empty, "end": empty, "middle": empty, "n": numbers, "n_labelled": numbers, "n_correct": numbers}
        )
    day = pd.to_datetime(days["day"])
    first, last = day.min(), day.max()
    span = (last - first).days + 1
    step = next(step for step in (1, 7, 14, 28, 84, 364, span) if span / step <= MOST_BARS or step >= span)
    place = (day - first).dt.days // step
    sums = days.groupby(place.to_numpy())[["n", "n_labelled", "n_correct"]].sum()
    start = first + pd.to_timedelta(sums.index.to_numpy() * step, unit="D")
    end = start + pd.Timedelta(days=step)
    return sums.assign(start=start, end=end, middle=start + (end - start) / 2).reset_index(drop=True)
