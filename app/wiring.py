"""Gestures on charts become changes of the Selection. Nothing else connects the two."""

from collections.abc import Callable
from typing import Any

import holoviews as hv
import pandas as pd

from app.selection import Box, Selection
from app.views.confidence import snapped

# Two views that differ by less than this share of their width are the same: a redraw is no pan.
SAME_VIEW = 0.002


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


def brush_confidence(selection: Selection, source: hv.DynamicMap) -> hv.streams.BoundsX:
    """A range brushed on the confidence histogram keeps the rows in its bins."""
    stream = hv.streams.BoundsX(source=source)

    def brushed(boundsx: tuple[float, float] | None) -> None:
        if boundsx is not None:
            selection.confidence = snapped(boundsx)

    stream.add_subscriber(brushed)
    return stream


def brush_days(selection: Selection, source: hv.DynamicMap) -> hv.streams.BoundsX:
    """A range brushed on the timeline becomes the time window, in whole days."""
    stream = hv.streams.BoundsX(source=source)

    def brushed(boundsx: tuple[Any, Any] | None) -> None:
        if boundsx is not None:
            first, last = (_moment(edge) for edge in boundsx)
            selection.param.update(start=first.floor("D").date(), end=last.ceil("D").date())

    stream.add_subscriber(brushed)
    return stream


def _moment(edge: Any) -> pd.Timestamp:
    # Bokeh counts milliseconds; HoloViews hands on either that or a datetime.
    return pd.Timestamp(edge, unit="ms") if isinstance(edge, int | float) else pd.Timestamp(edge)
