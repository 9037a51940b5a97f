"""Drift: every figure in every region, in one window; and Evidently's report of it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch, live
from app.filters import whole
from app.numbers import count, days
from app.pages.drift_detail import Detail
from app.pages.drift_report import report_card
from app.pages.region import card, chart, on_tap
from app.selection import Selection
from app.standings import SEVERITY
from app.states import empty_state, markup
from app.views.choropleth import ramp_legend
from app.views.drift_heatmap import LIMITS, ROW, Grid, drift_heatmap, grid_of
from monitoring.run import REPORT_METRIC
from storage.catalog import stored_model
from storage.database import Database
from storage.findings import findings, judged_windows
from storage.records import Finding, Verdict, Window
from storage.regions import RegionSet, region_set

NAMES = ("model", "version", "start", "end", "region", "theme")


@dataclass
class Shown:
    """What of the page is shown; kept while it is open. None: the last window, the deepest level, the worst figure."""

    window: Window | None = None
    level: int | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Drift:
    """The judged windows within the chosen days, the last first, and what was found in `window`."""

    regions: RegionSet
    windows: list[Window]
    window: Window | None
    found: list[Finding]
    evidently: Finding | None


def page(context: Context) -> pn.viewable.Viewable:
    shown = Shown()
    return live(context, "drift", NAMES, partial(build, context, shown), sizing_mode="stretch_both", margin=0)


def read_drift(database: Database, selection: Selection, wanted: Window | None) -> Drift:
    """What was found in the window `wanted`, or in the last within the Selection's days."""
    regions = region_set(database, stored_model(database, selection.model).regions)
    chosen = whole(selection)
    windows = judged_windows(
        database, selection.model, "drift", version=selection.version, start=chosen.start, end=chosen.end
    )[::-1]
    if not windows:
        return Drift(regions, [], None, [], None)
    window = wanted if wanted in windows else windows[0]
    within = {"start": window.start, "end": window.end}
    found: dict[tuple[str | None, str], Finding] = {}
    for each in findings(database, selection.model, metric="drift:*", **within):
        place = (each.region, each.metric)
        if selection.version in (None, each.version) and (place not in found or _rank(each) < _rank(found[place])):
            found[place] = each
    reported = findings(database, selection.model, metric=REPORT_METRIC, **within)
    return Drift(regions, windows, window, list(found.values()), reported[0] if reported else None)


def _rank(finding: Finding) -> tuple[int, int]:
    return SEVERITY.index(finding.verdict), -finding.n


async def build(context: Context, shown: Shown) -> pn.viewable.Viewable:
    selection = context.selection
    drift = await fetch(read_drift, context.database, selection, shown.window)
    if drift.window is None:
        return empty_state(
            "No drift judged within these days",
            "A window is compared once it has ended and has a reference. Choose more days above, "
            "or run 'driftmap monitor'.",
        )
    levels = sorted({region.level for region in drift.regions.regions})
    if selection.region is not None and shown.level is None:
        shown.level = next((each.level for each in drift.regions.regions if each.id == selection.region), None)
    if shown.level not in levels:
        shown.level = levels[-1] if levels else None
    ids = [region.id for region in drift.regions.regions if region.level == shown.level]
    grid = grid_of(drift.found, ids)
    detail = Detail(context, "drift")
    heatmap = chart(None, 110 + ROW * len(grid.regions))

    def choose(place: tuple[int, int]) -> None:
        finding = grid.cells.get((grid.regions[place[0]], grid.metrics[place[1]]))
        if finding is None:
            return
        shown.metric = finding.metric
        plot = drift_heatmap(grid, place, context.theme.dark)
        on_tap(plot, tapped)
        heatmap.object = plot
        detail.show(finding)

    def tapped(index: list[int]) -> None:
        if not index:
            return
        place = divmod(index[0], len(grid.metrics))
        region = grid.regions[place[0]]
        shown.metric = grid.metrics[place[1]]
        if region == selection.region:
            choose(place)
        else:
            selection.region = region

    choose(first_place(grid, selection.region, shown.metric))
    head = pn.Row(
        window_select(context, shown, drift), level_select(context, shown, drift, levels),
        markup(summary(drift, ids), margin=(12, 10)), sizing_mode="stretch_width", margin=0,
    )  # fmt: skip
    legend = markup(ramp_legend("Effect", "0", f"{LIMITS[1]} and more", context.theme.dark), margin=(2, 12))
    left = pn.Column(
        head, legend, pn.Column(heatmap, scroll="y-auto", sizing_mode="stretch_both", margin=0),
        sizing_mode="stretch_both", margin=0, styles={"flex": "1.6 1 0"},
    )  # fmt: skip
    right = pn.Column(
        card("Distribution", "filled: the window · line: the reference", detail.view),
        report_card(context, drift.window, drift.evidently, drift.found),
        sizing_mode="stretch_both", scroll="y-auto", margin=0, styles={"flex": "1 1 0"},
    )  # fmt: skip
    return pn.Row(left, right, sizing_mode="stretch_both", margin=0)


def first_place(grid: Grid, region: str | None, metric: str | None) -> tuple[int, int]:
    """The cell to show: of `region` (else of any), of `metric` (else the worst)."""
    row = [place for place, each in grid.cells.items() if each.region == region and region in grid.regions]
    if metric is not None and (region, metric) in row:
        return grid.place(region, metric) or (0, 0)
    known = row if region is not None and row else [place for place in grid.cells if place[0] in grid.regions]

    def urgency(place: tuple[str | None, str]) -> tuple[int, float]:
        finding = grid.cells[place]
        return SEVERITY.index(finding.verdict), -(finding.value or 0.0)

    return grid.place(*min(known, key=urgency)) or (0, 0)


def window_select(context: Context, shown: Shown, drift: Drift) -> pn.viewable.Viewable:
    options = {days(each.start, each.end): each for each in drift.windows}
    select = pmui.Select(
        label="Window", options=list(options), value=next(iter(k for k, v in options.items() if v == drift.window)),
        size="small", width=190, margin=(8, 5),
    )  # fmt: skip

    def changed(event: Any) -> None:
        shown.window = options[event.new]
        context.selection.param.trigger("start")

    select.param.watch(changed, "value")
    return select


def level_select(context: Context, shown: Shown, drift: Drift, levels: list[int]) -> pn.viewable.Viewable:
    sizes = {level: sum(region.level == level for region in drift.regions.regions) for level in levels}
    select = pmui.Select(
        label="Level", options={f"{level} ({sizes[level]})": level for level in levels}, value=shown.level,
        size="small", width=110, margin=(8, 5), visible=len(levels) > 1,
    )  # fmt: skip

    def changed(event: Any) -> None:
        shown.level = event.new
        context.selection.param.trigger("start")

    select.param.watch(changed, "value")
    return select


def summary(drift: Drift, ids: list[str]) -> str:
    """How many cells drifted, in words, as HTML."""
    cells = [each for each in drift.found if each.region in ids]
    verdicts = [each.verdict for each in cells]
    said = ", ".join(f"{verdicts.count(each)} {each.value}" for each in (Verdict.CRITICAL, Verdict.WARNING))
    return (
        f'<div class="dm-words"><b>{said}</b> <span>of {count(len(cells))} pairs of region and figure</span></div>'
    )
