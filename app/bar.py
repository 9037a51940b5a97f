"""The bar on top: model, version and days, and the bell with the number of open alerts."""

from datetime import date, datetime, timedelta
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch
from storage.alerts import alerts
from storage.catalog import versions
from storage.queries import time_extent

BELL_SECONDS = 60
DAY = timedelta(days=1)
ALL = "all"
# As low as its neighbours.
LOW = {"& .MuiInputBase-root, & .MuiPickersInputBase-root": {"height": "31px"}}


def bar(context: Context, models: list[str]) -> pn.Row:
    """Model, version and time window, and the bell with the number of open alerts."""
    selection = context.selection
    model = pmui.Select(
        label="Model",
        options=models or [""],
        value=selection.model or "",
        size="small",
        width=150,
        margin=(8, 6, 2, 6),
    )
    version = pmui.Select(label="Version", options=[ALL], size="small", width=90, margin=(8, 6, 2, 6))
    window = pmui.DateRangePicker(
        label="Days (UTC)",
        size="small",
        width=240,
        margin=(8, 6, 2, 6),
        sx=LOW,
    )
    bell = pmui.IconButton(icon="notifications", size="small", description="Open alerts", margin=(6, 8))
    badge = pmui.Badge(bell, content=0, color="error", margin=(8, 10, 0, 10))
    state = {"reading": False}

    async def read() -> None:
        """Widgets follow the Selection."""
        chosen = selection.model
        known = await fetch(versions, context.database, chosen) if chosen else []
        span = await fetch(time_extent, context.database, chosen) if chosen else None
        state["reading"] = True
        try:
            if chosen:
                model.value = chosen
            version.options = [ALL, *known]
            version.value = selection.version if selection.version in known else ALL
            version.visible = len(known) > 1 or selection.version is not None
            if span is not None:
                first = selection.start or span.start.date()
                last = (selection.end or span.end.date()) - DAY
                window.value = (first, max(first, last))
        finally:
            state["reading"] = False

    def choose_model(event: Any) -> None:
        if not state["reading"]:
            # What was chosen in one model means nothing in another.
            selection.param.update(
                model=model.value, version=None, start=None, end=None, region=None, classes=[],
                confidence=None, box=None, view=None,
            )  # fmt: skip

    def choose_version(event: Any) -> None:
        if not state["reading"]:
            selection.version = None if version.value == ALL else version.value

    def choose_window(event: Any) -> None:
        if not state["reading"] and window.value and all(window.value):
            first, last = (_date(moment) for moment in window.value)
            selection.param.update(start=first, end=last + DAY)

    model.param.watch(choose_model, "value")
    version.param.watch(choose_version, "value")
    window.param.watch(choose_window, "value")
    bell.on_click(lambda _: selection.param.update(page="alerts"))
    selection.param.watch(lambda *_: pn.state.execute(read), ["model", "version", "start", "end"])
    pn.state.onload(read)

    async def count() -> None:
        badge.content = len(await fetch(alerts, context.database, state="open"))

    pn.state.onload(count)
    pn.state.add_periodic_callback(lambda: pn.state.execute(count), period=BELL_SECONDS * 1000)
    return pn.Row(model, version, window, pn.Spacer(sizing_mode="stretch_width"), badge, sizing_mode="stretch_width")


def _date(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
