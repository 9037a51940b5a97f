"""All regions: a table, the most urgent first, and a map beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import geopandas as gpd
import holoviews as hv
import panel as pn
import panel_material_ui as pmui
from bokeh.models import CustomJS

from app.context import Context, fetch
from app.filters import grown
from app.linked import Linked, link
from app.numbers import MISSING, VERDICT_COLOURS, count, days, figure, interval, light, mark, number, strong
from app.pages.explore_map import KEEP_SHAPE
from app.standings import Standing, Standings, feature_of, sentence
from app.states import empty_state, error_card, markup
from app.views.basemap import borders, land
from app.views.choropleth import Filling, choropleth, ramp_legend, scaled, shapes_of, verdict_legend
from storage.catalog import stored_model
from storage.database import Database
from storage.records import Finding, Verdict
from storage.regions import region_geometries

COLOURINGS = {"Verdict": "verdict", "Accuracy": "accuracy", "Overconfidence": "gap", "Strongest drift": "drift"}


@dataclass
class Shown:
    """What of all regions is shown; kept while the page is open. `level` None: the deepest."""

    level: int | None = None
    text: str = ""
    colouring: str = "verdict"


async def overview(context: Context, standings: Standings, shown: Shown) -> pn.viewable.Viewable:
    if not standings.by_id:
        return empty_state(
            "No regions",
            "Name a file of polygons under 'regions:' in driftmap.yaml and the set under the model's 'regions'; "
            "then figures are given for each.",
        )
    if shown.level not in standings.levels:
        shown.level = standings.levels[-1]
    table = Linked(context, margin=(0, 10))
    map_ = pn.pane.HoloViews(sizing_mode="stretch_both", min_height=320, linked_axes=False, margin=0)
    legend = markup("", margin=(4, 10))
    words = markup("", margin=(8, 10, 0, 10))
    state: dict[str, Any] = {}

    def draw_table() -> None:
        words.object = summary(standings, shown.level or 1)
        table.html = ranking(context, standings, shown)

    def draw_map() -> None:
        geometries = state.get("geometries")
        if geometries is None:
            return
        level = standings.of_level(shown.level or 1)
        shapes = shapes_of(geometries, [each.region.id for each in level if each.region])
        dark = context.theme.dark
        fillings = [filling(each, shown.colouring, dark) for each in level]
        polygons, marks, owners = choropleth(shapes, fillings, marked=shown.colouring == "verdict")
        view = grown(shapes.box, 0.05)
        pixel = (view[2] - view[0]) / 600
        stream = hv.streams.Selection1D(source=polygons)
        stream.add_subscriber(lambda index: tapped(owners, index))
        state["stream"] = stream
        map_.object = hv.Overlay([land(view, pixel), borders(view, pixel), polygons, marks]).opts(
            hv.opts.Overlay(
                responsive=True, xlim=(view[0], view[2]), ylim=(view[1], view[3]), xaxis=None, yaxis=None,
                show_grid=False, show_legend=False, default_tools=[], tools=["pan", "wheel_zoom", "reset"],
                active_tools=["pan", "wheel_zoom"], toolbar="above", hooks=[map_frame],
            )
        )  # fmt: skip
        legend.object = legend_of(shown.colouring, dark)

    def tapped(owners: list[str], index: list[int]) -> None:
        if index:
            context.selection.region = owners[index[0]]

    level = pmui.Select(
        label="Level", options={f"{n} ({len(standings.of_level(n))})": n for n in standings.levels},
        value=shown.level, size="small", width=110, margin=(8, 5), visible=len(standings.levels) > 1,
    )  # fmt: skip
    text = pmui.TextInput(
        label="Find", value=shown.text, size="small", width=170, margin=(8, 5), placeholder="name or id"
    )
    colouring = pmui.Select(
        label="Colour", options=COLOURINGS, value=shown.colouring, size="small", width=165, margin=(8, 10)
    )

    def watch(widget: Any, name: str, parameter: str, *draws: Callable[[], None]) -> None:
        def changed(event: Any) -> None:
            setattr(shown, name, event.new)
            for draw in draws:
                draw()

        widget.param.watch(changed, parameter)

    watch(level, "level", "value", draw_table, draw_map)
    watch(text, "text", "value_input", draw_table)
    watch(colouring, "colouring", "value", draw_map)

    async def map_later() -> None:
        try:
            state["geometries"] = await fetch(read_geometries, context.database, context.selection.model)
            draw_map()
        except Exception as error:
            legend.object, map_.visible = "", False
            right.append(error_card(error))

    draw_table()
    left = pn.Column(
        words,
        pn.Row(level, text, sizing_mode="stretch_width", margin=0),
        pn.Column(table, scroll="y-auto", sizing_mode="stretch_both", margin=0),
        sizing_mode="stretch_both", margin=0, styles={"flex": "1.35 1 0"},
    )  # fmt: skip
    right = pn.Column(
        pn.Row(colouring, margin=0), map_, legend, sizing_mode="stretch_both", margin=0, styles={"flex": "1 1 0"}
    )
    pn.state.execute(map_later)  # the table is there first
    return pn.Row(left, right, sizing_mode="stretch_both", margin=0)


def read_geometries(database: Database, model: str) -> gpd.GeoDataFrame:
    return region_geometries(database, stored_model(database, model).regions)


def map_frame(plot: Any, element: Any) -> None:
    """A HoloViews hook: one metre is as long to the right as it is up."""
    shown = plot.state
    shown.toolbar.logo = None
    shown.min_border = 0
    shown.outline_line_alpha = 0
    keep = CustomJS(args={"fig": shown}, code=KEEP_SHAPE)
    shown.js_on_change("inner_width", keep)
    shown.js_on_change("inner_height", keep)


def summary(standings: Standings, level: int) -> str:
    """How many regions are in trouble, how the whole stands, and which windows the figures are of, as HTML."""
    if not standings.windows:
        return (
            '<div class="dm-words"><b>Nothing judged.</b> <span>No window within the chosen days had enough data. '
            "Choose more days above.</span></div>"
        )
    verdicts = [each.verdict for each in standings.of_level(level)]
    counts = ", ".join(f"{verdicts.count(each)} {each.value}" for each in (Verdict.CRITICAL, Verdict.WARNING))
    return (
        f'<div class="dm-words"><b>{len(verdicts)} regions: {counts}.</b> <span>{caption(standings)}</span></div>'
        f'<div class="dm-words"><b>The whole:</b> <span>{escape(sentence(standings.whole))}</span></div>'
    )


def caption(standings: Standings) -> str:
    """Which windows the figures are of, as labels come later than predictions."""
    parts = [
        f"{name} of {days(standings.windows[kind].start, standings.windows[kind].end)}"
        for kind, name in (("accuracy", "accuracy"), ("drift", "drift"))
        if kind in standings.windows
    ]
    said = ", ".join(parts)
    return f"{said[:1].upper()}{said[1:]}."


def ranking(context: Context, standings: Standings, shown: Shown) -> str:
    """The regions of a level as an HTML table, the most urgent first."""
    wanted = shown.text.strip().lower()
    rows = []
    for each in standings.of_level(shown.level or 1):
        assert each.region is not None
        parent = standings.regions.by_key[each.region.parent].name if each.region.parent is not None else ""
        if wanted and wanted not in f"{each.region.name} {each.region.id} {parent}".lower():
            continue
        rows.append(row(context, standings, each, parent))
    if not rows:
        return f'<p class="dm-none">No region matches ‘{escape(shown.text.strip())}’.</p>'
    heads = (
        ("", "number", ""), ("Region", "text", ""), ("Parent", "text", ""), ("Accuracy", "number", ""),
        ("Overconfidence", "number", "down"), ("Strongest drift", "number", "down"), ("Predictions", "number", "down"),
    )  # fmt: skip
    head = "".join(
        f'<th data-sort="{kind}" data-first="{first}" tabindex="0">{name}</th>' for name, kind, first in heads
    )
    return f'<table class="dm-table dm-ranking"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def row(context: Context, standings: Standings, each: Standing, parent: str) -> str:
    assert each.region is not None
    drift = each.strongest
    href = escape(link(context.selection, page="regions", region=each.region.id))
    order = list(standings.by_id).index(each.region.id)
    cells = (
        (order, mark(each.verdict, words=False)),
        (escape(each.region.name), f'<a href="{href}">{escape(each.region.name)}</a>'),
        (escape(parent), escape(parent)),
        (value_of(each.accuracy), accuracy_cell(each.accuracy, standings)),
        (value_of(each.gap), gap_cell(each.gap)),
        (value_of(drift), drift_cell(drift)),
        (each.predictions, light(count(each.predictions))),
    )
    written = "".join(f'<td data-value="{value}">{text}</td>' for value, text in cells)
    return f'<tr data-href="{href}" data-region="{escape(each.region.id)}">{written}</tr>'


def value_of(finding: Finding | None) -> Any:
    return "" if finding is None or finding.value is None else finding.value


def accuracy_cell(finding: Finding | None, standings: Standings) -> str:
    if finding is None or finding.value is None:
        return light("no labels yet")
    said = coloured(finding, figure(finding.value, finding.lower, finding.upper, finding.n))
    if finding.reference is not None:
        said += light(f"  was {number(finding.reference)}")
    window = standings.windows.get("accuracy")
    if window is not None and finding.window_end != window.end:
        said += light(f"  {days(finding.window_start, finding.window_end)}")
    return said


def gap_cell(finding: Finding | None) -> str:
    if finding is None or finding.value is None:
        return MISSING
    return coloured(finding, f"{strong(number(finding.value))}&ensp;{light(interval(finding.lower, finding.upper))}")


def drift_cell(finding: Finding | None) -> str:
    if finding is None or finding.value is None:
        return MISSING
    return coloured(finding, f"{escape(feature_of(finding))}&ensp;{strong(number(finding.value))}")


def coloured(finding: Finding, text: str) -> str:
    """`text` after the mark of a verdict that is a warning or worse."""
    if finding.verdict in (Verdict.WARNING, Verdict.CRITICAL):
        return f"{mark(finding.verdict, words=False)} {text}"
    return text


def filling(each: Standing, colouring: str, dark: bool) -> Filling:
    assert each.region is not None
    drift = each.strongest
    if colouring == "verdict":
        colour = VERDICT_COLOURS[each.verdict]
    else:
        finding, limits = {
            "accuracy": (each.accuracy, (1.0, 0.4)),
            "gap": (each.gap, (0.0, 0.5)),
            "drift": (drift, (0.0, 0.5)),
        }[colouring]
        judged = finding is not None and finding.verdict != Verdict.INSUFFICIENT
        colour = scaled(finding.value if finding is not None and judged else None, limits, dark)
    return Filling(
        each.region.id, each.region.name, colour, each.verdict,
        plain_figure(each.accuracy), plain_figure(each.gap),
        f"{feature_of(drift)} {number(drift.value)}" if drift is not None else MISSING,
    )  # fmt: skip


def plain_figure(finding: Finding | None) -> str:
    if finding is None or finding.value is None:
        return MISSING
    return f"{number(finding.value)}  {interval(finding.lower, finding.upper)}  n {count(finding.n)}"


def legend_of(colouring: str, dark: bool) -> str:
    if colouring == "verdict":
        return verdict_legend()
    return {
        "accuracy": ramp_legend("Accuracy", "1", "0.4 and less", dark),
        "gap": ramp_legend("Overconfidence", "0 and less", "0.5 and more", dark),
        "drift": ramp_legend("Strongest drift", "0", "0.5 and more", dark),
    }[colouring]
