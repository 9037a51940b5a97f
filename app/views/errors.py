"""What is taken for what: predicted class × label."""

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from app.views.live import Content, Scale
from app.views.style import REST, chart, ramp
from monitoring.accuracy import ratio
from monitoring.tally import Tally

LONGEST = 12  # letters of a class name on an axis
LIMITS = (0.0, 0.5)  # of the share that is wrong
FEW = 8  # so many classes, or fewer, have their shares written on the cells


def error_content(selected: Tally, classes: list[str], dark: bool) -> Content:
    """Of the cells and, where there are few, of the texts on them."""
    confusion = selected.confusion
    share = ratio(confusion, confusion.sum(axis=1, keepdims=True))
    short = _short(classes)
    predicted, label = np.indices(confusion.shape)
    right = predicted == label
    cells = {"label": [short[i] for i in label.flat], "predicted": [short[i] for i in predicted.flat]}
    wrong = np.where(right, np.nan, share).ravel()
    heat = {**cells, "zvalues": wrong, "share": share.ravel(), "n": confusion.ravel().astype(np.int64)}
    scale = Scale(ramp(dark), *LIMITS)
    if len(classes) > FEW:
        return Content((heat,), scale=scale)
    ink = np.where(~right & (share > 0.2), "#15181c" if dark else "#ffffff", REST)
    text = {**cells, "text": [_percent(each) for each in share.flat], "text_color": ink.ravel().tolist()}
    return Content((heat, text), scale=scale)


def error_heatmap(selected: Tally, classes: list[str], dark: bool) -> hv.Overlay:
    """The share of each predicted class that is labelled as each class; the diagonal is right, so unfilled."""
    heat_columns, *texts = error_content(selected, classes, dark).glyphs
    hover = [
        ("predicted", "@predicted"),
        ("label", "@label"),
        ("share of predicted", "@share{0.0%}"),
        ("n", "@n{0,0}"),
    ]
    heat = hv.HeatMap(
        pd.DataFrame(heat_columns).rename(columns={"zvalues": "wrong"}), ["label", "predicted"], ["wrong", "share", "n"]
    ).opts(
        cmap=ramp(dark), clim=LIMITS, hover_tooltips=hover, colorbar=False, clipping_colors={"NaN": (0, 0, 0, 0)},
        line_color=REST, line_alpha=0.25, line_width=0.5,
    )  # fmt: skip
    layers: list[hv.Element] = [heat]
    for columns in texts:
        labels = hv.Labels(pd.DataFrame(columns), ["label", "predicted"], ["text", "text_color"])
        layers.append(labels.opts(text_font_size="10px", text_color="text_color", hooks=[_keep_ink]))
    return chart(
        layers,
        height=220,
        xlabel="label",
        ylabel="predicted",
        xrotation=0 if len(classes) <= 5 else 40,
        invert_yaxis=True,
    )


def _keep_ink(plot: Any, element: hv.Labels) -> None:
    """A HoloViews hook: the colour of a text is a column, also while all are of one colour."""
    plot.handles["source"].data["text_color"] = element.dimension_values("text_color").tolist()
    plot.handles["glyph"].text_color = "text_color"


def _percent(share: float) -> str:
    return "" if not np.isfinite(share) or share < 0.005 else f"{share * 100:.0f}%"


def _short(names: list[str]) -> list[str]:
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    return short if len(set(short)) == len(names) else list(names)
