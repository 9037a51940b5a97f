"""Where an answer comes from: the roll-ups that can give it, and rows for the rest of it.

Every sum is asked for over `SELECT ... FROM (pieces) GROUP BY ...`, where the pieces together hold each prediction
of a Filter once: whole periods of a roll-up where one has what the question needs, and single rows elsewhere. All
sums are integers, so the answer is the same whichever pieces gave it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage import grid
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.keys import key_of
from storage.periods import Period, Piece, cover
from storage.regions import region_set
from storage.rollups import (
    BINS,
    CONFIDENCE_BIN,
    READ_ROWS,
    ROLLUPS,
    Kept,
    Spread,
    kept_levels,
    stored_spread,
)

COUNT_CLASS = "count(CASE WHEN predicted = {} THEN 1 END)::DOUBLE"

Cells = tuple[int, int, int, int, int]  # level; x first, y first, x last, y last: ends included


@dataclass(frozen=True, slots=True)
class Filter:
    """Which predictions of a model are meant.

    `start` ≤ time < `end`, whole days in UTC. `region` (an id) includes all that lies in it. `classes` are
    predicted classes; none means all. `confidence` is low ≤ c < high, or ≤ where high is 1; ends that are a
    multiple of 0.05 mean the confidence bins between them. `bounds` are (xmin, ymin, xmax, ymax) in EPSG:3857
    metres, and stand for the whole cells that `storage.grid.snapped` makes of them.
    """

    model: str
    version: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    region: str | None = None
    classes: tuple[str, ...] = ()
    confidence: tuple[float, float] | None = None
    bounds: grid.Bounds | None = None

    @property
    def bins(self) -> tuple[int, int] | None:
        """The confidence bins from the first to before the last, where `confidence` means whole bins."""
        if self.confidence is None:
            return None
        low, high = (edge * BINS for edge in self.confidence)
        whole = abs(low - round(low)) < 1e-6 and abs(high - round(high)) < 1e-6
        return (round(low), round(high)) if whole else None


@dataclass(frozen=True, slots=True)
class Stored:
    """What there is of a model: its key, its spread (None: nothing yet), the roll-ups that are kept."""

    key: int
    spread: Spread | None
    kept: Kept


def stored(database: Database, model: str) -> Stored:
    """What there is of `model`; nothing where it is unknown."""

    def read() -> Stored:
        key = key_of(model)
        with database.cursor() as cursor:
            spread = stored_spread(cursor, model)
            return Stored(key, spread, kept_levels(cursor, key) if spread else {})

    return database.remembered(("stored", model), read)


@dataclass(frozen=True)
class Part:
    """A piece of an answer: rows (`rollup` None), or periods of a roll-up at a level."""

    piece: Piece
    rollup: str | None
    level: int


@dataclass(frozen=True)
class Question:
    """What is asked: a Filter, over which cells (None: everywhere), and from which roll-ups it can be answered.

    `period` says that only that level of time will do, and `level` that cells have to be that fine at least.
    """

    filter_: Filter
    rollups: Sequence[str]
    cells: Cells | None = None
    level: int | None = None
    period: Period | None = None

    def answers(self, rollup: str) -> bool:
        """Whether a roll-up holds what the Filter filters by."""
        filter_, groups = self.filter_, ROLLUPS[rollup].groups
        confidence = filter_.confidence is None or (filter_.bins is not None and "confidence_bin" in groups)
        classes = not filter_.classes or "predicted" in groups
        place = filter_.region is None if ROLLUPS[rollup].by_cell else self.cells is None
        return confidence and classes and place


def parts(there: Stored, question: Question) -> list[Part]:
    """The pieces that hold each prediction once: from the roll-up that leaves the fewest days to rows, and rows."""
    if there.spread is None:
        return []
    span = there.spread.first, there.spread.end
    filter_ = question.filter_
    finest = max([question.level or 0, question.cells[0] if question.cells else 0])
    best = [Part(piece, None, 0) for piece in cover(filter_.start, filter_.end, span, ())]
    for rollup in question.rollups:
        if question.answers(rollup):
            levels: dict[Period, int] = {}
            for (name, period), kept in there.kept.items():
                fitting = [level for level in kept if level >= finest or not ROLLUPS[rollup].by_cell]
                if name == rollup and fitting and question.period in (None, period):
                    levels[period] = min(fitting)
            found = [
                Part(piece, None, 0) if piece.period is None else Part(piece, rollup, levels[piece.period])
                for piece in cover(filter_.start, filter_.end, span, levels)
            ]
            if days_of_rows(found) < days_of_rows(best):
                best = found
    return best


def days_of_rows(found: Iterable[Part]) -> int:
    """For how many days rows are read."""
    return sum((part.piece.end - part.piece.first).days for part in found if part.rollup is None)


class Conditions:
    """SQL conditions of a Filter, over rows or over a roll-up, with their parameters."""

    def __init__(self, database: Database, filter_: Filter, key: int, cells: Cells | None = None) -> None:
        self.filter_, self.cells = filter_, cells
        self.common = [f"model = {key}"]
        if filter_.version is not None:
            self.common.append(f"version = {key_of(filter_.version)}")
        if filter_.classes:
            names = class_names(database, filter_.model)
            codes = [str(names.index(name)) for name in filter_.classes if name in names]
            self.common.append(f"predicted IN ({', '.join(codes) or 'NULL'})")
        self.regions: list[str] = []
        if filter_.region is not None:
            known = region_set(database, stored_model(database, filter_.model).regions)
            keys = ", ".join(str(key) for key in known.descendants(filter_.region))
            self.regions.append(f"region IN ({keys})")

    def of_rows(self, first: datetime | None, end: datetime | None) -> str:
        """Over `prediction`, first ≤ predicted_at < end."""
        conditions = [*self.common, *self.regions, *self._inside(grid.DEPTH)]
        if first is not None:
            conditions.append(f"predicted_at >= TIMESTAMP_MS '{first}'")
        if end is not None:
            conditions.append(f"predicted_at < TIMESTAMP_MS '{end}'")
        if self.filter_.confidence is not None:
            low, high = self.filter_.confidence
            if self.filter_.bins is not None:
                conditions.append(self._binned(CONFIDENCE_BIN))
            else:
                conditions.append(f"confidence >= {low!r} AND confidence {'<=' if high >= 1 else '<'} {high!r}")
        return " AND ".join(conditions)

    def of_part(self, part: Part) -> str:
        """Over what a part is read from."""
        piece = part.piece
        if part.rollup is None:
            return self.of_rows(_midnight(piece.first), _midnight(piece.end))
        rollup = ROLLUPS[part.rollup]
        conditions = [*self.common, f"period = {int(piece.period or 0)}"]
        if piece.period is not Period.ALL:
            conditions += [f"start >= DATE '{piece.first}'", f"start < DATE '{piece.end}'"]
        if rollup.by_cell:
            conditions += [f"level = {part.level}", *self._inside(part.level)]
        else:
            conditions += self.regions
        if self.filter_.bins is not None:
            conditions.append(self._binned("confidence_bin"))
        return " AND ".join(conditions)

    def _binned(self, column: str) -> str:
        low, high = self.filter_.bins or (0, BINS)
        return f"{column} BETWEEN {low} AND {high - 1}"

    def _inside(self, level: int) -> list[str]:
        """That x, y at `level` (30: positions) lie in the cells."""
        if self.cells is None:
            return []
        coarse, x0, y0, x1, y1 = self.cells
        finer = level - coarse
        return [
            f"x BETWEEN {x0 << finer} AND {((x1 + 1) << finer) - 1}",
            f"y BETWEEN {y0 << finer} AND {((y1 + 1) << finer) - 1}",
        ]


def sums_sql(
    database: Database, there: Stored, question: Question, groups: Sequence[str], sums: Sequence[str]
) -> str | None:
    """SQL for the `sums` of an answer by `groups`; None where there is no prediction.

    Groups are of version, day, x, y, region, predicted, label and confidence_bin; x and y are cells of the question's
    level. Besides the sums of the roll-ups, `n_0`, `n_1`, ... count the predictions of one class.
    """
    found = parts(there, question)
    if not found:
        return None
    conditions = Conditions(database, question.filter_, there.key, question.cells)
    by = " GROUP BY ALL" if groups else ""  # by name would take a column x of the table for the cell x
    pieces = [
        f"SELECT {', '.join([*_groups(part, question, groups), *_sums(part, sums)])} "
        f"FROM {ROLLUPS[part.rollup].table if part.rollup else 'prediction'} WHERE {conditions.of_part(part)}{by}"
        for part in found
    ]
    if len(pieces) == 1:
        return pieces[0]
    totals = ", ".join([*groups, *(f"sum({each}) AS {each}" for each in sums)])
    return f"SELECT {totals} FROM ({' UNION ALL '.join(pieces)}){by}"


def _groups(part: Part, question: Question, groups: Iterable[str]) -> Iterator[str]:
    for group in groups:
        expression = group
        if group == "day":
            expression = "start" if part.rollup else "CAST(predicted_at AS DATE)"
        elif group in ("x", "y"):
            finer = (part.level if part.rollup else grid.DEPTH) - (question.level or 0)
            expression = f"{group} >> {finer}"
        elif group == "confidence_bin" and part.rollup is None:
            expression = CONFIDENCE_BIN
        yield f"{expression} AS {group}"


def _sums(part: Part, sums: Iterable[str]) -> Iterator[str]:
    """Aggregates over what a part is read from: DOUBLE, which adds whole numbers exactly up to 2^53."""
    for each in sums:
        if (code := each.removeprefix("n_")).isdigit():  # of one class
            counted = "sum(CASE WHEN predicted = {} THEN n::DOUBLE ELSE 0 END)" if part.rollup else COUNT_CLASS
            yield f"{counted.format(code)} AS {each}"
        elif part.rollup is None:
            yield f"{READ_ROWS[each]}::DOUBLE AS {each}"
        else:
            yield f"sum(({ROLLUPS[part.rollup].expression(each)})::DOUBLE) AS {each}"


def _midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day)
