"""Drift of every figure in every region."""

from dataclasses import dataclass

import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from app.numbers import MARKS, MISSING, count, number
from app.views.choropleth import MARKED, scaled
from app.views.style import ACCENT, CHART
from storage.records import Finding, Verdict

LIMITS = (0.0, 0.5)  # of the effect; larger ones have the last colour
ROW = 15  # pixels
CORNERS = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Grid:
    """Findings of drift by row (regions, the whole first) and column (figures)."""

    rows: tuple[str, ...]
    regions: tuple[str | None, ...]
    metrics: tuple[str, ...]
    cells: dict[tuple[str | None, str], Finding]

    def place(self, region: str | None, metric: str) -> tuple[int, int] | None:
        if (region, metric) not in self.cells or region not in self.regions:
            return None
        return self.regions.index(region), self.metrics.index(metric)


def grid_of(found: list[Finding], regions: list[str]) -> Grid:
    """The findings of drift of one window for the whole and `regions`, ids: like rows together, and the figures
    with the largest mean effect first."""
    cells = {(each.region, each.metric): each for each in found if each.region is None or each.region in set(regions)}
    names = {each.region: each.region_name or "The whole" for each in cells.values()}
    metrics = sorted({each.metric for each in cells.values()})
    known = [region for region in regions if region in names]
    effects = np.array([[_effect(cells.get((region, metric))) for metric in metrics] for region in known])
    if len(known) and len(metrics):
        metrics = [metrics[place] for place in np.argsort(-effects.mean(axis=0), kind="stable")]
        known = [known[place] for place in similar(effects)]
    ordered = ([None] if None in names else []) + known
    return Grid(tuple(names[each] for each in ordered), tuple(ordered), tuple(metrics), cells)


def similar(effects: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The order of rows in which like ones are neighbours, the largest on top. [regions, figures] → [regions].

    Leaves of average linkage, ordered by Bar-Joseph et al. 2001, Bioinformatics 17.
    """
    if len(effects) < 3:
        order = np.argsort(-effects.max(axis=1, initial=0.0), kind="stable")
    else:
        order = leaves_list(linkage(np.minimum(effects, LIMITS[1]), "average", optimal_ordering=True))
        half = len(order) // 2
        if effects[order[:half]].sum() < effects[order[-half:]].sum():
            order = order[::-1]
    return np.asarray(order, dtype=np.int64)


def heat_cells(grid: Grid, dark: bool) -> hv.Rectangles:
    """One cell a region and figure, row by row; to be tapped."""
    table = _table(grid, dark)
    hover = [
        ("", "@region, @figure"), ("", "@verdict"), ("effect", "@effect"), ("n", "@n"), ("evidence", "@evidence"),
        ("size", "@size"), ("usual", "@usual"),
    ]  # fmt: skip
    return hv.Rectangles(table, CORNERS, [name for name in table if name not in CORNERS]).opts(
        color="colour", line_color="#1a1e23" if dark else "#ffffff", line_width=0.6, tools=["tap"],
        hover_tooltips=hover, selection_alpha=1, nonselection_alpha=1, hover_line_color=ACCENT,
    )  # fmt: skip


def chosen_cell(place: tuple[int, int] | None) -> hv.Rectangles:
    """An outline around the cell in a row and column."""
    cells = [] if place is None else [(place[1] - 0.5, -place[0] - 0.5, place[1] + 0.5, -place[0] + 0.5)]
    return hv.Rectangles(cells, CORNERS).opts(fill_alpha=0, line_color=ACCENT, line_width=2.5)


def drift_heatmap(grid: Grid, cells: hv.DynamicMap, chosen: hv.DynamicMap, dark: bool) -> hv.DynamicMap:
    """`heat_cells` with a mark where the verdict is a warning or worse, the names around it, and `chosen_cell`."""
    marked = [
        (grid.metrics.index(metric), -grid.regions.index(region), MARKS[each.verdict], _ink(each, dark))
        for (region, metric), each in grid.cells.items()
        if each.verdict in MARKED and region in grid.regions
    ]
    marks = hv.Labels(marked, ["x", "y"], ["mark", "ink"]).opts(text_color="ink", text_font_size="8px")
    return hv.Overlay([cells, hv.DynamicMap(lambda: marks), chosen]).collate().opts(
        hv.opts.Overlay(
            xlabel="", ylabel="", xaxis="top", xrotation=40, show_legend=False,
            xlim=(-0.5, len(grid.metrics) - 0.5), ylim=(-len(grid.regions) + 0.5, 0.5),
            xticks=[(place, metric.removeprefix("drift:")) for place, metric in enumerate(grid.metrics)],
            yticks=[(-place, name) for place, name in enumerate(grid.rows)], **CHART,
        )
    )  # fmt: skip


def _table(grid: Grid, dark: bool) -> pd.DataFrame:
    rows = [
        (x - 0.5, -y - 0.5, x + 0.5, -y + 0.5, *_words(grid.rows[y], metric, grid.cells.get((region, metric)), dark))
        for y, region in enumerate(grid.regions)
        for x, metric in enumerate(grid.metrics)
    ]
    names = ["region", "figure", "verdict", "effect", "n", "evidence", "size", "usual", "colour"]
    return pd.DataFrame(rows, columns=[*CORNERS, *names])


def _ink(finding: Finding, dark: bool) -> str:
    """A colour that is legible on the cell of `finding`: large effects are light on dark, and dark on light."""
    large = _effect(finding) > LIMITS[1] * 0.6
    return "#14171b" if large == dark else "#ffffff"


def _effect(finding: Finding | None) -> float:
    return 0.0 if finding is None or finding.value is None else finding.value


def _words(region: str, metric: str, finding: Finding | None, dark: bool) -> tuple[str, ...]:
    figure = metric.removeprefix("drift:")
    if finding is None:
        return region, figure, "not judged", MISSING, MISSING, MISSING, MISSING, MISSING, scaled(None, LIMITS, dark)
    details, verdict = finding.details, finding.verdict
    judged = verdict != Verdict.INSUFFICIENT
    reason = f" ({details['reason']})" if details.get("reason") else ""
    usual = details.get("usual")
    return (
        region,
        figure,
        f"{MARKS[verdict]} {verdict.value}{reason}",
        number(finding.value),
        f"{count(finding.n)}, reference {count(details.get('n_reference') or 0)}",
        f"adjusted p {number(details.get('p_adjusted'))} (below 0.05 counts)",
        f"{number(finding.value)} (from {number(details.get('min_effect'))} on counts)",
        "not known" if usual is None else f"up to {number(usual)} (above counts)",
        scaled(finding.value if judged else None, LIMITS, dark),
    )
