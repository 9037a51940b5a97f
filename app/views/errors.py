"""What is taken for what: predicted class × label."""

import holoviews as hv
import numpy as np
import pandas as pd

from app.views.style import REST, chart, ramp
from monitoring.accuracy import ratio
from monitoring.tally import Tally

LONGEST = 12  # letters of a class name on an axis


def error_heatmap(selected: Tally, classes: list[str], dark: bool) -> hv.Overlay:
    """The share of each predicted class that is labelled as each class; the diagonal is right, so unfilled."""
    confusion = selected.confusion
    share = ratio(confusion, confusion.sum(axis=1, keepdims=True))
    short = _short(classes)
    predicted, label = np.indices(confusion.shape)
    cells = pd.DataFrame(
        {
            "label": [short[i] for i in label.ravel()],
            "predicted": [short[i] for i in predicted.ravel()],
            "wrong": np.where(predicted == label, np.nan, share).ravel(),
            "share": share.ravel(),
            "n": confusion.ravel().astype(np.int64),
            "text": [_percent(value) for value in share.ravel()],
            "ink": np.where(
                (predicted != label) & (share > 0.2), *(("#15181c", REST) if dark else ("#fff", REST))
            ).ravel(),
        }
    )
    hover = [
        ("predicted", "@predicted"),
        ("label", "@label"),
        ("share of predicted", "@share{0.0%}"),
        ("n", "@n{0,0}"),
    ]
    heat = hv.HeatMap(cells, ["label", "predicted"], ["wrong", "share", "n"]).opts(
        cmap=ramp(dark), clim=(0, 0.5), hover_tooltips=hover, colorbar=False, clipping_colors={"NaN": (0, 0, 0, 0)},
        line_color=REST, line_alpha=0.25, line_width=0.5,
    )  # fmt: skip
    layers: list[hv.Element] = [heat]
    if len(classes) <= 8:
        layers.append(
            hv.Labels(cells, ["label", "predicted"], ["text", "ink"]).opts(text_font_size="10px", text_color="ink")
        )
    return chart(
        layers,
        height=220,
        xlabel="label",
        ylabel="predicted",
        xrotation=0 if len(classes) <= 5 else 40,
        invert_yaxis=True,
    )


def _percent(share: float) -> str:
    return "" if not np.isfinite(share) or share < 0.005 else f"{share * 100:.0f}%"


def _short(names: list[str]) -> list[str]:
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    return short if len(set(short)) == len(names) else list(names)
