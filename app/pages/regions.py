"""Regions: all of them by urgency, or one."""

from functools import partial

import panel as pn

from app.context import Context, fetch, live
from app.pages import region, regions_overview
from app.standings import read_standings

NAMES = ("model", "version", "start", "end", "region", "theme")


def page(context: Context) -> pn.viewable.Viewable:
    shown = regions_overview.Shown()
    return live(context, "regions", NAMES, partial(build, context, shown), sizing_mode="stretch_both", margin=0)


async def build(context: Context, shown: regions_overview.Shown) -> pn.viewable.Viewable:
    standings = await fetch(read_standings, context.database, context.selection)
    if context.selection.region is None:
        return await regions_overview.overview(context, standings, shown)
    return await region.page(context, standings)
