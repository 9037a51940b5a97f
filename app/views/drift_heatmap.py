"""Drift of every figure in every region."""

from dataclasses import dataclass

import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from app.numbers import MARKS, count, number
from app.views.choropleth import scaled
from app.views.style import ACCENT, CHART
from storage.records import Finding, Verdict

LIMITS = (0.0, 0.5)  # of the effect; larger ones have the last colour
ROW = 15  # pixels


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


def drift_heatmap(grid: Grid, chosen: tuple[int, int] | None, dark: bool) -> hv.Overlay:
    """One cell a region and figure; the first element, row by row, is tapped to choose one."""
    rows = []
    for y, region in enumerate(grid.regions):
        for x, metric in enumerate(grid.metrics):
            each = grid.cells.get((region, metric))
            rows.append((x - 0.5, -y - 0.5, x + 0.5, -y + 0.5, *_words(grid.rows[y], metric, each, dark)))
    columns = ["x0", "y0", "x1", "y1", "region", "figure", "verdict", "effect", "n", "evidence", "size", "usual",
               "colour", "mark", "ink"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    marked = table[table["mark"] != ""]
    hover = [
        ("", "@region, @figure"), ("", "@verdict"), ("effect", "@effect"), ("n", "@n"), ("evidence", "@evidence"),
        ("size", "@size"), ("usual", "@usual"),
    ]  # fmt: skip
    line = "#1a1e23" if dark else "#ffffff"
    outline = [] if chosen is None else [
        (chosen[1] - 0.5, -chosen[0] - 0.5, chosen[1] + 0.5, -chosen[0] + 0.5)
    ]  # fmt: skip
    return hv.Overlay(
        [
            hv.Rectangles(table, columns[:4], columns[4:]).opts(
                color="colour", line_color=line, line_width=0.6, tools=["tap"], hover_tooltips=hover,
                selection_alpha=1, nonselection_alpha=1, hover_line_color=ACCENT,
            ),
            hv.Labels(((marked["x0"] + marked["x1"]) / 2, (marked["y0"] + marked["y1"]) / 2, marked["mark"],
                       marked["ink"]), ["x", "y"], ["mark", "ink"]).opts(
                text_color="ink", text_font_size="8px"
            ),
            hv.Rectangles(outline, ["x0", "y0", "x1", "y1"]).opts(
                fill_alpha=0, line_color=ACCENT, line_width=2.5
            ),
        ]
    ).opts(
        hv.opts.Overlay(
            xlabel="", ylabel="", xaxis="top", xrotation=40, show_legend=False,
            xlim=(-0.5, len(grid.metrics) - 0.5), ylim=(-len(grid.regions) + 0.5, 0.5),
            xticks=[(place, metric.removeprefix("drift:")) for place, metric in enumerate(grid.metrics)],
            yticks=[(-place, name) for place, name in enumerate(grid.rows)], **CHART,
        )
    )  # fmt: skip


def _effect(finding: Finding | None) -> float:
    return 0.0 if finding is None or finding.value is None else finding.value


def _words(region: str, metric: str, finding: Finding | None, dark: bool) -> tuple[str, ...]:
    figure = metric.removeprefix("drift:")
    if finding is None:
        return (region, figure, "not judged", "–", "–", "–", "–", "–", scaled(None, LIMITS, dark), "", "")
    details, verdict = finding.details, finding.verdict
    judged = verdict != Verdict.INSUFFICIENT
    mark = MARKS[verdict] if verdict in (Verdict.WARNING, Verdict.CRITICAL) else ""
    reason = f" ({details['reason']})" if details.get("reason") else ""
    return (
        region,
        figure,
        f"{MARKS[verdict]} {verdict.value}{reason}",
        number(finding.value),
        count(finding.n),
        f"adjusted p {number(details.get('p_adjusted'))}, below 0.05?",
        f"{number(finding.value)}, at least {number(details.get('min_effect'))}?",
        f"up to {number(details.get('usual'))}",
        scaled(finding.value if judged else None, LIMITS, dark),
        mark,
        "#14171b" if dark and _effect(finding) > 0.3 else "#ffffff",
    )
