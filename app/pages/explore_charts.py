"""The charts of the page Explore: figures, calibration, confidence, errors, and the timeline."""

from collections.abc import Callable
from html import escape
from typing import Any

import holoviews as hv
import panel as pn

from app.context import Context
from app.numbers import count, number
from app.pages.explore_looks import Looks, Sums
from app.selection import Selection
from app.states import markup
from app.views.calibration import calibration_content, calibration_curve
from app.views.confidence import confidence_content, confidence_histogram
from app.views.errors import error_content, error_heatmap
from app.views.figures import selection_figures
from app.views.live import Content, Live
from app.views.timeline import timeline, timeline_content
from app.wiring import brush_confidence, brush_days

# How each chart is drawn, and what columns its glyphs have.
PARTS: dict[str, tuple[Callable[..., hv.Overlay], Callable[..., Content]]] = {
    "calibration": (calibration_curve, calibration_content),
    "confidence": (confidence_histogram, confidence_content),
    "errors": (error_heatmap, error_content),
    "timeline": (timeline, timeline_content),
}


class Charts:
    """Everything beside and below the map; `refresh` brings it to what the Selection says."""

    def __init__(self, context: Context, looks: Looks) -> None:
        self.context, self.looks = context, looks
        self.words = markup("", margin=(4, 10, 0, 10))
        self.figures = markup("", margin=(2, 10, 4, 10))
        # Each has axes of its own: Panel would link those of dimensions with the same name.
        self.panes = {
            name: pn.pane.HoloViews(sizing_mode="stretch_width", margin=(0, 4), linked_axes=False) for name in PARTS
        }
        self.model: str | None = None
        self.parts: dict[str, Live] = {}

    async def refresh(self) -> None:
        selection, dark = self.context.selection, self.context.theme.dark
        _, found = await self.looks.now()
        rest, spread_rest = found.whole - found.selected, found.whole - found.spread
        sums: dict[str, tuple[Any, ...]] = {
            "calibration": (found.selected, rest),
            "confidence": (found.spread, spread_rest, selection.confidence),
            "errors": (found.selected, found.ground.classes, dark),
            "timeline": (found.days,),
        }
        if self.model != selection.model:
            self.model = selection.model
            self.draw(sums)
            sums = {}
        with pn.io.unlocked():  # all in one message to the browser
            self.words.object = words(selection, found)
            self.figures.object = selection_figures(found.selected, rest)
            for name, each in sums.items():
                self.parts[name].show(*each)

    def draw(self, sums: dict[str, tuple[Any, ...]]) -> None:
        self.parts = {name: Live(*PARTS[name], *each) for name, each in sums.items()}
        shown = {name: part.dynamic for name, part in self.parts.items()}
        shown["confidence"] = brush_confidence(self.context.selection, shown["confidence"])
        shown["timeline"] = brush_days(self.context.selection, shown["timeline"])
        for name, dynamic in shown.items():
            self.panes[name].object = dynamic


def words(selection: Selection, found: Sums) -> str:
    """What is selected, said in words, as HTML."""
    parts = []
    if selection.box is not None:
        parts.append("box")
    elif selection.view is not None and found.selected.n < found.whole.n:
        parts.append("map in sight")
    if selection.region is not None:
        place = found.ground.place(selection.region)
        parts.append(escape(selection.region if place is None else found.ground.region_names[place]))
    if selection.classes:
        parts.append(escape(", ".join(selection.classes)))
    if selection.confidence is not None:
        parts.append("confidence {}–{}".format(*(number(edge) for edge in selection.confidence)))
    selected, whole = int(found.selected.n), int(found.whole.n)
    share = selected / whole * 100 if whole else 0
    size = f"{count(selected)} of {count(whole)} predictions, {number(share)}%"
    return f'<div class="dm-words"><b>{" · ".join(parts) or "Everything"}</b> <span>{size}</span></div>'
