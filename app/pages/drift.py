"""Drift: every figure in every region, in one window; and Evidently's report of it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import holoviews as hv
import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch, follow
from app.filters import whole
from app.numbers import count, days
from app.pages.drift_detail import Detail
from app.pages.drift_report import report_card
from app.pages.region import card, chart, on_tap
from app.selection import Selection
from app.standings import SEVERITY
from app.states import empty_state, error_card, markup, waiting
from app.views.choropleth import ramp_legend
from app.views.drift_heatmap import LIMITS, ROW, Grid, chosen_cell, drift_heatmap, grid_of, heat_cells
from monitoring.run import REPORT_METRIC
from storage.catalog import stored_model
from storage.database import Database
from storage.findings import findings, judged_windows
from storage.records import Finding, Verdict, Window
from storage.regions import RegionSet, region_set

NAMES = ("model", "version", "start", "end", "theme")


@dataclass
class Shown:
    """What of the page is shown; kept while it is open. None: the last window, the deepest level, the worst figure.

    `choose` shows the cell of a region and metric, where there is one.
    """

    window: Window | None = None
    level: int | None = None
    metric: str | None = None
    choose: Callable[[str | None, str | None], None] | None = None


@dataclass(frozen=True)
class Drift:
    """The judged windows within the chosen days, the last first, and what was found in `window`."""

    regions: RegionSet
    windows: list[Window]
    window: Window | None
    found: list[Finding]
    evidently: Finding | None


def page(context: Context) -> pn.viewable.Viewable:
    place = pn.Column(waiting(), sizing_mode="stretch_both", margin=0)
    shown = Shown()

    async def refresh() -> None:
        place.objects = [await build(context, shown, again)]

    def failed(error: Exception) -> None:
        place.objects = [error_card(error)]

    async def again() -> None:
        try:
            await refresh()
        except Exception as error:
            failed(error)

    def choose(event: Any) -> None:
        if shown.choose is not None:
            shown.choose(event.new, shown.metric)

    follow(context, "drift", NAMES, refresh, failed)
    context.selection.param.watch(choose, "region")
    return place


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

    def kept(metric: str) -> list[Finding]:
        found = findings(database, selection.model, metric=metric, start=window.start, end=window.end)
        return [each for each in found if (each.window_start, each.window_end) == (window.start, window.end)]

    found: dict[tuple[str | None, str], Finding] = {}
    for each in kept("drift:*"):
        place = (each.region, each.metric)
        if selection.version in (None, each.version) and (place not in found or _rank(each) < _rank(found[place])):
            found[place] = each
    reported = kept(REPORT_METRIC)
    return Drift(regions, windows, window, list(found.values()), reported[0] if reported else None)


def _rank(finding: Finding) -> tuple[int, int]:
    return SEVERITY.index(finding.verdict), -finding.n


async def build(context: Context, shown: Shown, again: Callable[[], Coroutine[Any, Any, None]]) -> pn.viewable.Viewable:
    selection = context.selection
    shown.choose = None
    drift = await fetch(read_drift, context.database, selection, shown.window)
    if drift.window is None:
        return empty_state(
            "No drift judged within these days",
            "A window is compared once it has ended and has a reference. Choose more days above, "
            "or run 'driftmap monitor'.",
        )
    levels = sorted({region.level for region in drift.regions.regions})
    if shown.level is None:
        shown.level = next((each.level for each in drift.regions.regions if each.id == selection.region), None)
    if shown.level not in levels:
        shown.level = levels[-1] if levels else None
    ids = [region.id for region in drift.regions.regions if region.level == shown.level]
    grid = grid_of(drift.found, ids)
    detail = Detail(context, "drift")
    outline = hv.streams.Pipe(data=chosen_cell(None))
    cells = hv.DynamicMap(partial(heat_cells, grid, context.theme.dark))
    heatmap = chart(
        drift_heatmap(grid, cells, hv.DynamicMap(_as_sent, streams=[outline]), context.theme.dark),
        110 + ROW * len(grid.rows),
    )

    def choose(region: str | None, metric: str | None) -> None:
        place = first_place(grid, region, metric)
        finding = grid.cells.get((grid.regions[place[0]], grid.metrics[place[1]]))
        if finding is not None and finding is not detail.shown:
            shown.metric = finding.metric
            outline.send(chosen_cell(place))
            detail.show(finding)

    def tapped(index: list[int]) -> None:
        if index:
            row, column = divmod(index[0], len(grid.metrics))
            choose(grid.regions[row], grid.metrics[column])
            selection.region = grid.regions[row]

    on_tap(cells, tapped)
    choose(selection.region, shown.metric)
    shown.choose = choose
    window = window_select(drift)
    level = level_select(drift, levels, shown.level)

    def changed(event: Any) -> None:
        setattr(shown, "window" if event.obj is window else "level", event.new)
        pn.state.execute(again)

    for widget in (window, level):
        widget.param.watch(changed, "value")
    head = pn.Row(window, level, markup(summary(drift, ids), margin=(12, 10)), sizing_mode="stretch_width", margin=0)
    legend = markup(ramp_legend("Effect", "0", f"{LIMITS[1]} and more", context.theme.dark), margin=(2, 12))
    left = pn.Column(
        head, legend, pn.Column(heatmap, scroll="y-auto", sizing_mode="stretch_both", margin=0),
        sizing_mode="stretch_both", margin=0, styles={"flex": "1.6 1 0"},
    )  # fmt: skip
    right = pn.Column(
        card("Distribution", "filled: the window · line: the reference", detail.view, flex=None),
        report_card(drift.window, drift.evidently, drift.found),
        sizing_mode="stretch_both", scroll="y-auto", margin=0, styles={"flex": "1 1 0"},
    )  # fmt: skip
    return pn.Row(left, right, sizing_mode="stretch_both", margin=0)


def _as_sent(data: hv.Element) -> hv.Element:
    return data


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


def window_select(drift: Drift) -> pmui.Select:
    return pmui.Select(
        label="Window", options={days(each.start, each.end): each for each in drift.windows}, value=drift.window,
        size="small", width=190, margin=(8, 5),
    )  # fmt: skip


def level_select(drift: Drift, levels: list[int], shown: int | None) -> pmui.Select:
    sizes = {level: sum(region.level == level for region in drift.regions.regions) for level in levels}
    return pmui.Select(
        label="Level", options={f"{level} ({sizes[level]})": level for level in levels}, value=shown,
        size="small", width=110, margin=(8, 5), visible=len(levels) > 1,
    )  # fmt: skip


def summary(drift: Drift, ids: list[str]) -> str:
    """How many cells drifted, in words, as HTML."""
    cells = [each for each in drift.found if each.region in ids]
    verdicts = [each.verdict for each in cells]
    said = ", ".join(f"{verdicts.count(each)} {each.value}" for each in (Verdict.CRITICAL, Verdict.WARNING))
    return f'<div class="dm-words"><b>{said}</b> <span>of {count(len(cells))} pairs of region and figure</span></div>'
