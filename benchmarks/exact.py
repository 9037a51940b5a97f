"""The answers of the store computed the plain way, from every row, to hold the fast ones against.

The only place outside the store that knows its tables.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from dashboard import Event

from app.filters import bounds, grown, kept
from app.pages.explore_ground import Ground
from app.pages.explore_looks import PIXELS
from app.views.layers import fitting_level
from storage import grid, queries, sources
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.keys import key_of
from storage.queries import Filter
from storage.regions import region_set

# Sums count millionths, so that they are the same in whatever order they are made.
SUMS = """count(*) AS n, count(label) AS n_labelled, count(*) FILTER (label = predicted) AS n_correct,
    count(confidence) AS n_confidence, coalesce(sum(round(confidence * 1e6)::BIGINT), 0) / 1e6 AS sum_confidence,
    coalesce(sum(round(confidence * confidence * 1e6)::BIGINT), 0) / 1e6 AS sum_confidence2,
    coalesce(sum(round(confidence * 1e6)::BIGINT) FILTER (label IS NOT NULL), 0) / 1e6 AS sum_labelled_confidence,
    count(entropy) AS n_entropy, coalesce(sum(round(entropy::DOUBLE * 1e6)::BIGINT), 0) / 1e6 AS sum_entropy"""


@dataclass
class Differences:
    """`compared` answers, and those that `differ` anywhere: in which cells, classes or days there are, or in a sum."""

    compared: int = 0
    differ: list[str] = field(default_factory=list)

    def compare(self, what: str, found: pd.DataFrame, plain: pd.DataFrame, keys: list[str]) -> None:
        self.compared += 1
        one, other = (frame.sort_values(keys).reset_index(drop=True) for frame in (found, plain))
        if len(one) != len(other):
            self.differ.append(f"{what}: {len(one)} rows for {len(other)}")
            return
        for name in one.columns:
            a, b = (numbers(frame[name]) for frame in (one, other))
            if not np.allclose(a, b, rtol=1e-12, atol=0, equal_nan=True):
                self.differ.append(f"{what}: {name}")
                return


def numbers(column: pd.Series) -> np.ndarray:
    if column.name == "day":
        return column.to_numpy("datetime64[D]").astype(float)
    return column.astype("Float64").to_numpy(float, na_value=np.nan)


def check(database: Database, ground: Ground, event: Event, differences: Differences) -> None:
    """Hold what the page asks for after `event` against the rows."""
    seen, level, wanted = asked(ground, event)
    by_class = event.chosen.get("layer") == "predicted"
    found = (queries.class_cells if by_class else queries.cells)(database, seen, level)
    assert seen.bounds is not None
    touched = tuple(edge >> (grid.DEPTH - level) for edge in grid.from_metres(seen.bounds))
    shift = grid.DEPTH - level
    place = f"x >> {shift} AS x, y >> {shift} AS y"
    plain = sums(database, seen, (level, *touched), place)
    if by_class:
        counts = sums(database, seen, (level, *touched), f"{place}, predicted")
        counts = counts.pivot(index=["x", "y"], columns="predicted", values="n").add_prefix("n_")
        counts = counts.reindex(columns=[name for name in found if name[2:].isdigit()]).fillna(0)
        plain = plain.merge(counts, left_on=["x", "y"], right_index=True)
    differences.compare(f"{event.kind}: cells", found, plain, ["x", "y"])

    box = None if wanted.bounds is None else grid.snapped(wanted.bounds)
    bin_ = "least(floor(confidence * 20), 19) AS confidence_bin"
    plain = sums(database, wanted, box, f"predicted, label, {bin_}")
    found = queries.outcomes(database, wanted)
    differences.compare(f"{event.kind}: outcomes", found, plain, ["predicted", "label", "confidence_bin"])
    plain = sums(database, wanted, box, "predicted_at::DATE AS day")
    differences.compare(f"{event.kind}: days", queries.outcomes_by_day(database, wanted), plain, ["day"])


def asked(ground: Ground, event: Event) -> tuple[Filter, int, Filter]:
    """What the map is asked for, at which level of cells, and what the charts are asked for."""
    selection = event.selection()
    view = selection.view or ground.look(selection.region)
    filter_ = kept(selection)
    seen, wanted = (
        replace(filter_, bounds=grown(view, 0.12)),
        replace(filter_, bounds=bounds(selection.box, selection.view, ground.extent)),
    )
    return seen, fitting_level(view, PIXELS), wanted


def days_of_rows(database: Database, ground: Ground, event: Event) -> int:
    """For how many days the map or the charts read rows after `event`, whichever read more."""
    seen, level, wanted = asked(ground, event)
    there = sources.stored(database, wanted.model)
    box = None if wanted.bounds is None else grid.snapped(wanted.bounds)
    assert seen.bounds is not None
    touched = tuple(edge >> (grid.DEPTH - level) for edge in grid.from_metres(seen.bounds))
    questions = (
        sources.Question(wanted, ("outcome", "region"), box),
        sources.Question(seen, ("cell", "outcome"), (level, *touched), level),
    )
    return max(sources.days_of_rows(sources.parts(there, question)) for question in questions)


def sums(database: Database, filter_: Filter, cells: tuple[int, ...] | None, groups: str) -> pd.DataFrame:
    """Every sum over rows. `cells`: their level, and x first, y first, x last, y last; None: everywhere."""
    return database.frame(
        f"SELECT {groups}, {SUMS} FROM prediction WHERE {where(database, filter_, cells)} GROUP BY ALL"
    )


def where(database: Database, filter_: Filter, cells: tuple[int, ...] | None) -> str:
    parts = [f"model = {key_of(filter_.model)}"]
    if filter_.start is not None:
        parts.append(f"predicted_at >= TIMESTAMP '{filter_.start}'")
    if filter_.end is not None:
        parts.append(f"predicted_at < TIMESTAMP '{filter_.end}'")
    if filter_.region is not None:
        keys = region_set(database, stored_model(database, filter_.model).regions).descendants(filter_.region)
        parts.append(f"region IN ({', '.join(str(key) for key in keys)})")
    if filter_.classes:
        names = class_names(database, filter_.model)
        parts.append(f"predicted IN ({', '.join(str(names.index(name)) for name in filter_.classes)})")
    if filter_.confidence is not None:
        low, high = filter_.confidence
        parts.append(f"confidence >= {low} AND confidence {'<=' if high >= 1 else '<'} {high}")
    if cells is not None:
        level, x0, y0, x1, y1 = cells
        shift = grid.DEPTH - level
        parts.append(f"(x >> {shift}) BETWEEN {x0} AND {x1} AND (y >> {shift}) BETWEEN {y0} AND {y1}")
    return " AND ".join(parts)
