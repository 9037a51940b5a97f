"""One region: how it stands and since when, what changed, and where its errors are."""

import asyncio
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import holoviews as hv
import panel as pn

from app.context import Context, fetch
from app.filters import grown
from app.linked import Linked, link
from app.numbers import count, day, days, interval, light, mark, number, strong
from app.pages.drift_detail import Detail
from app.pages.region_figures import RegionFigures, open_alerts_of, read_region
from app.pages.regions_overview import accuracy_cell, drift_cell, map_frame
from app.standings import Standing, Standings, sentence
from app.states import empty_state, error_card, markup, waiting
from app.views.basemap import land
from app.views.calibration import calibration_curve
from app.views.drift_bars import ROW, chosen_bar, drift_bars
from app.views.errors import error_heatmap
from app.views.outlines import in_metres, outlines
from app.views.places import Place, place_cells
from app.views.trend import trend, window_spans, windows_of
from storage.records import Alert, Window

PLACES = 6


async def page(context: Context, standings: Standings) -> pn.viewable.Viewable:
    """The page of the Selection's region. What is known already comes at once, the charts follow."""
    selection = context.selection
    standing = standings.by_id.get(selection.region or "")
    if standing is None or standing.region is None:
        back = Linked(context, f'<div class="dm-empty">{back_link(context)}</div>')
        return empty_state("No such region", f"The model's regions have no '{selection.region}'.", back)
    alerts = await fetch(open_alerts_of, context.database, selection.model, standing.region.id)
    charts = pn.Column(waiting(230), waiting(330), waiting(260), sizing_mode="stretch_width", margin=0)

    async def draw() -> None:
        try:
            found = await fetch(read_region, context.database, context.configuration, selection, standing)
            rows: list[Callable[[], list[pn.Column]]] = [
                lambda: [over_time(context, found, alerts), calibration(found)],
                lambda: [*drift(context, standing), errors(context, found)],
                lambda: [*worst_places(context, standing, found), *parts(context, standings, standing)],
            ]
            for place, build in enumerate(rows):
                charts[place] = pn.Row(*build(), sizing_mode="stretch_width", margin=0)
                await asyncio.sleep(0.01)  # so that it is sent, and seen, before the next is built
        except Exception as error:
            charts.objects = [error_card(error)]

    pn.state.execute(draw)
    return pn.Column(
        Linked(context, heading(context, standings, standing, alerts), margin=(8, 12, 0, 12)), charts,
        sizing_mode="stretch_both", scroll="y-auto", margin=0,
    )  # fmt: skip


def back_link(context: Context) -> str:
    return (
        f'<a href="{escape(link(context.selection, page="regions", region=None) or "?page=regions")}">All regions</a>'
    )


def heading(context: Context, standings: Standings, standing: Standing, alerts: list[Alert]) -> str:
    """Path, name, verdict, sentence, open alerts, and the way to the neighbours by urgency, as HTML."""
    assert standing.region is not None
    path = [back_link(context)]
    path += [region_link(context, each.id, each.name) for each in standings.regions.ancestors(standing.region.id)]
    level = standings.of_level(standing.region.level)
    place = level.index(standing)
    near = []
    for step, text in ((-1, "‹ {}"), (1, "{} ›")):
        if 0 <= place + step < len(level):
            other = level[place + step].region
            assert other is not None
            near.append(region_link(context, other.id, text.format(other.name)))
    chosen = context.selection.window
    days_said = ""
    if chosen is not None:
        every = escape(link(context.selection, start=None, end=None))
        days_said = f' · days {days(chosen.start, chosen.end)} <a href="{every}">show all days</a>'
    return (
        f'<div class="dm-path"><span>{" / ".join(path)}</span>'
        f"<span>{place + 1} of {len(level)} by urgency &ensp; {' &ensp; '.join(near)}</span></div>"
        f'<h1 class="dm-name">{mark(standing.verdict, words=False)} {escape(standing.region.name)} '
        f"<small>{escape(standing.verdict.value)}</small></h1>"
        f'<div class="dm-words">{escape(sentence(standing))}<span>{days_said}</span></div>'
        f"{alert_line(context, alerts)}"
    )


def region_link(context: Context, region: str, name: str) -> str:
    href = escape(link(context.selection, page="regions", region=region))
    return f'<a href="{href}">{escape(name)}</a>'


def alert_line(context: Context, alerts: list[Alert]) -> str:
    """The open alerts in one line, each with the way to it."""
    if not alerts:
        return ""
    said = " · ".join(
        f'{mark(each.severity, words=False)} <a href="{escape(link(context.selection, page="alerts", alert=each.id))}" '
        f'title="{escape(each.message)}">{escape(each.metric.replace("_", " "))}</a> since {day(each.since)}'
        for each in alerts
    )
    return f'<div class="dm-alert"><b>Open alerts:</b> {said}</div>'


def card(title: str, hint: str, *content: Any, flex: float | None = 1) -> pn.Column:
    """A titled part of a page; `flex`: its share of the row it stands in."""
    head = markup(f'<div class="dm-title">{title}<small>{hint}</small></div>', margin=(6, 12, 0, 12))
    styles = {} if flex is None else {"flex": f"{flex} 1 0", "min-width": "0"}
    return pn.Column(head, *content, sizing_mode="stretch_width", margin=0, styles=styles)


def chart(element: hv.Element, height: int) -> pn.pane.HoloViews:
    return pn.pane.HoloViews(element, height=height, sizing_mode="stretch_width", linked_axes=False, margin=(0, 6))


def nothing(text: str) -> pn.pane.HTML:
    return markup(f'<p class="dm-none">{text}</p>', margin=(0, 12))


def over_time(context: Context, found: RegionFigures, alerts: list[Alert]) -> pn.Column:
    windows = windows_of(found.accuracy, found.confidence)
    if not windows:
        return card("Accuracy over time", "", nothing("No window has been judged yet."), flex=1.7)
    spans = hv.DynamicMap(partial(window_spans, found.accuracy, found.confidence, context.selection.window))
    plot = trend(found.accuracy, found.confidence, spans, [each.since for each in alerts])

    def tapped(index: list[int]) -> None:
        if index:
            window = windows[index[0]]
            context.selection.param.update(start=window.start.date(), end=window.end.date())

    on_tap(spans, tapped)
    hint = "band: 95% · grey: mean confidence · dotted: reference · dashed: an alert opened · click: choose days"
    return card("Accuracy over time", hint, chart(plot, 210), flex=1.7)


def on_tap(part: hv.DynamicMap, tapped: Callable[[list[int]], None]) -> None:
    """Call `tapped` with the places of what is tapped in `part` of a plot."""
    hv.streams.Selection1D(source=part).add_subscriber(lambda index: tapped(index))


def calibration(found: RegionFigures) -> pn.Column:
    if found.current is None or found.reference is None or found.labelled is None:
        return card("Calibration", "", nothing("No labels within the chosen days yet."))
    hint = f"{days(found.labelled.start, found.labelled.end)} · dashed: the reference"
    return card("Calibration", hint, chart(calibration_curve(found.current, found.reference), 210))


def errors(context: Context, found: RegionFigures) -> pn.Column:
    if found.current is None or found.labelled is None:
        return card("Errors", "", nothing("No labels within the chosen days yet."))
    hint = f"{days(found.labelled.start, found.labelled.end)} · share of each predicted class, by label"
    plot = error_heatmap(found.current, found.classes, context.theme.dark)
    return card("Errors", hint, chart(plot, 300))


def drift(context: Context, standing: Standing) -> list[pn.Column]:
    """Figures ranked by drift, and the two distributions of the one that is chosen."""
    drifts = [each for each in standing.drifts if each.value is not None]
    if not drifts:
        return [card("Drift", "", nothing("No window within the chosen days was compared with the reference."))]
    first = standing.strongest or drifts[0]
    detail = Detail(context, "regions")
    pipe = hv.streams.Pipe(data=chosen_bar(drifts.index(first)))
    plot, bars = drift_bars(drifts, hv.DynamicMap(_as_sent, streams=[pipe]))

    def tapped(index: list[int]) -> None:
        if index:
            pipe.send(chosen_bar(index[0]))
            detail.show(drifts[index[0]])

    on_tap(bars, tapped)
    detail.show(first)
    when = days(first.window_start, first.window_end)
    return [
        card(
            "Drift",
            f"{when} · tick: usual up to there · click: both distributions",
            chart(plot, 60 + ROW * len(drifts)),
        ),
        card("Distribution", "filled: the window · line: the reference", detail.view),
    ]


def worst_places(context: Context, standing: Standing, found: RegionFigures) -> list[pn.Column]:
    assert standing.region is not None
    if not found.places:
        return [card("Worst places", "", nothing("No labels within the chosen days yet."))]
    wrong = [place for place in found.places if place.errors][:PLACES]
    assert found.labelled is not None
    hint = f"{days(found.labelled.start, found.labelled.end)} · map cells with the most errors"
    table = Linked(context, places_table(context, wrong, found.labelled), margin=(2, 12))
    ids = list(found.geometries["id"])
    view = grown(found.box, 0.08)
    pixel = (view[2] - view[0]) / 400
    boundary = in_metres(found.geometries.iloc[[ids.index(standing.region.id)]])
    lines = outlines(boundary, 0, view, pixel)
    plot = hv.Overlay([land(view, pixel), place_cells(found.places, len(wrong), context.theme.dark), lines]).collate()
    plot = plot.opts(
        hv.opts.Overlay(
            responsive=True, xlim=(view[0], view[2]), ylim=(view[1], view[3]), xaxis=None, yaxis=None,
            show_grid=False, show_legend=False, default_tools=[], tools=["hover"], toolbar=None, hooks=[map_frame],
        )
    )  # fmt: skip
    return [
        card("Worst places", hint, table),
        card("Error rate", "cells of the map, 0 to 0.6; numbers as in the table", chart(plot, 260)),
    ]


def places_table(context: Context, places: list[Place], window: Window) -> str:
    if not places:
        return '<p class="dm-none">No labelled prediction is wrong.</p>'
    rows = []
    for place, each in enumerate(places, start=1):
        href = escape(
            link(
                context.selection,
                page="explore",
                layer="errors",
                view=grown(each.box, 0.6),
                start=window.start.date(),
                end=window.end.date(),
                box=None,
            )
        )
        rate = f"{strong(number(each.rate))}&ensp;{light(interval(each.lower, each.upper))}"
        rows.append(
            f'<tr data-href="{href}"><td>{place}</td><td>{count(each.errors)}</td><td>{count(each.n)}</td>'
            f'<td>{rate}</td><td><a href="{href}">Explore</a></td></tr>'
        )
    head = "<th>Place</th><th>Errors</th><th>Labelled</th><th>Error rate</th><th></th>"
    return f'<table class="dm-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def parts(context: Context, standings: Standings, standing: Standing) -> list[pn.Column]:
    """The regions that lie in this one."""
    assert standing.region is not None
    inside = [each for each in standings.by_id.values() if each.region and each.region.parent == standing.region.key]
    if not inside:
        return []
    rows = "".join(
        f'<tr data-href="{escape(link(context.selection, page="regions", region=each.region.id))}">'
        f"<td>{mark(each.verdict, words=False)}</td><td>{region_link(context, each.region.id, each.region.name)}</td>"
        f"<td>{accuracy_cell(each.accuracy, standings)}</td><td>{drift_cell(each.strongest)}</td></tr>"
        for each in inside
        if each.region
    )
    head = "<th></th><th>Region</th><th>Accuracy</th><th>Strongest drift</th>"
    table = f'<table class="dm-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return [card("Regions inside", "the most urgent first", Linked(context, table, margin=(2, 12)), flex=1.4)]


def _as_sent(data: hv.Element) -> hv.Element:
    return data
