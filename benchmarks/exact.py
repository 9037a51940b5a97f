"""The answers of the store computed the plain way, from every row, to hold the fast ones against.

The only place outside the store that knows its tables.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from dashboard import Event

from app.filters import bounds, grown, kept
from app.pages.explore_map import PIXELS, Ground
from app.views.layers import fitting_level
from storage import grid, queries
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.queries import Filter
from storage.regions import region_set

COUNTS = ("n", "n_labelled", "n_correct", "n_confidence", "n_entropy")


@dataclass
class Differences:
    """`compared` answers, those that `differ` in a count or by 1e-9 of a sum, and the largest such share."""

    compared: int = 0
    differ: list[str] = field(default_factory=list)
    largest: float = 0.0

    def compare(self, what: str, found: pd.DataFrame, expected: pd.DataFrame, keys: list[str]) -> None:
        self.compared += 1
        one, other = (frame.sort_values(keys).reset_index(drop=True) for frame in (found, expected))
        if len(one) != len(other):
            self.differ.append(f"{what}: {len(one)} rows for {len(other)}")
            return
        for name in other.columns:
            a, b = (
                frame[name].to_numpy("datetime64[D]" if name == "day" else float, na_value=None)
                if name == "day"
                else frame[name].astype("Float64").to_numpy(float, na_value=np.nan)
                for frame in (one, other)
            )
            if name in keys or name in COUNTS:
                same = bool(np.array_equal(a, b, equal_nan=name != "day"))
            else:
                gap = np.abs(a - b) / np.maximum(np.abs(b), 1.0)
                self.largest = max(self.largest, float(gap.max(initial=0.0)))
                same = self.largest <= 1e-9
            if not same:
                self.differ.append(f"{what}: {name}")
                return


def check(database: Database, ground: Ground, event: Event, differences: Differences) -> None:
    """Hold what the page asks for after `event` against the rows."""
    selection = event.selection()
    layer, view = selection.layer, selection.view or ground.look(selection.region)
    level = fitting_level(view, PIXELS)
    seen = replace_bounds(kept(selection), grown(view, 0.12))
    groups = ["predicted"] if layer == "predicted" else []
    query = queries.class_cells if groups else queries.cells
    # Cells that the edge of the view cuts are as wide as the store's own: whole ones are compared.
    found, expected = (inner(cells, seen.bounds, level) for cells in
                       (query(database, seen, level), raw_cells(database, seen, level, groups)))  # fmt: skip
    differences.compare(f"{event.kind}: cells", found, expected, ["x", "y", *groups])
    wanted = replace_bounds(kept(selection), bounds(selection, ground.extent))
    found = queries.outcomes(database, wanted)
    keys = ["predicted", "label", "confidence_bin"]
    differences.compare(f"{event.kind}: outcomes", found, raw_outcomes(database, wanted), keys)
    found = queries.outcomes_by_day(database, wanted)
    differences.compare(f"{event.kind}: days", found, raw_days(database, wanted), ["day"])


def replace_bounds(filter_: Filter, box: grid.Bounds | None) -> Filter:
    return Filter(**{name: getattr(filter_, name) for name in filter_.__slots__} | {"bounds": box})


def inner(cells: pd.DataFrame, box: grid.Bounds | None, level: int) -> pd.DataFrame:
    assert box is not None
    first_x, first_y, last_x, last_y = (edge >> (grid.DEPTH - level) for edge in grid.from_metres(box))
    within = cells["x"].between(first_x + 1, last_x - 1) & cells["y"].between(first_y + 1, last_y - 1)
    return cells[within]


def from_rows(filter_: Filter) -> bool:
    """Whether the sums of charts for `filter_` are read from rows."""
    return queries.needs_rows(filter_)


def where(database: Database, filter_: Filter) -> tuple[str, list]:
    parts, parameters = ["model = ?"], [filter_.model]
    for sql, value in (("predicted_at >= ?", filter_.start), ("predicted_at < ?", filter_.end)):
        if value is not None:
            parts.append(sql)
            parameters.append(value)
    if filter_.region is not None:
        keys = region_set(database, stored_model(database, filter_.model).regions).descendants(filter_.region)
        parts.append(f"region IN ({', '.join(str(key) for key in keys)})")
    if filter_.classes:
        names = class_names(database, filter_.model)
        parts.append(f"predicted IN ({', '.join(str(names.index(name)) for name in filter_.classes)})")
    if filter_.confidence is not None:
        low, high = filter_.confidence
        parts.append(f"confidence >= {low} AND confidence {'<=' if high >= 1 else '<'} {high}")
    if filter_.bounds is not None:
        first_x, first_y, last_x, last_y = grid.from_metres(filter_.bounds)
        parts.append(f"x BETWEEN {first_x} AND {last_x} AND y BETWEEN {first_y} AND {last_y}")
    return " AND ".join(parts), parameters


def raw_cells(database: Database, filter_: Filter, level: int, groups: list[str]) -> pd.DataFrame:
    condition, parameters = where(database, filter_)
    shift = grid.DEPTH - level
    return database.frame(
        f"""SELECT {"".join(f"{name}, " for name in groups)} x >> {shift} AS x, y >> {shift} AS y,
            count(*) AS n, count(label) AS n_labelled, count(*) FILTER (label = predicted) AS n_correct,
            count(confidence) AS n_confidence, coalesce(sum(confidence), 0) AS sum_confidence,
            count(entropy) AS n_entropy, coalesce(sum(entropy::DOUBLE), 0) AS sum_entropy
        FROM prediction WHERE {condition} GROUP BY ALL""",
        parameters,
    )


def raw_outcomes(database: Database, filter_: Filter) -> pd.DataFrame:
    condition, parameters = where(database, filter_)
    return database.frame(
        f"""SELECT predicted, label, least(floor(confidence * 20), 19)::TINYINT AS confidence_bin, count(*) AS n,
            coalesce(sum(confidence), 0) AS sum_confidence, count(entropy) AS n_entropy,
            coalesce(sum(entropy::DOUBLE), 0) AS sum_entropy
        FROM prediction WHERE {condition} GROUP BY ALL""",
        parameters,
    )


def raw_days(database: Database, filter_: Filter) -> pd.DataFrame:
    condition, parameters = where(database, filter_)
    return database.frame(
        f"""SELECT predicted_at::DATE AS day, count(*) AS n, count(label) AS n_labelled,
            count(*) FILTER (label = predicted) AS n_correct, count(confidence) AS n_confidence,
            coalesce(sum(confidence), 0) AS sum_confidence,
            coalesce(sum(confidence) FILTER (label IS NOT NULL), 0) AS sum_labelled_confidence
        FROM prediction WHERE {condition} GROUP BY ALL""",
        parameters,
    )
