"""How confidence is spread: the selection over the rest."""

import holoviews as hv
import numpy as np

from app.views.live import EDGES_OF_BARS, Content
from app.views.style import ACCENT, REST, chart
from monitoring.accuracy import ratio
from monitoring.calibration import BINS
from monitoring.tally import Tally

EDGES = np.linspace(0.0, 1.0, BINS + 1)


def confidence_content(selected: Tally, rest: Tally, brushed: tuple[float, float] | None) -> Content:
    """Of the range that is chosen, the bars of the selection and the steps of the rest."""
    mine, others = (np.nan_to_num(ratio(part.rows, part.rows.sum())) for part in (selected, rest))
    top = max(0.05, float(mine.max()), float(others.max())) * 1.08
    low, high = (np.array([edge]) for edge in brushed) if brushed else (np.empty(0), np.empty(0))
    return Content(
        (
            {"left": low, "right": high, "bottom": np.zeros(len(low)), "top": np.full(len(low), top)},
            {
                "left": EDGES[:-1], "right": EDGES[1:], "bottom": np.zeros(BINS), "top": mine,
                "share": mine, "rest": others, "n": selected.rows.astype(np.int64),
            },
            {"confidence": np.repeat(EDGES, 2)[1:-1], "share": np.repeat(others, 2)},
        ),
        y=(0.0, top),
    )  # fmt: skip


def confidence_histogram(selected: Tally, rest: Tally, brushed: tuple[float, float] | None) -> hv.Overlay:
    """The share of rows in each of 20 bins, as bars for the selection and as steps for the rest.

    `brushed`: the range of confidence that is chosen, shaded.
    """
    content = confidence_content(selected, rest, brushed)
    shade, bars, steps = content.glyphs
    hover = [
        ("confidence", "@left{0.00}–@right{0.00}"),
        ("selection", "@share{0.0%}  n @n{0,0}"),
        ("rest", "@rest{0.0%}"),
    ]
    return chart(
        [
            hv.Rectangles(shade, EDGES_OF_BARS).opts(color=ACCENT, alpha=0.16, line_alpha=0),
            hv.Rectangles(bars, EDGES_OF_BARS, ["share", "rest", "n"]).opts(
                color=ACCENT,
                alpha=0.75,
                line_color=ACCENT,
                line_alpha=0.2,
                hover_tooltips=hover,
                nonselection_alpha=0.75,
                selection_alpha=0.75,
            ),
            hv.Curve(steps, "confidence", "share").opts(color=REST, line_width=1.6),
        ],
        height=150,
        xlabel="confidence",
        ylabel="share of rows",
        xlim=(0, 1),
        ylim=content.y,
        xticks=[0, 0.2, 0.4, 0.6, 0.8, 1],
        yformatter="%.2f",
        brush=True,
    )


def snapped(span: tuple[float, float]) -> tuple[float, float] | None:
    """A brushed range, widened to whole bins; None where it is everything."""
    low = float(np.floor(np.clip(span[0], 0, 1) * BINS + 1e-9) / BINS)
    high = float(np.ceil(np.clip(span[1], 0, 1) * BINS - 1e-9) / BINS)
    return None if high <= low or (low <= 0 and high >= 1) else (low, high)
