"""The calibration curve: does confidence mean what it says?"""

import holoviews as hv
import numpy as np
import pandas as pd

from app.views.style import ACCENT, GUIDE, REST, chart
from monitoring.calibration import Reliability, reliability
from monitoring.tally import Tally


def calibration_curve(selected: Tally, rest: Tally) -> hv.Overlay:
    """Share correct over mean confidence in 20 bins, with Wilson band, the rest's curve and the diagonal."""
    curve = _points(reliability(selected.labelled, selected.correct, selected.sum_labelled))
    other = _points(reliability(rest.labelled, rest.correct, rest.sum_labelled))
    band = hv.Area((curve["confidence"], curve["lower"], curve["upper"]), "confidence", ["lower", "upper"])
    line = hv.Curve((curve["confidence"], curve["accuracy"]), "confidence", "accuracy")
    dots = hv.Points(curve, ["confidence", "accuracy"], ["lower", "upper", "n"])
    comparison = hv.Curve((other["confidence"], other["accuracy"]), "confidence", "accuracy")
    diagonal = hv.Curve(([0, 1], [0, 1]), "confidence", "accuracy")
    hover = [
        ("confidence", "@confidence{0.00}"),
        ("correct", "@accuracy{0.00}  @lower{0.00}–@upper{0.00}"),
        ("n", "@n{0,0}"),
    ]
    return chart(
        [
            diagonal.opts(color=GUIDE, line_dash="dotted", line_width=1.2),
            comparison.opts(color=REST, line_width=1.4, line_dash="dashed"),
            band.opts(color=ACCENT, alpha=0.22, line_alpha=0),
            line.opts(color=ACCENT, line_width=2),
            dots.opts(color=ACCENT, size=6, hover_tooltips=hover),
        ],
        height=200,
        xlabel="mean confidence",
        ylabel="share correct",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        xticks=[0, 0.2, 0.4, 0.6, 0.8, 1],
        yticks=[0, 0.2, 0.4, 0.6, 0.8, 1],
    )


def _points(found: Reliability) -> pd.DataFrame:
    shown = found.n > 0
    return pd.DataFrame(
        {
            "confidence": found.mean_confidence[shown],
            "accuracy": found.accuracy[shown],
            "lower": found.lower[shown],
            "upper": found.upper[shown],
            "n": found.n[shown].astype(np.int64),
        }
    )
