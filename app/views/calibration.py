"""The calibration curve: does confidence mean what it says?"""

import holoviews as hv
import numpy as np

from app.views.live import Content, band
from app.views.style import ACCENT, GUIDE, REST, chart
from monitoring.calibration import reliability
from monitoring.tally import Tally


def calibration_content(selected: Tally, rest: Tally) -> Content:
    """Of the diagonal, the curve of the rest, and the band, curve and dots of the selection."""
    curve = reliability(selected.labelled, selected.correct, selected.sum_labelled)
    other = reliability(rest.labelled, rest.correct, rest.sum_labelled)
    shown, known = curve.n > 0, other.n > 0
    line = {"confidence": curve.mean_confidence[shown], "accuracy": curve.accuracy[shown]}
    lower, upper = curve.lower[shown], curve.upper[shown]
    return Content(
        (
            {"confidence": np.array([0.0, 1.0]), "accuracy": np.array([0.0, 1.0])},
            {"confidence": other.mean_confidence[known], "accuracy": other.accuracy[known]},
            band(line["confidence"], lower, upper),
            line,
            {**line, "lower": lower, "upper": upper, "n": curve.n[shown].astype(np.int64)},
        )
    )


def calibration_curve(selected: Tally, rest: Tally) -> hv.Overlay:
    """Share correct over mean confidence in 20 bins, with Wilson band, the rest's curve and the diagonal."""
    guide, other, _, own, details = calibration_content(selected, rest).glyphs
    diagonal, comparison, line = (hv.Curve(each, "confidence", "accuracy") for each in (guide, other, own))
    area = hv.Area((own["confidence"], details["lower"], details["upper"]), "confidence", ["lower", "upper"])
    dots = hv.Points(details, ["confidence", "accuracy"], ["lower", "upper", "n"])
    hover = [
        ("confidence", "@confidence{0.00}"),
        ("correct", "@accuracy{0.00}  @lower{0.00}–@upper{0.00}"),
        ("n", "@n{0,0}"),
    ]
    return chart(
        [
            diagonal.opts(color=GUIDE, line_dash="dotted", line_width=1.2),
            comparison.opts(color=REST, line_width=1.4, line_dash="dashed"),
            area.opts(color=ACCENT, alpha=0.22, line_alpha=0),
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
