"""What of a model does not change from one look to the next, read once by a session."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import shapely

from app.filters import grown
from app.selection import Box
from app.views.outlines import in_metres
from storage.batches import newest
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.queries import extent
from storage.regions import region_geometries

Stamp = tuple[int, datetime | None]


@dataclass(frozen=True)
class Ground:
    """The classes by code, and where the model's predictions lie. Boxes and boundaries in EPSG:3857 metres.

    `stamp` is another one as soon as anything was ingested for the model.
    """

    model: str
    stamp: Stamp
    classes: list[str]
    extent: Box
    region_ids: list[str] = field(default_factory=list)
    region_names: list[str] = field(default_factory=list)
    boundaries: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))

    def place(self, region: str | None) -> int | None:
        """Where `region` is in `boundaries`."""
        return self.region_ids.index(region) if region in self.region_ids else None

    def look(self, region: str | None) -> Box:
        """The first look: the region or, without one, the model's extent, with a margin; at least 500 m wide."""
        place = self.place(region)
        found = self.extent if place is None else shapely.bounds(self.boundaries[place])
        xmin, ymin, xmax, ymax = (float(edge) for edge in found)
        least = max(0.0, 500 - max(xmax - xmin, ymax - ymin)) / 2
        return grown((xmin - least, ymin - least, xmax + least, ymax + least), 0.04)


class Grounds:
    """The ground of the model that a session looks at."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._known: Ground | None = None
        self._reading = threading.Lock()

    def of(self, model: str) -> Ground:
        """The ground of `model`, which has at least one prediction; read again after something was ingested."""
        stamp = self.database.remembered(("newest", model), lambda: newest(self.database, model))
        with self._reading:
            known = self._known
            if known is None or (known.model, known.stamp) != (model, stamp):
                known = self._known = _read(self.database, model, stamp)
            return known


def _read(database: Database, model: str, stamp: Stamp) -> Ground:
    found = extent(database, model)
    assert found is not None
    regions = stored_model(database, model).regions
    classes = class_names(database, model)
    if regions is None:
        return Ground(model, stamp, classes, found)
    shapes = region_geometries(database, regions)
    return Ground(model, stamp, classes, found, list(shapes["id"]), list(shapes["name"]), in_metres(shapes))
