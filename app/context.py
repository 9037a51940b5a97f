"""What every page is given: the database, the configuration, the Selection, and how to stay live."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import panel as pn
import param

from app.selection import Selection
from app.states import error_card, waiting
from app.workspace import Workspace
from monitoring.configuration import Configuration
from storage.database import Database

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class Theme(param.Parameterized):
    """Whether the page is dark. Plot backgrounds and axes follow by themselves; colour maps ask here."""

    dark = param.Boolean(default=False)


@dataclass(frozen=True)
class Context:
    """What a page is built from: `def page(context: Context) -> Viewable`."""

    workspace: Workspace
    selection: Selection
    theme: Theme

    @property
    def database(self) -> Database:
        return self.workspace.database

    @property
    def configuration(self) -> Configuration:
        return self.workspace.configuration


async def fetch(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `query` returns, run in a thread: for SQL only, never for HoloViews objects."""
    return await asyncio.to_thread(query, *args, **kwargs)


def follow(
    context: Context,
    page: str,
    names: Sequence[str],
    refresh: Callable[[], Awaitable[None]],
    failed: Callable[[Exception], None] | None = None,
) -> None:
    """Run `refresh` now, and again whenever one of the Selection's `names` changes while `page` is open.

    Changes while it runs, or while another page is open, are caught up once. An exception goes to
    `failed` and to the log. The name "theme" stands for a change between light and dark.
    """
    state = {"stale": True, "running": False}

    async def run() -> None:
        if state["running"]:
            return
        state["running"] = True
        try:
            while state["stale"] and context.selection.page == page:
                state["stale"] = False
                try:
                    await refresh()
                except Exception as error:
                    log.exception("a view of the page %s failed", page)
                    if failed is not None:
                        failed(error)
        finally:
            state["running"] = False

    def changed(*events: Any) -> None:
        if any(event.name in names or event.name == "dark" for event in events):
            state["stale"] = True
        if state["stale"] and not state["running"] and context.selection.page == page:
            pn.state.execute(run)

    context.selection.param.watch(changed, sorted({*names, "page"} - {"theme"}))
    if "theme" in names:
        context.theme.param.watch(changed, "dark")
    # Not before the browser has the page: what is made earlier asks Panel's public site for style sheets.
    pn.state.onload(run)


def live(
    context: Context, page: str, names: Sequence[str], build: Callable[[], Awaitable[Any]], **layout: Any
) -> pn.Column:
    """A place on `page` that holds what `build` returns, built again when one of `names` changes.

    Shows a skeleton until the first is there, and a card with one line where `build` raises.
    """
    place = pn.Column(waiting(), **({"sizing_mode": "stretch_width"} | layout))

    async def refresh() -> None:
        place.objects = [await build()]

    def failed(error: Exception) -> None:
        place.objects = [error_card(error)]

    follow(context, page, names, refresh, failed)
    return place
