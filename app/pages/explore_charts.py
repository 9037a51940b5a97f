"""The charts of the page Explore: figures, calibration, confidence, errors, and the timeline."""

from dataclasses import dataclass, replace
from html import escape

import holoviews as hv
import pandas as pd
import panel as pn

from app.context import Context, fetch
from app.filters import bounds, kept, whole
from app.numbers import count, number
from app.selection import Selection
from app.states import markup
from app.views.calibration import calibration_curve
from app.views.confidence import confidence_histogram
from app.views.errors import error_heatmap
from app.views.figures import selection_figures
from app.views.timeline import timeline
from app.wiring import brush_confidence, brush_days
from monitoring.tally import Tally, tally
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.queries import Filter, extent, outcomes, outcomes_by_day
from storage.regions import region_set

NAMES = ("calibration", "confidence", "errors", "timeline")


class Charts:
    """Everything beside and below the map; `refresh` brings it to what the Selection says."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.words = markup("", margin=(4, 10, 0, 10))
        self.figures = markup("", margin=(2, 10, 4, 10))
        self.panes = {name: pn.pane.HoloViews(sizing_mode="stretch_width", margin=(0, 4)) for name in NAMES}
        self.model: str | None = None
        self.pipes: dict[str, hv.streams.Pipe] = {}

    async def refresh(self) -> None:
        selection, dark = self.context.selection, self.context.theme.dark
        found = await fetch(read_sums, self.context.database, selection)
        rest, spread_rest = found.whole - found.selected, found.whole - found.spread
        self.words.object = words(selection, found)
        self.figures.object = selection_figures(found.selected, rest)
        elements = {
            "calibration": calibration_curve(found.selected, rest),
            "confidence": confidence_histogram(found.spread, spread_rest, selection.confidence),
            "errors": error_heatmap(found.selected, found.classes, dark),
            "timeline": timeline(found.days),
        }
        if self.model == selection.model:
            for name, element in elements.items():
                self.pipes[name].send(element)
        else:
            self.model = selection.model
            self.draw(elements)

    def draw(self, elements: dict[str, hv.Element]) -> None:
        self.pipes = {name: hv.streams.Pipe(data=element) for name, element in elements.items()}
        parts = {name: hv.DynamicMap(_as_sent, streams=[pipe]) for name, pipe in self.pipes.items()}
        parts["confidence"] = brush_confidence(self.context.selection, parts["confidence"])
        parts["timeline"] = brush_days(self.context.selection, parts["timeline"])
        for name, part in parts.items():
            self.panes[name].object = part


@dataclass(frozen=True)
class Sums:
    """What the charts are drawn from. `spread`: as `selected`, at any confidence."""

    classes: list[str]
    whole: Tally
    selected: Tally
    spread: Tally
    days: pd.DataFrame
    region: str | None


def read_sums(database: Database, selection: Selection) -> Sums:
    classes = class_names(database, selection.model)
    box = bounds(selection, extent(database, selection.model) or (0, 0, 0, 0))
    wanted = replace(kept(selection), bounds=box)

    def sums(filter_: Filter) -> Tally:
        return tally(outcomes(database, filter_), len(classes))

    selected = sums(wanted)
    spread = selected if wanted.confidence is None else sums(replace(wanted, confidence=None))
    days = outcomes_by_day(database, replace(wanted, start=None, end=None))
    return Sums(classes, sums(whole(selection)), selected, spread, days, region_name(database, selection))


def region_name(database: Database, selection: Selection) -> str | None:
    regions = stored_model(database, selection.model).regions
    if selection.region is None or regions is None:
        return None
    return region_set(database, regions).by_id(selection.region).name


def words(selection: Selection, found: Sums) -> str:
    """What is selected, said in words, as HTML."""
    parts = []
    if selection.box is not None:
        parts.append("box")
    elif selection.view is not None and found.selected.n < found.whole.n:
        parts.append("map in sight")
    if selection.region is not None:
        parts.append(escape(found.region or selection.region))
    if selection.classes:
        parts.append(escape(", ".join(selection.classes)))
    if selection.confidence is not None:
        parts.append("confidence {}–{}".format(*(number(edge) for edge in selection.confidence)))
    selected, whole = int(found.selected.n), int(found.whole.n)
    share = selected / whole * 100 if whole else 0
    size = f"{count(selected)} of {count(whole)} predictions, {number(share)}%"
    return f'<div class="dm-words"><b>{" · ".join(parts) or "Everything"}</b> <span>{size}</span></div>'


def _as_sent(data: hv.Element) -> hv.Element:
    return data
