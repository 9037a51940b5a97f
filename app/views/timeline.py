"""Accuracy over time, above the number of predictions."""

import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd

from app.views.live import EDGES_OF_BARS, Content, band
from app.views.style import ACCENT, REST, chart
from monitoring.accuracy import proportion

DAY = np.timedelta64(1, "D")
MOST_BARS = 120


def timeline_content(days: pd.DataFrame) -> Content:
    """Of the bars of volume, and the band, curve and dots of the share correct."""
    start, step, sums = _joined(days)
    n, labelled, correct = sums
    found = proportion(correct, labelled)
    known = labelled > 0
    lower, upper = found.lower[known], found.upper[known]
    line = {"time": (start + step / 2)[known], "accuracy": found.value[known]}
    bars = {
        "left": start, "right": start + step, "bottom": np.zeros(len(n)),
        "top": n / max(1.0, float(n.max(initial=0))) * 0.2, "predictions": n.astype(np.int64),
    }  # fmt: skip
    return Content(
        (
            bars,
            band(line["time"], lower, upper),
            line,
            {**line, "lower": lower, "upper": upper, "n": labelled[known].astype(np.int64)},
        ),
        x=(start[0], start[-1] + step) if len(start) else None,
    )


def timeline(days: pd.DataFrame) -> hv.Overlay:
    """Share correct with its Wilson band, and volume as bars scaled to the lower fifth.

    `days`: what `storage.queries.outcomes_by_day` returned. Days are joined where there are many.
    """
    content = timeline_content(days)
    bars, _, line, dots = content.glyphs
    span = {"xlim": content.x} if content.x else {}
    return chart(
        [
            hv.Rectangles(bars, EDGES_OF_BARS, ["predictions"]).opts(
                color=REST,
                alpha=0.45,
                line_alpha=0,
                nonselection_alpha=0.45,
                selection_alpha=0.45,
                hover_tooltips=[("from", "@left{%F}"), ("predictions", "@predictions{0,0}")],
                hover_formatters={"@left": "datetime"},
            ),
            hv.Area((line["time"], dots["lower"], dots["upper"]), "time", ["lower", "upper"]).opts(
                color=ACCENT, alpha=0.22, line_alpha=0
            ),
            hv.Curve(line, "time", "accuracy").opts(color=ACCENT, line_width=2),
            hv.Points(dots, ["time", "accuracy"], ["lower", "upper", "n"]).opts(
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
        **span,
    )


def _joined(days: pd.DataFrame) -> tuple[npt.NDArray[np.datetime64], np.timedelta64, npt.NDArray[np.float64]]:
    """Few steps of days: where each starts, how long each is, and n, n_labelled, n_correct [3, steps]."""
    day = days["day"].to_numpy("datetime64[D]")
    if not len(day):
        return day.astype("datetime64[us]"), DAY, np.empty((3, 0))
    first, last = day.min(), day.max()
    span = int((last - first) // DAY) + 1
    length = next(step for step in (1, 7, 14, 28, 84, 364, span) if span / step <= MOST_BARS or step >= span)
    place = ((day - first) // DAY) // length
    sums = np.array([np.bincount(place, days[name].to_numpy(float)) for name in ("n", "n_labelled", "n_correct")])
    # A step in which nothing came has no bar.
    came = np.flatnonzero(sums[0])
    step = np.timedelta64(length * 86_400_000_000, "us")
    return first.astype("datetime64[us]") + came * step, step, sums[:, came]
