"""What narrows the selection by hand: layer, classes, region; and how to give it up."""

from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch, follow
from app.views.layers import LAYERS
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.regions import Region, region_set

EVERYWHERE = "All regions"
# MultiChoice has no small size of its own.
AS_SMALL_AS_SELECT = """
.MuiSelect-select { padding: 6px 32px 6px 14px !important; min-height: 20px !important; }
.MuiInputLabel-root:not(.MuiInputLabel-shrink) { transform: translate(14px, 6px) !important; }
"""


def controls(context: Context) -> tuple[pn.Row, pn.Row]:
    """A row of widgets, kept equal to the Selection in both directions; and a row that gives up what was drawn."""
    selection = context.selection
    layer = pmui.Select(
        label="Layer", options={item.label: key for key, item in LAYERS.items()}, size="small", width=150, margin=(8, 5)
    )
    classes = pmui.MultiChoice(
        label="Predicted class",
        options=[],
        visual_size="small",
        width=150,
        margin=(8, 5),
        placeholder="All classes",
        chip=False,
        stylesheets=[AS_SMALL_AS_SELECT],
    )
    region = pmui.Select(label="Region", options={}, size="small", width=170, margin=(8, 5), searchable=True)
    reset = pmui.IconButton(icon="restart_alt", size="small", margin=(8, 2), description="Give up every filter")
    unbox = pmui.Button(label="Box", icon="close", variant="outlined", size="small", margin=(2, 4))
    unbrush = pmui.Button(label="Confidence", icon="close", variant="outlined", size="small", margin=(2, 4))
    state = {"reading": False}

    async def read() -> None:
        known, regions = await fetch(read_choices, context.database, selection.model)
        state["reading"] = True
        try:
            layer.value = selection.layer
            classes.options = known
            classes.value = [name for name in selection.classes if name in known]
            region.options = {EVERYWHERE: "", **regions}
            region.value = selection.region if selection.region in regions.values() else ""
            region.visible = bool(regions)
            unbox.visible = selection.box is not None
            unbrush.visible = selection.confidence is not None
        finally:
            state["reading"] = False

    def write(name: str, value: Any) -> None:
        if not state["reading"]:
            setattr(selection, name, value)

    layer.param.watch(lambda event: write("layer", event.new), "value")
    classes.param.watch(lambda event: write("classes", list(event.new)), "value")
    region.param.watch(lambda event: write("region", event.new or None), "value")
    unbox.on_click(lambda _: write("box", None))
    unbrush.on_click(lambda _: write("confidence", None))
    reset.on_click(lambda _: selection.reset())
    follow(context, "explore", ["model", "layer", "classes", "region", "box", "confidence"], read)
    return (
        pn.Row(layer, classes, region, reset, sizing_mode="stretch_width", margin=0),
        pn.Row(unbox, unbrush, margin=(0, 5)),
    )


def read_choices(database: Database, model: str) -> tuple[list[str], dict[str, str]]:
    """The classes of `model`, and the ids of its regions by an indented name, parents before their children."""
    name = stored_model(database, model).regions
    regions = region_set(database, name).regions if name is not None else ()
    children: dict[int | None, list[Region]] = {}
    for found in sorted(regions, key=lambda found: found.name):
        children.setdefault(found.parent, []).append(found)
    options: dict[str, str] = {}

    def add(parent: int | None, depth: int) -> None:
        for found in children.get(parent, []):
            label = "\u2003" * depth + found.name
            options[label if label not in options else f"{label} ({found.id})"] = found.id
            add(found.key, depth + 1)

    add(None, 0)
    return class_names(database, model), options
