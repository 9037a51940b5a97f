"""From the Selection to what the store is asked for."""

from dataclasses import replace
from datetime import date, datetime

from app.selection import Box, Selection
from storage.queries import Filter

# The names of a Selection that decide which predictions count, apart from where they lie.
KEPT = ("model", "version", "start", "end", "region", "classes", "confidence")


def whole(selection: Selection) -> Filter:
    """Every prediction of the model, version and window: what a selection is compared within."""
    return Filter(selection.model, selection.version, _midnight(selection.start), _midnight(selection.end))


def kept(selection: Selection) -> Filter:
    """As `whole`, with the filters on region, class and confidence."""
    return replace(
        whole(selection),
        region=selection.region,
        classes=tuple(selection.classes),
        confidence=selection.confidence,
    )


def bounds(box: Box | None, view: Box | None, extent: Box) -> Box | None:
    """Where the selected predictions lie: in the box, else in sight; None where that is everywhere."""
    if box is not None:
        return box
    return None if view is None or contains(view, extent) else view


def contains(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def grown(box: Box, share: float) -> Box:
    """`box`, wider by `share` of its size on each side."""
    dx, dy = (box[2] - box[0]) * share, (box[3] - box[1]) * share
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day)
