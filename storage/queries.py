"""What the store answers: sums over part of a model's predictions.

Roll-ups answer where they can, rows where they cannot; both give the same sums (see `storage.sources`).
"""

from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from storage import feature_bins as bins_of
from storage import grid
from storage.catalog import class_names, feature_codes, feature_column, stored_model
from storage.database import Database, at_one_moment, quote
from storage.feature_bins import Bins
from storage.periods import Period
from storage.records import Window
from storage.rollups import CELL_SUMS, CONFIDENCE_BIN, DAY_SUMS, MILLION, OUTCOME_SUMS
from storage.sources import Cells, Conditions, Filter, Question, Stored, days_of_rows, parts, stored, sums_sql
from storage.validation import literal

__all__ = ["Bins", "Filter"]

QUICK_ROWS = 500_000  # so many rows are read in about 30 ms
SHARES = 7  # halvings of the extent, to cells whose shares of all predictions are remembered


@at_one_moment
def extent(database: Database, model: str) -> grid.Bounds | None:
    """A box (xmin, ymin, xmax, ymax) in EPSG:3857 metres that holds every prediction of `model`."""
    spread = stored(database, model).spread
    if spread is None:
        return None
    x, y = np.array([spread.west, spread.east + 1]), np.array([spread.north, spread.south + 1])
    (xmin, xmax), (ymax, ymin) = grid.to_metres(x, y)
    return float(xmin), float(ymin), float(xmax), float(ymax)


@at_one_moment
def time_extent(database: Database, model: str) -> Window | None:
    """The days that hold every prediction of `model`: from the first, to the day after the last."""
    spread = stored(database, model).spread
    if spread is None:
        return None
    first = datetime(spread.first.year, spread.first.month, spread.first.day)
    return Window(first, first + timedelta(days=spread.days))


@at_one_moment
def outcomes(database: Database, filter_: Filter) -> pd.DataFrame:
    """Sums by predicted class, label and confidence bin: enough for accuracy, confusion, calibration, histogram.

    Columns: predicted, label (class codes; label missing: no label yet), confidence_bin (missing: no confidence),
    n, sum_confidence, sum_confidence2.
    """
    return _outcomes(database, filter_, ("outcome", "region"), ())


@at_one_moment
def outcomes_by_region(database: Database, filter_: Filter) -> pd.DataFrame:
    """As `outcomes`, for each region apart: `region` is the key of the deepest region of a row, 0 for none."""
    return _outcomes(database, filter_, ("region",), ("region",))


@at_one_moment
def outcomes_by_version_and_region(database: Database, filter_: Filter) -> pd.DataFrame:
    """As `outcomes_by_region`, for each version (its name) apart."""
    frame = _outcomes(database, filter_, ("region",), ("version", "region"))
    names = dict(database.rows("SELECT key, version FROM model_version WHERE model = ?", [filter_.model]))
    return frame.assign(version=frame["version"].map(names))


def _outcomes(database: Database, filter_: Filter, rollups: tuple[str, ...], groups: tuple[str, ...]) -> pd.DataFrame:
    question = Question(filter_, rollups, _cells_of(filter_))
    return _sums(database, question, (*groups, "predicted", "label", "confidence_bin"), OUTCOME_SUMS)


@at_one_moment
def outcomes_by_day(database: Database, filter_: Filter) -> pd.DataFrame:
    """Sums by day: day, n, n_labelled, n_correct, n_confidence, sum_confidence, sum_labelled_confidence."""
    question = Question(filter_, ("day", "cell", "outcome", "region"), _cells_of(filter_), period=Period.DAY)
    return _sums(database, question, ("day",), DAY_SUMS)


@at_one_moment
def cells(database: Database, filter_: Filter, level: int) -> pd.DataFrame:
    """Sums by map cell of `level`: x, y (cell indices), n, n_labelled, n_correct, n_confidence, sum_confidence,
    sum_labelled_confidence, n_entropy, sum_entropy. Of a box, all cells that it touches, whole."""
    return _sums(database, _of_cells(filter_, level), ("x", "y"), CELL_SUMS)


@at_one_moment
def class_cells(database: Database, filter_: Filter, level: int) -> pd.DataFrame:
    """As `cells`, with the number of predictions of each class, by its code: n_0, n_1, ..."""
    classes = tuple(f"n_{code}" for code in range(len(class_names(database, filter_.model))))
    return _sums(database, _of_cells(filter_, level), ("x", "y"), (*CELL_SUMS, *classes))


@at_one_moment
def quick_level(database: Database, filter_: Filter, level: int) -> int:
    """The finest level, up to `level`, at which `cells` answers quickly: from few rows; `level` where there is none."""
    there = stored(database, filter_.model)
    if there.spread is None:
        return level
    in_sight = _share_in_sight(database, there, filter_)
    coarser = {each for levels in there.kept.values() for each in levels if each < level}
    for tried in (level, *sorted(coarser, reverse=True)):
        days = days_of_rows(parts(there, _of_cells(filter_, tried)))
        if there.spread.rows * days / there.spread.days * in_sight <= QUICK_ROWS:
            return tried
    return level


def _share_in_sight(database: Database, there: Stored, filter_: Filter) -> float:
    """About which share of a model's predictions lies in the box of `filter_`, from coarse cells of all time."""
    levels = there.kept.get(("cell", Period.ALL))
    if filter_.bounds is None or there.spread is None or levels is None:
        return 1.0
    level = min(levels[-1], there.spread.whole + SHARES)
    left, top, shares = database.remembered(("shares", filter_.model), lambda: _shares(database, filter_.model, level))
    rows, columns = (size - 1 for size in shares.shape)
    x0, y0, x1, y1 = (edge >> (grid.DEPTH - level) for edge in grid.from_metres(filter_.bounds))
    first, last = np.clip((x0 - left, x1 + 1 - left), 0, columns)
    upper, lower = np.clip((y0 - top, y1 + 1 - top), 0, rows)
    return float(shares[lower, last] - shares[upper, last] - shares[lower, first] + shares[upper, first])


def _shares(database: Database, model: str, level: int) -> tuple[int, int, npt.NDArray[np.float64]]:
    """The first column and row of cells at `level`; and which share of the predictions lies north-west of each corner.

    [rows + 1, columns + 1], so that any box is a sum of four (Crow 1984, summed-area tables).
    """
    found = _sums(database, _of_cells(Filter(model), level), ("x", "y"), ("n",))
    x, y = (found[axis].to_numpy(np.int64) for axis in ("x", "y"))
    left, top = int(x.min()), int(y.min())
    shares = np.zeros((int(y.max()) - top + 2, int(x.max()) - left + 2))
    shares[y - top + 1, x - left + 1] = found["n"] / found["n"].sum()
    return left, top, shares.cumsum(axis=0).cumsum(axis=1)


def _of_cells(filter_: Filter, level: int) -> Question:
    touched: Cells | None = None
    if filter_.bounds is not None:
        x0, y0, x1, y1 = (edge >> (grid.DEPTH - level) for edge in grid.from_metres(filter_.bounds))
        touched = level, x0, y0, x1, y1
    return Question(filter_, ("cell", "outcome"), touched, level)


def _cells_of(filter_: Filter) -> Cells | None:
    return None if filter_.bounds is None else grid.snapped(filter_.bounds)


def _sums(database: Database, question: Question, groups: tuple[str, ...], sums: tuple[str, ...]) -> pd.DataFrame:
    """Sums by `groups`; those of confidence and entropy in their own unit. In no order but that of days."""
    sql = sums_sql(database, stored(database, question.filter_.model), question, groups, sums)
    if sql is None:
        sql = "SELECT " + ", ".join(f"NULL AS {each}" for each in (*groups, *sums)) + " WHERE false"
    totals = ", ".join(
        f"coalesce({each}, 0) / {MILLION} AS {each}"
        if each.startswith("sum_")
        else f"coalesce({each}, 0)::BIGINT AS {each}"
        for each in sums
    )
    order = " ORDER BY day" if "day" in groups else ""
    return database.frame(f"SELECT {', '.join(groups)}, {totals} FROM ({sql}) WHERE n <> 0{order}")


@at_one_moment
def feature_histogram(
    database: Database, filter_: Filter, feature: str, period_days: int | None = None
) -> pd.DataFrame:
    """Counts of one feature, from rows: region (key of the deepest), bin (numeric) or category, n.

    Both missing is a missing value. With `period_days`, apart for each period of so many days from
    `filter_.start`, counted from 0 in the column `period`.
    """
    with database.cursor() as cursor:
        codes, bins = feature_codes(cursor, filter_.model), bins_of.fitted_bins(cursor, filter_.model)
    bin_, category = "NULL::INTEGER", "NULL::VARCHAR"
    kind = stored_model(database, filter_.model).features.get(feature)
    if kind == "categorical":
        category = feature_column(kind, codes[kind][feature])
    elif kind == "numeric" and feature in bins:
        bin_ = bins[feature].sql(feature_column(kind, codes[kind][feature]))
    return _histogram(database, filter_, bin_, category, period_days)


@at_one_moment
def outcome_histogram(
    database: Database, filter_: Filter, variable: Literal["predicted", "confidence"], period_days: int | None = None
) -> pd.DataFrame:
    """As `feature_histogram`, of the predicted class (category: its code) or of confidence (20 bins)."""
    if variable == "predicted":
        return _histogram(database, filter_, "NULL::INTEGER", "predicted::VARCHAR", period_days)
    return _histogram(database, filter_, CONFIDENCE_BIN, "NULL::VARCHAR", period_days)


def _histogram(database: Database, filter_: Filter, bin_: str, category: str, period_days: int | None) -> pd.DataFrame:
    period = ""
    if period_days is not None:
        period = f"date_diff('day', DATE '{filter_.start:%Y-%m-%d}', predicted_at) // {int(period_days)} AS period,"
    return database.frame(
        f"""SELECT {period} region, {bin_} AS bin, {category} AS category, count(*) AS n
        FROM prediction WHERE {_rows(database, filter_)} GROUP BY ALL"""
    )


def feature_bins(database: Database, model: str) -> dict[str, Bins]:
    """The bins of each numeric feature of `model` that has any value yet."""
    with database.cursor() as cursor:
        return bins_of.fitted_bins(cursor, model)


@at_one_moment
def count(database: Database, filter_: Filter) -> int:
    """The number of predictions."""
    question = Question(filter_, ("cell", "outcome", "region"), _cells_of(filter_))
    return _count(database, stored(database, filter_.model), question)


def _count(database: Database, there: Stored, question: Question) -> int:
    sql = sums_sql(database, there, question, (), ("n",))
    return int(database.rows(f"SELECT coalesce(sum(n), 0)::BIGINT FROM ({sql})")[0][0]) if sql else 0


def content(database: Database, filter_: Filter) -> tuple[str, str]:
    """What stands for the rows of a window, and for their labels: equal where no batch changed them since."""
    rows = database.rows(
        """SELECT kind, sum(hash(batch))::VARCHAR FROM touched_day
        WHERE model = ? AND day >= ? AND day < ? GROUP BY kind""",
        [filter_.model, filter_.start or datetime.min, filter_.end or datetime.max],
    )
    stamps = dict(rows)
    return stamps.get("predictions", "0"), stamps.get("labels", "0")


@at_one_moment
def predictions(database: Database, filter_: Filter, limit: int = 1000, offset: int = 0) -> pd.DataFrame:
    """Single predictions, in order of time and id: id, version, predicted_at, lon, lat, x, y (EPSG:3857 metres),
    region (key), predicted, label (names), confidence, entropy, mutual_information, area_m2."""
    versions = database.rows("SELECT version, key FROM model_version WHERE model = ?", [filter_.model])
    names = " ".join(f"WHEN {key} THEN {literal(version)}" for version, key in versions)
    frame = database.frame(
        f"""SELECT id, {f"CASE version {names} END" if names else "NULL"} AS version, predicted_at,
            {grid.LON} AS lon, {grid.LAT} AS lat, x, y, region,
            {_class_name(database, filter_.model, "predicted")},
            {_class_name(database, filter_.model, "label")}, confidence, entropy, mutual_information, area_m2
        FROM prediction WHERE {_rows(database, filter_)} ORDER BY predicted_at, id, 2 LIMIT ? OFFSET ?""",
        [limit, offset],
    )
    frame["x"], frame["y"] = grid.to_metres(frame["x"].to_numpy() + 0.5, frame["y"].to_numpy() + 0.5)
    return frame


@at_one_moment
def sample(database: Database, filter_: Filter, rows: int, seed: int) -> pd.DataFrame:
    """At most `rows` predictions drawn by a seeded hash of the id, the same every time: the features by name,
    predicted, label (names), confidence."""
    with database.cursor() as cursor:
        codes = feature_codes(cursor, filter_.model)
    wanted = stored_model(database, filter_.model).features
    features = "".join(
        f", {feature_column(kind, code)} AS {quote(name)}"
        for kind, names in codes.items()
        for name, code in names.items()
        if wanted.get(name) == kind
    )
    return database.frame(
        f"""SELECT {_class_name(database, filter_.model, "predicted")}, {_class_name(database, filter_.model, "label")},
            confidence {features}
        FROM prediction WHERE {_rows(database, filter_)}
        ORDER BY hash(id || {literal(str(seed))}), id, version LIMIT ?""",
        [rows],
    )


def _rows(database: Database, filter_: Filter) -> str:
    """SQL condition of `filter_` over `prediction`."""
    there = stored(database, filter_.model)
    return Conditions(database, filter_, there.key, _cells_of(filter_)).of_rows(filter_.start, filter_.end)


def _class_name(database: Database, model: str, column: str) -> str:
    names = ", ".join(literal(name) for name in class_names(database, model))
    return f"[{names}][{column} + 1] AS {column}"
