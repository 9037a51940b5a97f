"""Two distributions of one figure: the window over the reference."""

from dataclasses import dataclass
from itertools import pairwise

import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd

from app.views.style import ACCENT, CHART, REST
from monitoring.accuracy import ratio
from storage.queries import Bins

MOST_BARS = 48
TAIL = 0.002  # of the rows on each side lie in the outermost bars


@dataclass(frozen=True)
class Distribution:
    """Rows by bar, on both sides. `edges` [bars + 1] in the figure's unit; or `names` [bars] of categories."""

    name: str
    reference: npt.NDArray[np.float64]
    current: npt.NDArray[np.float64]
    edges: npt.NDArray[np.float64] | None = None
    names: tuple[str, ...] = ()


def of_bins(name: str, reference: pd.DataFrame, current: pd.DataFrame, bins: Bins) -> Distribution:
    """From the columns bin and n of what `storage.queries.feature_histogram` returned; missing values left out.

    Bins are joined where there are many; the outermost bars hold what lies beyond them too.
    """
    before, now = (side.dropna(subset="bin").groupby("bin")["n"].sum() for side in (reference, current))
    both = before.add(now, fill_value=0).sort_index()
    if both.empty:
        return Distribution(name, np.zeros(0), np.zeros(0), np.zeros(1))
    below = both.cumsum() / both.sum()
    first = int(both.index[(below > TAIL).argmax()])
    last = max(first, int(both.index[(below >= 1 - TAIL).argmax()]))
    joined = int(np.ceil((last - first + 1) / MOST_BARS))
    bars = int(np.ceil((last - first + 1) / joined))

    def counts(side: pd.Series) -> npt.NDArray[np.float64]:
        place = ((side.index.to_numpy(np.int64) - first) // joined).clip(0, bars - 1)
        return np.bincount(place, weights=side.to_numpy(float), minlength=bars).astype(float)

    edges = bins.origin + bins.width * (first + joined * np.arange(bars + 1, dtype=float))
    return Distribution(name, counts(before), counts(now), edges)


def of_categories(
    name: str, reference: pd.DataFrame, current: pd.DataFrame, names: dict[str, str] | None = None
) -> Distribution:
    """From the columns category and n. `names`: how a category is written, where not as it is stored."""
    before, now = (side.dropna(subset="category").groupby("category")["n"].sum() for side in (reference, current))
    known = before.add(now, fill_value=0).sort_values(ascending=False).index[:MOST_BARS]
    written = tuple((names or {}).get(str(each), str(each)) for each in known)
    shown = [side.reindex(known, fill_value=0).to_numpy(float) for side in (before, now)]
    return Distribution(name, shown[0], shown[1], names=written)


def distribution_chart(found: Distribution) -> hv.Overlay:
    """The share of rows in each bar: filled for the window, a line for the reference."""
    now, before = (np.nan_to_num(ratio(side, side.sum())) for side in (found.current, found.reference))
    bars = len(now)
    edges = found.edges if found.edges is not None else np.arange(bars + 1) - 0.5
    if not bars:
        edges = np.array([0.0, 1.0])
        now = before = np.zeros(1)
    inset = np.diff(edges) * (0.12 if found.names else 0.0)
    table = pd.DataFrame(
        {
            "left": edges[:-1] + inset, "bottom": 0.0, "right": edges[1:] - inset, "window": now, "reference": before,
            "bar": list(found.names) or [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)],
        }
    )  # fmt: skip
    top = max(0.02, float(max(now.max(), before.max()))) * 1.08
    steps = pd.DataFrame({"x": np.repeat(edges, 2)[1:-1], "share": np.repeat(before, 2)})
    hover = [("", "@bar"), ("window", "@window{0.0%}"), ("reference", "@reference{0.0%}")]
    ticks = {"xticks": list(enumerate(found.names)), "xrotation": 30 if bars > 6 else 0} if found.names else {}
    return hv.Overlay(
        [
            hv.Rectangles(table, ["left", "bottom", "right", "window"], ["reference", "bar"]).opts(
                color=ACCENT, alpha=0.7, line_alpha=0, hover_tooltips=hover
            ),
            hv.Curve(steps, "x", "share").opts(color=REST, line_width=2),
        ]
    ).opts(
        hv.opts.Overlay(
            xlabel=found.name, ylabel="share of rows", xlim=(float(edges[0]), float(edges[-1])), ylim=(0, top),
            show_legend=False, **ticks, **CHART,
        )
    )  # fmt: skip
