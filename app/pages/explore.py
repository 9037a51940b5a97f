"""Explore: a map, and the charts of what is selected on it; each narrows the others."""

import panel as pn

from app.context import Context, follow
from app.filters import KEPT
from app.pages.explore_charts import Charts
from app.pages.explore_controls import controls
from app.pages.explore_looks import Looks
from app.pages.explore_map import Map
from app.states import error_card, markup

TITLES = {
    "calibration": ("Calibration", "share correct by confidence, 95% band; dashed: the rest"),
    "confidence": ("Confidence", "drag to keep a range; line: the rest"),
    "errors": ("Errors", "share of each predicted class, by label"),
    "timeline": ("Accuracy over time", "95% band; bars: predictions; drag to choose days"),
}


def page(context: Context) -> pn.viewable.Viewable:
    looks = Looks(context)
    map_, charts = Map(context, looks), Charts(context, looks)
    troubles = {name: pn.Column(sizing_mode="stretch_width", margin=0) for name in ("map", "charts")}

    def chart(name: str) -> pn.Column:
        title, hint = TITLES[name]
        heading = markup(f'<div class="dm-title">{title}<small>{hint}</small></div>', margin=(4, 10, 0, 10))
        return pn.Column(heading, charts.panes[name], sizing_mode="stretch_width", margin=0)

    filters, drawn = controls(context)
    left = pn.Column(
        filters, troubles["map"], map_.pane, map_.legend, chart("timeline"),
        sizing_mode="stretch_both", margin=0,
    )  # fmt: skip
    right = pn.Column(
        troubles["charts"], charts.words, drawn, charts.figures,
        chart("calibration"), chart("confidence"), chart("errors"),
        sizing_mode="stretch_height", width=390, scroll="y-auto", margin=0,
    )  # fmt: skip

    def refreshing(part: Map | Charts, trouble: pn.Column, *names: str) -> None:
        async def refresh() -> None:
            await part.refresh()
            trouble.objects = []

        def failed(error: Exception) -> None:
            trouble.objects = [error_card(error)]

        follow(context, "explore", [*KEPT, "view", "box", "theme", *names], refresh, failed)

    refreshing(map_, troubles["map"], "layer")
    refreshing(charts, troubles["charts"])
    return pn.Row(left, right, sizing_mode="stretch_both", margin=0)
