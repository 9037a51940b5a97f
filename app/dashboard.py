"""The dashboard: one session's page, with its bar, its rail, and the pages behind it."""

from functools import partial
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.util import edit_readonly

from app.bar import bar
from app.context import Context, Theme, fetch
from app.history import History
from app.layouts import show_late_children
from app.pages import ENTRIES, Entry
from app.selection import Selection, bind_to_address
from app.states import empty_state, error_card, first_steps
from app.workspace import Workspace
from storage.catalog import registered_models
from storage.queries import extent

THEME_COOKIE = "driftmap_theme"
REMEMBER_THEME = (
    f"document.cookie = '{THEME_COOKIE}=' + (cb_obj.dark_theme ? 'dark' : 'light')"
    " + ';path=/;max-age=31536000;samesite=lax'"
)
ACCENT = "#2f7fb8"
PAGE_STYLE = {
    # These two keys make panel-material-ui leave the colours of what stands in the bar alone.
    ".MuiAppBar-root": {"bgcolor": "primary.contrastText", "color": "primary.main"},
    "& .MuiAppBar-root.MuiAppBar-root": {
        "backgroundColor": "background.paper",
        "backgroundImage": "none",
        "color": "text.primary",
        "boxShadow": "none",
        "borderBottom": "1px solid",
        "borderColor": "divider",
    },
    "& .MuiToolbar-root": {"minHeight": "54px !important", "paddingLeft": "14px !important"},
    "& .title.title": {"color": "text.primary", "fontSize": "17px", "fontWeight": 600, "marginRight": "10px"},
}
RAIL_BUTTON = {
    "flexDirection": "column",
    "fontSize": "11px",
    "minWidth": 0,
    "padding": "6px 2px",
    "textTransform": "none",
    "& .MuiButton-startIcon": {"margin": "0 0 2px 0"},
    "& .MuiIcon-root": {"fontSize": "22px !important"},
}

# Neutral greys and one accent, in both themes.
THEME = {
    "light": {
        "palette": {"primary": {"main": ACCENT}, "background": {"default": "#f6f7f8", "paper": "#ffffff"}},
        "typography": {"fontSize": 13},
    },
    "dark": {
        "palette": {"primary": {"main": "#5aa9dd"}, "background": {"default": "#14171b", "paper": "#1a1e23"}},
        "typography": {"fontSize": 13},
    },
}


def dashboard(workspace: Workspace) -> pmui.Page:
    """The page of one browser session, to be called by the server for each."""
    names = [model.name for model in registered_models(workspace.database)]
    selection = Selection(model=names[0] if names else None)
    history = []
    if pn.state.location is not None:
        bind_to_address(selection, pn.state.location)
        history = [History(pn.state.location)]
    if pn.state.curdoc is not None:
        show_late_children(pn.state.curdoc)
    if selection.model not in names:
        selection.model = names[0] if names else None
    theme = Theme(dark=pn.state.cookies.get(THEME_COOKIE) == "dark")
    context = Context(workspace, selection, theme)

    page = pmui.Page(
        title="driftmap",
        dark_theme=theme.dark,
        theme_config=THEME,
        theme_toggle=True,
        busy_indicator=None,
        header=[bar(context, names)],
        main=[pn.Row(rail(context), content(context), *history, sizing_mode="stretch_both", css_classes=["dm-body"])],
        favicon=Path(__file__).parent / "assets" / "driftmap.svg",
        sx=PAGE_STYLE,
    )
    page.link(theme, dark_theme="dark")
    # Panel counts all sessions as one when it says that the server is busy, and tells every page of every change,
    # which took most of the server's time with ten people on it.
    with edit_readonly(page):
        page.busy = False
    # Kept by the browser, and read before the page is made, so that it never flashes in the other theme.
    page.jscallback(dark_theme=REMEMBER_THEME)
    return page


def rail(context: Context) -> pn.Column:
    """The pages, as icons with their names."""
    buttons = {}
    for entry in ENTRIES:
        button = pmui.Button(
            label=entry.label,
            icon=entry.icon,
            variant="text",
            size="small",
            margin=(2, 4),
            width=60,
            sx=RAIL_BUTTON,
        )
        button.on_click(partial(_open, context.selection, entry.key))
        buttons[entry.key] = button

    def mark(*_: Any) -> None:
        for key, button in buttons.items():
            button.color = "primary" if key == context.selection.page else "default"

    context.selection.param.watch(mark, "page")
    mark()
    return pn.Column(*buttons.values(), width=68, sizing_mode="stretch_height", css_classes=["dm-rail"])


def _open(selection: Selection, page: str, _: Any) -> None:
    selection.page = page


def content(context: Context) -> pn.Column:
    """The page that is open. Each is built when first opened, and kept."""
    place = pn.Column(sizing_mode="stretch_both", css_classes=["dm-content"])
    built: dict[str, pn.viewable.Viewable] = {}

    def build(entry: Entry) -> pn.viewable.Viewable:
        try:
            return entry.page(context)
        except Exception as error:
            return error_card(error)

    def show(*_: Any) -> None:
        entry = next(entry for entry in ENTRIES if entry.key == context.selection.page)
        if entry.key not in built:
            built[entry.key] = build(entry)
        place.objects = [built[entry.key]]

    async def start() -> None:
        selection = context.selection
        if selection.model is None:
            place.objects = [no_model()]
        elif await fetch(extent, context.database, selection.model) is None and selection.page != "runs":
            place.objects = [first_steps(selection.model)]
        else:
            show()

    context.selection.param.watch(lambda *_: pn.state.execute(start), ["page", "model"])
    pn.state.onload(start)
    return place


def no_model() -> pn.Column:
    return empty_state(
        "No model yet",
        "Describe a model under 'models:' in driftmap.yaml, then start the server again. "
        "'driftmap init' writes a file with comments; 'driftmap demo' shows a world that is ready.",
    )
