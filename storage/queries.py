"""What the store answers: sums over part of a model's predictions.

Roll-ups answer where they can (any time window, version, region, class); rows answer what cuts across them (a
box on the map, a range of confidence). Both give the same sums.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd

from storage import grid, rollups
from storage.catalog import class_names, feature_codes, stored_model
from storage.database import Database, quote
from storage.records import Window
from storage.regions import region_set
from storage.validation import literal


@dataclass(frozen=True, slots=True)
class Filter:
    """Which predictions of a model are meant.

    `start` ≤ time < `end`, whole days in UTC. `region` (an id) includes all that lies in it. `classes` are
    predicted classes; none means all. `confidence` is low ≤ c < high, or ≤ where high is 1. `bounds` are
    (xmin, ymin, xmax, ymax) in EPSG:3857 metres.
    """

    model: str
    version: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    region: str | None = None
    classes: tuple[str, ...] = ()
    confidence: tuple[float, float] | None = None
    bounds: grid.Bounds | None = None


class Condition:
    """SQL for a Filter, over the rows or over a roll-up."""

    def __init__(self, database: Database, filter_: Filter, *, rollup: bool) -> None:
        self.parameters: list[Any] = [filter_.model]
        self.parts = ["model = ?"]
        time = "day" if rollup else "predicted_at"
        if filter_.version is not None:
            self.add("version = ?", filter_.version)
        if filter_.start is not None:
            self.add(f"{time} >= ?", filter_.start)
        if filter_.end is not None:
            self.add(f"{time} < ?", filter_.end)
        if filter_.region is not None:
            known = region_set(database, stored_model(database, filter_.model).regions)
            self.parts.append(f"region IN ({', '.join(str(key) for key in known.descendants(filter_.region))})")
        if filter_.classes:
            names = class_names(database, filter_.model)
            codes = [str(names.index(name)) for name in filter_.classes if name in names]
            self.parts.append(f"predicted IN ({', '.join(codes) or 'NULL'})")
        if not rollup:
            self._rows_only(filter_)

    def _rows_only(self, filter_: Filter) -> None:
        if filter_.confidence is not None:
            low, high = filter_.confidence
            self.add("confidence >= ?", low)
            self.add("confidence <= ?" if high >= 1 else "confidence < ?", high)
        if filter_.bounds is not None:
            first_x, first_y, last_x, last_y = grid.from_metres(filter_.bounds)
            self.parts.append(f"x BETWEEN {first_x} AND {last_x} AND y BETWEEN {first_y} AND {last_y}")

    def add(self, sql: str, value: Any) -> None:
        self.parts.append(sql)
        self.parameters.append(value)

    def __str__(self) -> str:
        return " AND ".join(self.parts)


def needs_rows(filter_: Filter) -> bool:
    """Whether only rows can answer, not the roll-up of regions."""
    return filter_.confidence is not None or filter_.bounds is not None


def extent(database: Database, model: str) -> grid.Bounds | None:
    """The box (xmin, ymin, xmax, ymax) in EPSG:3857 metres that holds every prediction of `model`."""
    ((west, north, east, south),) = database.rows(
        "SELECT min(x), min(y), max(x), max(y) FROM prediction WHERE model = ?", [model]
    )
    if west is None:
        return None
    (xmin, xmax), (ymax, ymin) = grid.to_metres(np.array([west, east + 1]), np.array([north, south + 1]))
    return float(xmin), float(ymin), float(xmax), float(ymax)


def time_extent(database: Database, model: str) -> Window | None:
    """The days that hold every prediction of `model`: from the first, to the day after the last."""
    ((first, last),) = database.rows(
        "SELECT min(day), max(day) FROM (SELECT day FROM region_rollup WHERE model = ? GROUP BY day HAVING sum(n) > 0)",
        [model],
    )
    if first is None:
        return None
    return Window(
        datetime(first.year, first.month, first.day), datetime(last.year, last.month, last.day) + timedelta(days=1)
    )


def base_level(database: Database, model: str) -> int:
    """The finest level of the model's cell pyramid."""
    rows = database.rows("SELECT base_level FROM model WHERE name = ?", [model])
    return int(rows[0][0]) if rows and rows[0][0] is not None else 0


def outcomes(database: Database, filter_: Filter) -> pd.DataFrame:
    """Sums by predicted class, label and confidence bin: enough for accuracy, confusion, calibration, histogram.

    Columns: predicted, label (class codes; label missing: no label yet), confidence_bin (missing: no confidence),
    n, sum_confidence, sum_confidence2, n_entropy, sum_entropy, n_area, sum_area.
    """
    return _outcomes(database, filter_, "")


def outcomes_by_region(database: Database, filter_: Filter) -> pd.DataFrame:
    """As `outcomes`, for each region apart: `region` is the key of the deepest region of a row, 0 for none."""
    return _outcomes(database, filter_, "region,")


def outcomes_by_version_and_region(database: Database, filter_: Filter) -> pd.DataFrame:
    """As `outcomes_by_region`, for each version apart."""
    return _outcomes(database, filter_, "version, region,")


def _outcomes(database: Database, filter_: Filter, groups: str) -> pd.DataFrame:
    if needs_rows(filter_):
        source, bin_ = "prediction", rollups.CONFIDENCE_BIN
        sums = """count(*) AS n, coalesce(sum(confidence), 0) AS sum_confidence,
            coalesce(sum(confidence * confidence), 0) AS sum_confidence2,
            count(entropy) AS n_entropy, coalesce(sum(entropy::DOUBLE), 0) AS sum_entropy,
            count(area_m2) AS n_area, coalesce(sum(area_m2), 0) AS sum_area"""
    else:
        source, bin_ = "region_rollup", "confidence_bin"
        sums = """sum(n)::BIGINT AS n, sum(sum_confidence) AS sum_confidence, sum(sum_confidence2) AS sum_confidence2,
            sum(n_entropy)::BIGINT AS n_entropy, sum(sum_entropy) AS sum_entropy,
            sum(n_area)::BIGINT AS n_area, sum(sum_area) AS sum_area"""
    condition = Condition(database, filter_, rollup=source != "prediction")
    return database.frame(
        f"SELECT {groups} predicted, label, {bin_} AS confidence_bin, {sums} FROM {source} "
        f"WHERE {condition} GROUP BY ALL HAVING n <> 0 ORDER BY ALL",
        condition.parameters,
    )


def outcomes_by_day(database: Database, filter_: Filter) -> pd.DataFrame:
    """Sums by day: day, n, n_labelled, n_correct, n_confidence, sum_confidence, sum_labelled_confidence."""
    rows = needs_rows(filter_)
    condition = Condition(database, filter_, rollup=not rows)
    day, n, confidence = ("predicted_at::DATE", "1", "confidence") if rows else ("day", "n", "sum_confidence")
    has_confidence = "confidence IS NOT NULL" if rows else "confidence_bin IS NOT NULL"
    return database.frame(
        f"""SELECT {day} AS day, sum({n})::BIGINT AS n,
            coalesce(sum({n}) FILTER (label IS NOT NULL), 0)::BIGINT AS n_labelled,
            coalesce(sum({n}) FILTER (label = predicted), 0)::BIGINT AS n_correct,
            coalesce(sum({n}) FILTER ({has_confidence}), 0)::BIGINT AS n_confidence,
            coalesce(sum({confidence}), 0) AS sum_confidence,
            coalesce(sum({confidence}) FILTER (label IS NOT NULL), 0) AS sum_labelled_confidence
        FROM {"prediction" if rows else "region_rollup"} WHERE {condition}
        GROUP BY 1 HAVING sum({n}) <> 0 ORDER BY 1""",
        condition.parameters,
    )


CELL_SUMS = "n, n_labelled, n_correct, n_confidence, sum_confidence, n_entropy, sum_entropy"
CELL_COUNTS = ("n", "n_labelled", "n_correct", "n_confidence", "n_entropy")


def cells(database: Database, filter_: Filter, level: int) -> pd.DataFrame:
    """Sums by map cell of `level`: x, y (cell indices), n, n_labelled, n_correct, n_confidence, sum_confidence,
    n_entropy, sum_entropy. From the roll-up where it can answer, else from rows; the sums are the same."""
    return _cells(database, filter_, level, "")


def class_cells(database: Database, filter_: Filter, level: int) -> pd.DataFrame:
    """As `cells`, for each predicted class (its code in `predicted`) apart."""
    return _cells(database, filter_, level, "predicted,")


def _cells(database: Database, filter_: Filter, level: int, groups: str) -> pd.DataFrame:
    base = base_level(database, filter_.model)
    stored = [kept for kept in rollups.cell_levels(base) if kept >= level]
    if filter_.region is not None or filter_.confidence is not None or not stored:
        condition = Condition(database, filter_, rollup=False)
        return database.frame(
            f"""SELECT {groups} x >> {grid.DEPTH - level} AS x, y >> {grid.DEPTH - level} AS y,
                count(*) AS n, count(label) AS n_labelled, count(*) FILTER (label = predicted) AS n_correct,
                count(confidence) AS n_confidence, coalesce(sum(confidence), 0) AS sum_confidence,
                count(entropy) AS n_entropy, coalesce(sum(entropy::DOUBLE), 0) AS sum_entropy
            FROM prediction WHERE {condition} GROUP BY ALL""",
            condition.parameters,
        )
    kept = min(stored)
    condition = Condition(database, filter_, rollup=True)
    condition.parts.append(f"level = {kept}")
    if filter_.bounds is not None:
        first_x, first_y, last_x, last_y = (value >> (grid.DEPTH - kept) for value in grid.from_metres(filter_.bounds))
        condition.parts.append(f"x BETWEEN {first_x} AND {last_x} AND y BETWEEN {first_y} AND {last_y}")
    sums = ", ".join(
        f"sum({name})::BIGINT AS {name}" if name in CELL_COUNTS else f"sum({name}) AS {name}"
        for name in CELL_SUMS.split(", ")
    )
    return database.frame(
        f"""SELECT {groups} x >> {kept - level} AS x, y >> {kept - level} AS y, {sums}
        FROM cell_rollup WHERE {condition} GROUP BY ALL HAVING n <> 0""",
        condition.parameters,
    )


def feature_histogram(
    database: Database, filter_: Filter, feature: str, period_days: int | None = None
) -> pd.DataFrame:
    """Counts of one feature: region (key of the deepest), bin (numeric) or category, n.

    Both missing is a missing value. With `period_days`, apart for each period of so many days from
    `filter_.start`, counted from 0 in the column `period`.
    """
    condition = Condition(database, filter_, rollup=True)
    condition.add("feature = ?", feature)
    return _histogram(database, "feature_rollup", "bin, category", condition, filter_, period_days)


def outcome_histogram(
    database: Database, filter_: Filter, variable: Literal["predicted", "confidence"], period_days: int | None = None
) -> pd.DataFrame:
    """As `feature_histogram`, of the predicted class (category: its code) or of confidence (20 bins)."""
    condition = Condition(database, filter_, rollup=True)
    if variable == "predicted":
        columns = "NULL::INTEGER AS bin, predicted::VARCHAR AS category"
    else:
        columns = "confidence_bin AS bin, NULL::VARCHAR AS category"
    return _histogram(database, "region_rollup", columns, condition, filter_, period_days)


def _histogram(
    database: Database,
    rollup: str,
    columns: str,
    condition: Condition,
    filter_: Filter,
    period_days: int | None,
) -> pd.DataFrame:
    period, parameters = "", list(condition.parameters)
    if period_days is not None:
        period = f"date_diff('day', ?::DATE, day) // {int(period_days)} AS period,"
        parameters.insert(0, filter_.start)
    return database.frame(
        f"""SELECT {period} region, {columns}, sum(n)::BIGINT AS n
        FROM {rollup} WHERE {condition} GROUP BY ALL HAVING sum(n) <> 0""",
        parameters,
    )


@dataclass(frozen=True, slots=True)
class Bins:
    """Where the bins of a numeric feature lie: bin = floor((value − origin) ÷ width), in the feature's unit."""

    origin: float
    width: float


def feature_bins(database: Database, model: str) -> dict[str, Bins]:
    """The bins of each numeric feature of `model` that has any value yet."""
    with database.cursor() as cursor:
        return {name: Bins(*bins) for name, bins in rollups.feature_bins(cursor, model).items()}


def count(database: Database, filter_: Filter) -> int:
    """The number of predictions."""
    condition = Condition(database, filter_, rollup=not needs_rows(filter_))
    source = "count(*) FROM prediction" if needs_rows(filter_) else "coalesce(sum(n), 0)::BIGINT FROM region_rollup"
    return int(database.rows(f"SELECT {source} WHERE {condition}", condition.parameters)[0][0])


def content(database: Database, filter_: Filter) -> tuple[str, str]:
    """What stands for the rows, and for their labels: equal where nothing that is rolled up by region changed."""
    condition = Condition(database, filter_, rollup=True)
    rows, labels = (
        f"""SELECT coalesce(sum(hash({columns}, n)), 0)::VARCHAR FROM (
            SELECT {columns}, sum(n)::BIGINT AS n FROM region_rollup WHERE {condition} GROUP BY ALL HAVING n <> 0)"""
        for columns in (
            "version, day, region, predicted, confidence_bin",
            "version, day, region, predicted, confidence_bin, label",
        )
    )
    ((of_rows, of_labels),) = database.rows(f"SELECT ({rows}), ({labels})", condition.parameters * 2)
    return of_rows, of_labels


def predictions(database: Database, filter_: Filter, limit: int = 1000, offset: int = 0) -> pd.DataFrame:
    """Single predictions, in order of time and id: id, version, predicted_at, lon, lat, x, y (EPSG:3857 metres),
    region (key), predicted, label (names), confidence, entropy, mutual_information, area_m2."""
    condition = Condition(database, filter_, rollup=False)
    frame = database.frame(
        f"""SELECT id, version, predicted_at, lon, lat, x, y, region,
            {_class_name(database, filter_.model, "predicted")},
            {_class_name(database, filter_.model, "label")}, confidence, entropy, mutual_information, area_m2
        FROM prediction WHERE {condition} ORDER BY predicted_at, id, version LIMIT ? OFFSET ?""",
        [*condition.parameters, limit, offset],
    )
    frame["x"], frame["y"] = grid.to_metres(frame["x"].to_numpy() + 0.5, frame["y"].to_numpy() + 0.5)
    return frame


def sample(database: Database, filter_: Filter, rows: int, seed: int) -> pd.DataFrame:
    """At most `rows` predictions drawn by a seeded hash of the id, the same every time: the features by name,
    predicted, label (names), confidence."""
    condition = Condition(database, filter_, rollup=False)
    with database.cursor() as cursor:
        codes = feature_codes(cursor, filter_.model)
    wanted = stored_model(database, filter_.model).features
    features = "".join(
        f", {kind}_features[{code}] AS {quote(name)}"
        for kind, names in codes.items()
        for name, code in names.items()
        if wanted.get(name) == kind
    )
    return database.frame(
        f"""SELECT {_class_name(database, filter_.model, "predicted")}, {_class_name(database, filter_.model, "label")},
            confidence {features}
        FROM prediction WHERE {condition} ORDER BY hash(id || {literal(str(seed))}), id, version LIMIT ?""",
        [*condition.parameters, rows],
    )


def _class_name(database: Database, model: str, column: str) -> str:
    names = ", ".join(literal(name) for name in class_names(database, model))
    return f"[{names}][{column} + 1] AS {column}"
