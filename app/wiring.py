"""Gestures on charts become changes of the Selection. Nothing else connects the two."""

from collections.abc import Callable
from typing import Any

import holoviews as hv
import pandas as pd
from bokeh.events import SelectionGeometry

from app.selection import Box, Selection
from app.views.confidence import snapped
from app.views.style import brushable, quiet

# Two views that differ by less than this share of their width are the same: a redraw is no pan.
SAME_VIEW = 0.002
LISTENING = "driftmap-brush"


def follow_view(selection: Selection, source: hv.DynamicMap, is_home: Callable[[Box], bool]) -> hv.streams.RangeXY:
    """Pan and zoom of the map `source` set the view; while that is the first look, there is none to set."""
    stream = hv.streams.RangeXY(source=source)

    def moved(x_range: tuple | None, y_range: tuple | None) -> None:
        if x_range is None or y_range is None:
            return
        view = (float(x_range[0]), float(y_range[0]), float(x_range[1]), float(y_range[1]))
        at_home = selection.view is None and is_home(view)
        if view[0] < view[2] and view[1] < view[3] and not at_home and not same_view(view, selection.view):
            selection.view = view

    stream.add_subscriber(moved)
    return stream


def same_view(one: Box, other: Box | None) -> bool:
    """Whether two views show the same to the eye."""
    if other is None:
        return False
    slack = (one[2] - one[0]) * SAME_VIEW
    return all(abs(a - b) <= slack for a, b in zip(one, other, strict=True))


def follow_box(selection: Selection, source: hv.DynamicMap) -> hv.streams.BoundsXY:
    """A box drawn on the map `source` narrows the selection."""
    stream = hv.streams.BoundsXY(source=source)

    def drawn(bounds: Box | None) -> None:
        if bounds is not None and bounds[0] < bounds[2] and bounds[1] < bounds[3]:
            selection.box = tuple(float(edge) for edge in bounds)

    stream.add_subscriber(drawn)
    return stream


def brush_confidence(selection: Selection, chart: hv.DynamicMap) -> hv.DynamicMap:
    """`chart`, the confidence histogram: a range brushed on it keeps the rows in its bins."""

    def brushed(low: float, high: float) -> None:
        selection.confidence = snapped((low, high))

    return _brushed(chart, brushed)


def brush_days(selection: Selection, chart: hv.DynamicMap) -> hv.DynamicMap:
    """`chart`, the timeline: a range brushed on it becomes the time window, in whole days."""

    def brushed(low: float, high: float) -> None:
        # A time axis counts milliseconds.
        first, last = pd.Timestamp(low, unit="ms").floor("D"), pd.Timestamp(high, unit="ms").ceil("D")
        selection.param.update(start=first.date(), end=last.date())

    return _brushed(chart, brushed)


def _brushed(chart: hv.DynamicMap, brushed: Callable[[float, float], None]) -> hv.DynamicMap:
    """`chart`, with what happens when a range along x is brushed.

    By a Bokeh event: HoloViews gives a DynamicMap of overlays no selection streams.
    """

    def listen(plot: Any, element: Any) -> None:
        shown = plot.state
        if LISTENING not in shown.tags:
            shown.tags = [*shown.tags, LISTENING]
            shown.on_event(SelectionGeometry, heard)

    def heard(event: SelectionGeometry) -> None:
        if event.final and event.geometry.get("type") == "rect":
            brushed(*sorted((float(event.geometry["x0"]), float(event.geometry["x1"]))))

    return chart.opts(hv.opts.Overlay(hooks=[quiet, brushable, listen]))
