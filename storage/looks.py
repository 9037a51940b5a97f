"""What one look at a map needs: cells, outcomes and days, in arrays, with rows read once for all three.

The same sums as those of `storage.queries`, from the same pieces of roll-ups and rows (see `storage.sources`). There
SQL adds them up; here `storage.compiled` does, which takes a fraction of the processor time while there is a screenful.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from storage import compiled, grid
from storage.catalog import class_names
from storage.database import Database, at_one_moment
from storage.errors import NotFoundError
from storage.periods import DAY, EPOCH, Period, Piece
from storage.rollups import BINS, CELL_SUMS, DAY_SUMS, MILLION, OUTCOME_SUMS, ROLLUPS, Rollup, Spread
from storage.sources import Conditions, Filter, Part, Question, Stored, parts, stored

MULTIPLE = 8  # a raster begins and ends at every so many cells, so that coarser cells join without a remainder
ROWS_AT_ONCE = 500_000
A_ROW_GROUP = 122_880  # rows that DuckDB reads together, whichever of them are wanted
TYPES = {
    "x": pa.int64(), "y": pa.int64(), "predicted": pa.int16(), "label": pa.int16(), "confidence": pa.float64(),
    "entropy": pa.float32(), "predicted_at": pa.timestamp("ms"),
}  # fmt: skip
DRAWN_SUMS = tuple(name for name in CELL_SUMS if name != "sum_labelled_confidence")  # what a map says of a cell
EVERYWHERE = (0, -grid.SIZE, grid.SIZE - 1, 2 * grid.SIZE)  # y goes on beyond the square
NO_BITS = np.frombuffer(b"", np.uint8)  # read-only, as all that is read: loops are compiled for one or the other

Values = npt.NDArray[np.float64]
Batch = dict[str, compiled.Column]


@dataclass(frozen=True)
class Raster:
    """Cells side by side: every array [..., rows from the north, columns], zero where there is no prediction.

    `left` and `top` are the cell indices of the north-west corner, multiples of 8, as are the numbers of rows and
    columns. `sums` are the `DRAWN_SUMS`, as in `storage.queries.cells`. `classes` [K, rows, columns] counts each
    predicted class by code, or is None.
    """

    level: int
    left: int
    top: int
    sums: dict[str, Values]
    classes: Values | None = None

    @property
    def box(self) -> grid.Bounds:
        """Its edges in EPSG:3857 metres."""
        rows, columns = self.sums["n"].shape
        size, half = grid.cell_size(self.level), grid.WORLD / 2
        west, north = self.left * size - half, half - self.top * size
        return west, north - rows * size, west + columns * size, north


@dataclass(frozen=True)
class CellsOf:
    """Which cells are asked for: of a level of which a screen holds them; with the predictions of each class?"""

    filter_: Filter
    level: int
    by_class: bool = False


@dataclass(frozen=True)
class Look:
    """What was asked for: the cells; outcomes and days as `storage.queries` gives them, the days of all time."""

    cells: Raster | None
    outcomes: pd.DataFrame | None
    days: pd.DataFrame | None


class Cells:
    """Sums by cell of one level, of what lies in a box."""

    columns = ("label", "confidence", "entropy")

    def __init__(self, there: Stored, asked: CellsOf, classes: int) -> None:
        filter_, level, spread = asked.filter_, asked.level, there.spread
        assert spread is not None
        shift = grid.DEPTH - level
        box = EVERYWHERE if filter_.bounds is None else grid.from_metres(filter_.bounds)
        whole = (spread.west, spread.north, spread.east, spread.south)
        x0, y0 = (max(mine, least) >> shift for mine, least in zip(box[:2], whole[:2], strict=True))
        x1, y1 = (min(mine, most) >> shift for mine, most in zip(box[2:], whole[2:], strict=True))
        x1, y1 = max(x0, x1), max(y0, y1)
        self.question = Question(filter_, ("cell", "outcome"), (level, x0, y0, x1, y1), level)
        self.level, self.left, self.top = level, x0 // MULTIPLE * MULTIPLE, y0 // MULTIPLE * MULTIPLE
        columns, rows = (
            -(-(last + 1 - first) // MULTIPLE) * MULTIPLE for first, last in ((self.left, x1), (self.top, y1))
        )
        self.sums = np.zeros((rows, columns, len(DRAWN_SUMS)), np.int64)
        self.groups = ("x", "y", "predicted") if asked.by_class else ("x", "y")
        self.classes = np.zeros((rows, columns, classes if asked.by_class else 0), np.int64)

    def of_rollup(self, part: Part, where: str) -> str:
        rollup = ROLLUPS[part.rollup or ""]
        if rollup.name == "cell":
            sums = ", ".join(f"{rollup.expression(each)} AS {each}" for each in DRAWN_SUMS)
            return f"SELECT {', '.join(self.groups)}, {sums} FROM {rollup.table} WHERE {where}"
        return f"SELECT x, y, predicted, {_totals(rollup, DRAWN_SUMS)} FROM {rollup.table} WHERE {where} GROUP BY ALL"

    def add_rollup(self, part: Part, batch: pa.RecordBatch) -> None:
        x, y, predicted = (_column(batch, name)[0] for name in ("x", "y", "predicted"))
        for place, name in enumerate(DRAWN_SUMS):
            compiled.add_summed(
                x, y, predicted, batch[name].to_numpy(), place, part.level - self.level, self.left, self.top,
                self.sums.shape[1], self.sums.reshape(-1), self.classes.reshape(-1),
            )  # fmt: skip

    def add_rows(self, batch: Batch, box: compiled.Box, span: compiled.Span) -> None:
        compiled.add_cells(
            batch["x"][0], batch["y"][0], batch["predicted_at"][0], batch["predicted"][0], batch["label"],
            batch["confidence"], batch["entropy"], box, span, grid.DEPTH - self.level, self.left, self.top,
            self.sums.shape[1], self.sums.reshape(-1), self.classes.reshape(-1),
        )  # fmt: skip

    @property
    def found(self) -> Raster:
        sums = {name: self.sums[..., place].astype(float) for place, name in enumerate(DRAWN_SUMS)}
        for name in sums:
            if name.startswith("sum_"):
                sums[name] /= MILLION
        classes = np.moveaxis(self.classes, -1, 0).astype(float) if self.classes.shape[-1] else None
        return Raster(self.level, self.left, self.top, sums, classes)


class Outcomes:
    """Sums by predicted class, label and confidence bin; of the latter two the last stands for none."""

    columns = ("label", "confidence")

    def __init__(self, filter_: Filter, classes: int) -> None:
        self.question = Question(filter_, ("outcome", "region"), _cells_of(filter_))
        self.sums = np.zeros((classes, classes + 1, BINS + 1, len(OUTCOME_SUMS)), np.int64)

    def of_rollup(self, part: Part, where: str) -> str:
        rollup, groups = ROLLUPS[part.rollup or ""], "predicted, label, confidence_bin"
        return f"SELECT {groups}, {_totals(rollup, OUTCOME_SUMS)} FROM {rollup.table} WHERE {where} GROUP BY ALL"

    def add_rollup(self, part: Part, batch: pa.RecordBatch) -> None:
        classes = len(self.sums)
        label = batch["label"].fill_null(classes).to_numpy()
        bin_ = batch["confidence_bin"].fill_null(BINS).to_numpy()
        values = np.stack([batch[name].to_numpy() for name in OUTCOME_SUMS], axis=1)
        np.add.at(self.sums, (batch["predicted"].to_numpy(), label, bin_), values)

    def add_rows(self, batch: Batch, box: compiled.Box, span: compiled.Span) -> None:
        compiled.add_outcomes(
            batch["x"][0], batch["y"][0], batch["predicted_at"][0], batch["predicted"][0], batch["label"],
            batch["confidence"], box, span, len(self.sums), BINS, self.sums.reshape(-1),
        )  # fmt: skip

    @property
    def found(self) -> pd.DataFrame:
        predicted, label, bin_ = np.nonzero(self.sums[..., 0])
        n, confidence, squares = self.sums[predicted, label, bin_].T
        none = self.sums.shape[1] - 1
        return pd.DataFrame(
            {
                "predicted": predicted,
                "label": np.where(label < none, label, np.nan),
                "confidence_bin": np.where(bin_ < BINS, bin_, np.nan),
                "n": n, "sum_confidence": confidence / MILLION, "sum_confidence2": squares / MILLION,
            }
        )  # fmt: skip


class Days:
    """Sums by day, over all time."""

    columns = ("label", "confidence", "predicted_at")

    def __init__(self, there: Stored, filter_: Filter) -> None:
        assert there.spread is not None
        rollups = ("day", "cell", "outcome", "region")
        self.question = Question(replace(filter_, start=None, end=None), rollups, _cells_of(filter_), period=Period.DAY)
        self.first = there.spread.first
        self.sums = np.zeros((there.spread.days, len(DAY_SUMS)), np.int64)

    def of_rollup(self, part: Part, where: str) -> str:
        rollup = ROLLUPS[part.rollup or ""]
        return f"SELECT start, {_totals(rollup, DAY_SUMS)} FROM {rollup.table} WHERE {where} GROUP BY ALL"

    def add_rollup(self, part: Part, batch: pa.RecordBatch) -> None:
        day = batch["start"].to_numpy(zero_copy_only=False).astype("datetime64[D]") - np.datetime64(self.first)
        values = np.stack([batch[name].to_numpy() for name in DAY_SUMS], axis=1)
        np.add.at(self.sums, day.astype(np.int64), values)

    def add_rows(self, batch: Batch, box: compiled.Box, span: compiled.Span) -> None:
        compiled.add_days(
            batch["x"][0], batch["y"][0], batch["predicted_at"][0], batch["predicted"][0], batch["label"],
            batch["confidence"], box, span, _milliseconds(self.first), self.sums.reshape(-1),
        )  # fmt: skip

    @property
    def found(self) -> pd.DataFrame:
        (came,) = np.nonzero(self.sums[:, 0])
        columns: dict[str, Any] = {"day": (np.datetime64(self.first) + came).astype("datetime64[us]")}
        for name, sums in zip(DAY_SUMS, self.sums[came].T, strict=True):
            columns[name] = sums / MILLION if name.startswith("sum_") else sums
        return pd.DataFrame(columns)


Target = Cells | Outcomes | Days


@dataclass(frozen=True)
class Reading:
    """Rows that are read in one go: those in a box, of some days; each `target` takes what is its own of them."""

    targets: tuple[tuple[Target, Part], ...]

    @property
    def box(self) -> compiled.Box:
        x0, y0, x1, y1 = zip(*(positions(target.question) for target, _ in self.targets), strict=True)
        return min(x0), min(y0), max(x1), max(y1)

    @property
    def days(self) -> tuple[date, date]:
        return min(part.piece.first for _, part in self.targets), max(part.piece.end for _, part in self.targets)

    @property
    def columns(self) -> list[str]:
        wanted = {name for target, _ in self.targets for name in target.columns}
        if any((part.piece.first, part.piece.end) != self.days for _, part in self.targets):
            wanted.add("predicted_at")
        return ["x", "y", "predicted", *sorted(wanted)]

    def cost(self, there: Stored) -> float:
        """About how long it takes, in no unit: whole row groups are read, of every day."""
        spread, (x0, y0, x1, y1), (first, end) = there.spread, self.box, self.days
        assert spread is not None
        whole = float(spread.east + 1 - spread.west) * float(spread.south + 1 - spread.north)
        group = min(1.0, A_ROW_GROUP / max(spread.period_rows(Period.WEEK), 1)) * whole
        return (end - first).days * (float(x1 + 1 - x0) * float(y1 + 1 - y0) + group)


@at_one_moment
def look(
    database: Database,
    model: str,
    *,
    cells: CellsOf | None = None,
    outcomes: Filter | None = None,
    days: Filter | None = None,
) -> Look:
    """What is asked for of `model`, of which there is at least one prediction."""
    there, classes = stored(database, model), len(class_names(database, model))
    if there.spread is None:
        raise NotFoundError(f"No predictions of the model {model!r}.")
    counted = None if cells is None else Cells(there, cells, classes)
    judged = None if outcomes is None else Outcomes(outcomes, classes)
    dated = None if days is None else Days(there, days)
    targets: list[Target] = [target for target in (counted, judged, dated) if target is not None]
    single = []
    for target in targets:
        for part in parts(there, target.question):
            if part.rollup is None:
                single.append(Reading(((target, part),)))
            else:
                _add_rollup(database, there, target, part)
    for reading in together(there, single):
        _add_rows(database, there, reading)
    return Look(
        None if counted is None else counted.found,
        None if judged is None else judged.found,
        None if dated is None else dated.found,
    )


def together(there: Stored, readings: list[Reading]) -> list[Reading]:
    """`readings`, those that ask for much the same rows joined into one."""
    while True:
        for one, other in combinations(readings, 2):
            both = Reading((*one.targets, *other.targets))
            same = _anywhere(one) == _anywhere(other)
            if same and both.cost(there) < one.cost(there) + other.cost(there):
                readings = [both, *(each for each in readings if each is not one and each is not other)]
                break
        else:
            return readings


def _anywhere(reading: Reading) -> Filter:
    return replace(reading.targets[0][0].question.filter_, start=None, end=None, bounds=None)


def _add_rollup(database: Database, there: Stored, target: Target, part: Part) -> None:
    question = target.question
    where = Conditions(database, question.filter_, there.key, question.cells).of_part(part)
    for batch in _batches(database, target.of_rollup(part, where)):
        target.add_rollup(part, batch)


def _add_rows(database: Database, there: Stored, reading: Reading) -> None:
    filter_ = reading.targets[0][0].question.filter_
    first, end = (datetime(day.year, day.month, day.day) for day in reading.days)
    where = Conditions(database, filter_, there.key, (grid.DEPTH, *reading.box)).of_rows(first, end)
    for rows in _batches(database, f"SELECT {', '.join(reading.columns)} FROM prediction WHERE {where}"):
        batch = {name: _column(rows, name) for name in TYPES}
        for target, part in reading.targets:
            span = _milliseconds(part.piece.first), _milliseconds(part.piece.end)
            target.add_rows(batch, positions(target.question), span)


def _batches(database: Database, sql: str) -> Iterator[pa.RecordBatch]:
    with database.cursor() as cursor:
        yield from cursor.execute(sql).to_arrow_reader(ROWS_AT_ONCE)


def _column(rows: pa.RecordBatch, name: str) -> compiled.Column:
    """The values of a column, and a bit for each that is there; nothing where it was not read."""
    wanted = TYPES[name]
    kind = np.dtype(np.int64) if name == "predicted_at" else np.dtype(wanted.to_pandas_dtype())
    if name not in rows.schema.names:
        return np.frombuffer(b"", kind), NO_BITS
    column = rows[name] if rows[name].type == wanted else rows[name].cast(wanted)
    present, values = column.buffers()
    bits = np.frombuffer(present, np.uint8) if present is not None and column.null_count else NO_BITS
    found = np.frombuffer(values or b"", kind, len(column))
    found.flags.writeable = False  # what was cast could be written to
    return found, bits


def _totals(rollup: Rollup, sums: Iterable[str]) -> str:
    """Aggregates over a roll-up. DOUBLE adds whole numbers exactly up to 2^53."""
    return ", ".join(f"sum(({rollup.expression(each)})::DOUBLE)::BIGINT AS {each}" for each in sums)


def positions(question: Question) -> compiled.Box:
    """The positions that lie in the cells of a question, ends included."""
    if question.cells is None:
        return EVERYWHERE
    level, x0, y0, x1, y1 = question.cells
    shift = grid.DEPTH - level
    return x0 << shift, y0 << shift, ((x1 + 1) << shift) - 1, ((y1 + 1) << shift) - 1


def _cells_of(filter_: Filter) -> tuple[int, int, int, int, int] | None:
    return None if filter_.bounds is None else grid.snapped(filter_.bounds)


def _milliseconds(day: date) -> int:
    return (day - date(1970, 1, 1)) // DAY * compiled.DAY


def warm_up() -> None:
    """Have the loops compiled, which takes some seconds when they are first run."""
    there = Stored(0, Spread(0, 0, 0, 0, 0, EPOCH, EPOCH), {})
    batch = {name: _column(_nothing(TYPES), name) for name in TYPES}
    cells = Cells(there, CellsOf(Filter(""), 0), 1)
    for target in (cells, Outcomes(Filter(""), 1), Days(there, Filter(""))):
        target.add_rows(batch, (0, 0, 0, 0), (0, 0))
    summed = {name: TYPES[name] for name in ("x", "y", "predicted")} | dict.fromkeys(DRAWN_SUMS, pa.int64())
    cells.add_rollup(Part(Piece(Period.ALL, EPOCH, EPOCH), "cell", 0), _nothing(summed))


def _nothing(types: dict[str, pa.DataType]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: [] for name in types}, pa.schema(types))
