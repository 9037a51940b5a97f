"""How confidence is spread: the selection over the rest."""

import holoviews as hv
import numpy as np
import pandas as pd

from app.views.style import ACCENT, REST, chart
from monitoring.accuracy import ratio
from monitoring.calibration import BINS
from monitoring.tally import Tally

EDGES = np.linspace(0.0, 1.0, BINS + 1)


def confidence_histogram(selected: Tally, rest: Tally, brushed: tuple[float, float] | None) -> hv.Overlay:
    """The share of rows in each of 20 bins, as bars for the selection and as steps for the rest.

    `brushed`: the range of confidence that is chosen, shaded.
    """
    mine, others = (ratio(part.rows, part.rows.sum()) for part in (selected, rest))
    bars = pd.DataFrame(
        {
            "left": EDGES[:-1],
            "bottom": np.zeros(BINS),
            "right": EDGES[1:],
            "share": np.nan_to_num(mine),
            "rest": np.nan_to_num(others),
            "n": selected.rows.astype(np.int64),
        }
    )
    steps = pd.DataFrame({"confidence": np.repeat(EDGES, 2)[1:-1], "share": np.repeat(np.nan_to_num(others), 2)})
    top = max(0.05, float(bars[["share", "rest"]].to_numpy().max())) * 1.08
    low, high = brushed or (0.0, 0.0)
    hover = [
        ("confidence", "@left{0.00}–@right{0.00}"),
        ("selection", "@share{0.0%}  n @n{0,0}"),
        ("rest", "@rest{0.0%}"),
    ]
    return chart(
        [
            hv.Rectangles([(low, 0, high, top)], ["x0", "y0", "x1", "y1"]).opts(
                color=ACCENT, alpha=0.16 if brushed else 0, line_alpha=0
            ),
            hv.Rectangles(bars, ["left", "bottom", "right", "share"], ["rest", "n"]).opts(
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
        ylim=(0, top),
        xticks=[0, 0.2, 0.4, 0.6, 0.8, 1],
        yformatter="%.2f",
        brush=True,
    )


def snapped(span: tuple[float, float]) -> tuple[float, float] | None:
    """A brushed range, widened to whole bins; None where it is everything."""
    low = float(np.floor(np.clip(span[0], 0, 1) * BINS + 1e-9) / BINS)
    high = float(np.ceil(np.clip(span[1], 0, 1) * BINS - 1e-9) / BINS)
    return None if high <= low or (low <= 0 and high >= 1) else (low, high)
