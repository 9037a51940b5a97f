"""Additive roll-ups, kept in the same transaction as the rows they sum.

Whatever changes is written as a difference: what a row was is subtracted, what it is now is added. The tables
therefore only grow by small rows, and a reader always sums (Gray et al. 1997, Data Cube: distributive aggregates).

Each roll-up is kept at levels of time (`storage.periods`) and, by cell, of space: every level down to the finest
whose cells still hold many rows on average. Finer than that a roll-up would have as many rows as there are
predictions, and the predictions themselves are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from storage.grid import DEPTH, FINEST, level_for, near_sql
from storage.lake import gathered
from storage.periods import DAY, Period

BINS = 20  # of confidence
MILLION = 1_000_000  # sums of confidence and entropy count millionths
WEEK_MS = 7 * 86_400_000
COARSEST = 2  # halvings of the model's extent at the coarsest level by cell

# How many rows a cell (or region) of a period has to hold on average for its roll-up to be kept: several times the rows
# it makes of them, the more so where a window reads many periods. And how many periods there have to be.
LEAST_ROWS = {
    "cell": {Period.ALL: 24, Period.MONTH: 48, Period.WEEK: 48, Period.DAY: 48},
    "day": {Period.DAY: 8},
    "outcome": {Period.ALL: 600, Period.MONTH: 1200, Period.WEEK: 1200, Period.DAY: 1000},
    "region": {Period.ALL: 600, Period.MONTH: 600, Period.WEEK: 600, Period.DAY: 1200},
}
LEAST_PERIODS = 4

# Without the CASE, least() would pass over a missing confidence and answer the last bin.
CONFIDENCE_BIN = (
    f"CASE WHEN confidence IS NOT NULL THEN CAST(least(floor(confidence * {BINS}), {BINS - 1}) AS TINYINT) END"
)
_ROUNDED = f"round(confidence * {MILLION})"

# What each stored sum is of a single prediction. Counted is what lacks a confidence or entropy: zeros pack well.
OF_ROW = {
    "n": "1",
    "n_labelled": "(label IS NOT NULL)::TINYINT",
    "n_correct": "coalesce(label = predicted, false)::TINYINT",
    "n_without_confidence": "(confidence IS NULL)::TINYINT",
    "sum_confidence": f"coalesce({_ROUNDED}, 0)",
    "sum_labelled_confidence": f"CASE WHEN label IS NULL THEN 0 ELSE coalesce({_ROUNDED}, 0) END",
    "sum_confidence2": f"coalesce(round(confidence * confidence * {MILLION}), 0)",
    "n_without_entropy": "(entropy IS NULL)::TINYINT",
    "sum_entropy": f"coalesce(round(entropy::DOUBLE * {MILLION}), 0)",
}
# The same as aggregates over predictions, in the form that DuckDB computes fastest.
READ_ROWS = {
    "n": "count(*)",
    "n_labelled": "count(label)",
    "n_correct": "count(CASE WHEN label = predicted THEN 1 END)",
    "n_confidence": "count(confidence)",
    "sum_confidence": f"sum({_ROUNDED})",
    "sum_labelled_confidence": f"sum(CASE WHEN label IS NOT NULL THEN {_ROUNDED} END)",
    "sum_confidence2": f"sum(round(confidence * confidence * {MILLION}))",
    "n_entropy": "count(entropy)",
    "sum_entropy": f"sum(round(entropy::DOUBLE * {MILLION}))",
}
# What a sum is of a row of a roll-up that does not hold it under its own name.
DERIVED = {
    "n_labelled": "CASE WHEN label IS NULL THEN 0 ELSE n END",
    "n_correct": "CASE WHEN label = predicted THEN n ELSE 0 END",
    "n_confidence": "CASE WHEN confidence_bin IS NULL THEN 0 ELSE n END",
    "n_entropy": "n - n_without_entropy",
    "sum_labelled_confidence": "CASE WHEN label IS NULL THEN 0 ELSE sum_confidence END",
}

CELL_SUMS = (
    "n", "n_labelled", "n_correct", "n_confidence", "sum_confidence", "sum_labelled_confidence", "n_entropy",
    "sum_entropy",
)  # fmt: skip
DAY_SUMS = ("n", "n_labelled", "n_correct", "n_confidence", "sum_confidence", "sum_labelled_confidence")
OUTCOME = ("predicted", "label", "confidence_bin")
OUTCOME_SUMS = ("n", "sum_confidence", "sum_confidence2")


_CELL = ("n", "n_labelled", "n_correct", "n_without_confidence", "sum_confidence", "sum_labelled_confidence")


@dataclass(frozen=True)
class Rollup:
    """A roll-up table `<name>_rollup`: what it groups by besides model, version and start of the period; its sums."""

    name: str
    by_cell: bool
    groups: tuple[str, ...]
    sums: tuple[str, ...]
    step: int = 1  # from one level that is kept to the next

    @property
    def table(self) -> str:
        return f"{self.name}_rollup"

    @property
    def order(self) -> str:
        """By what its rows are sorted. Cells by tiles, and tiles of tiles: a view reads few row groups."""
        return "level, start, y >> 6, x >> 6, y >> 3, x >> 3" if self.by_cell else "start, region"

    @property
    def keys(self) -> tuple[str, ...]:
        """What it groups by besides model, version and period."""
        return (*(("level", "x", "y") if self.by_cell else ("region",)), *self.groups)

    def expression(self, name: str) -> str:
        """SQL for the sum `name` of one of its rows."""
        if name == "n_confidence" and "n_without_confidence" in self.sums:
            return "n - n_without_confidence"
        return name if name in self.sums else DERIVED[name]


ROLLUPS = {
    rollup.name: rollup
    for rollup in (
        Rollup("cell", True, ("predicted",), (*_CELL, "n_without_entropy", "sum_entropy")),
        Rollup("day", True, (), _CELL),
        Rollup("outcome", True, OUTCOME, (*OUTCOME_SUMS, "n_without_entropy", "sum_entropy"), 2),
        Rollup("region", False, OUTCOME, OUTCOME_SUMS),
    )
}

Kept = dict[tuple[str, Period], tuple[int, ...]]  # levels by roll-up and period, coarsest first; (0,) by region


@dataclass(frozen=True)
class Spread:
    """How many predictions of a model there are, and what they span: positions on the map, and days."""

    rows: int
    west: int
    north: int
    east: int
    south: int
    first: date
    last: date

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.last + DAY

    @property
    def days(self) -> int:
        return (self.end - self.first).days

    def period_rows(self, period: Period) -> float:
        """The number of rows of a period, on average."""
        return self.rows * min(1.0, period.days / self.days)

    @property
    def whole(self) -> int:
        """The level at which one cell is about as large as the extent."""
        return level_for(max(self.east - self.west, self.south - self.north, 1), 1)

    @property
    def order(self) -> str:
        """SQL by which predictions are sorted: by week, then by place, so that a deep zoom reads few row groups."""
        return f"((epoch_ms(predicted_at) // {WEEK_MS}) << 32) | {near_sql(min(self.whole + 12, DEPTH))}"

    def finest(self, cells: float) -> int:
        """The finest level at which the extent is no more than so many cells; below `whole` where there is none."""
        level = self.whole - 1
        while level < FINEST:
            size = 1 << (DEPTH - level - 1)
            if ((self.east - self.west) / size + 1) * ((self.south - self.north) / size + 1) > cells:
                break
            level += 1
        return level

    def __or__(self, other: "Spread") -> "Spread":
        return Spread(
            self.rows + other.rows,
            min(self.west, other.west), min(self.north, other.north),
            max(self.east, other.east), max(self.south, other.south),
            min(self.first, other.first), max(self.last, other.last),
        )  # fmt: skip


def spread_of(connection: duckdb.DuckDBPyConnection, rows: str) -> Spread | None:
    """The spread of a relation of predictions; None where it is empty."""
    found = connection.execute(f"""
        SELECT count(*), min(x), min(y), max(x), max(y), min(predicted_at)::DATE, max(predicted_at)::DATE FROM {rows}
    """).fetchone()
    return Spread(*found) if found and found[0] else None


def stored_spread(connection: duckdb.DuckDBPyConnection, model: str) -> Spread | None:
    """The spread of what is stored of `model`; None where there is nothing."""
    found = connection.execute(
        """SELECT sum(accepted)::BIGINT, min(west), min(north), max(east), max(south), min(first_day), max(last_day)
        FROM batch WHERE model = ? AND kind = 'predictions'""",
        [model],
    ).fetchone()
    return Spread(*found) if found and found[0] else None


def wanted_levels(spread: Spread, regions: int) -> Kept:
    """The levels to keep of a model with that spread and so many regions."""
    wanted: Kept = {}
    for rollup in ROLLUPS.values():
        for period, least in LEAST_ROWS[rollup.name].items():
            if period is not Period.ALL and spread.days < LEAST_PERIODS * period.days:
                continue
            places = spread.period_rows(period) / least
            if not rollup.by_cell:
                if places >= regions + 1:
                    wanted[rollup.name, period] = (0,)
            elif levels := range(spread.finest(places), spread.whole + COARSEST - 1, -rollup.step):
                wanted[rollup.name, period] = tuple(reversed(levels))
    return wanted


def kept_levels(connection: duckdb.DuckDBPyConnection, key: int) -> Kept:
    """The levels that are kept of the model `key`."""
    kept: dict[tuple[str, Period], list[int]] = {}
    for name, period, level in connection.execute(
        "SELECT rollup, period, level FROM rollup_level WHERE model = ? ORDER BY rollup, period, level", [key]
    ).fetchall():
        kept.setdefault((name, Period(period)), []).append(level)
    return {place: tuple(levels) for place, levels in kept.items()}


def outdated(kept: Kept, wanted: Kept) -> Kept:
    """What of `wanted` is to be made anew: where finer levels have become worth it, or the extent has grown.

    What is kept a little finer than wanted stays: rows come and go.
    """
    anew: Kept = {}
    for place, new in wanted.items():
        old = kept.get(place, ())
        if not (old and new[-1] <= old[-1] <= new[-1] + 1 and old[0] <= new[0] + 2):
            anew[place] = new
    return anew


def rebuild(connection: duckdb.DuckDBPyConnection, key: int, levels: Kept) -> None:
    """Make these roll-ups of the model `key` anew, at these levels, from its rows."""
    for name, period in levels:
        table = ROLLUPS[name].table
        connection.execute(f"DELETE FROM {table} WHERE model = ? AND period = ?", [key, int(period)])
        connection.execute(
            "DELETE FROM rollup_level WHERE model = ? AND rollup = ? AND period = ?", [key, name, int(period)]
        )
    keep(connection, key, levels)
    write_differences(connection, key, f"(SELECT *, 1 AS sign FROM prediction WHERE model = {key})", levels)


def keep(connection: duckdb.DuckDBPyConnection, key: int, levels: Kept) -> None:
    """Put down that these levels are kept of the model `key`."""
    rows = [f"({key}, '{name}', {int(period)}, {level})" for (name, period), kept in levels.items() for level in kept]
    if rows:  # in one statement, which on a lake is one file
        connection.execute(f"INSERT INTO rollup_level VALUES {', '.join(rows)}")


def write_differences(connection: duckdb.DuckDBPyConnection, key: int, changes: str, levels: Kept) -> None:
    """Add the rows of the relation `changes` to the roll-ups of the model `key` at these levels.

    `changes` holds prediction rows with `sign` 1 (is now) or -1 (was).
    """
    _write(connection, key, changes, {each: f"sign * {of_row}" for each, of_row in OF_ROW.items()}, levels)


def write_labels(connection: duckdb.DuckDBPyConnection, key: int, relabelled: str, levels: Kept) -> None:
    """As `write_differences`, where nothing but labels changes: `relabelled` holds prediction rows with `new_label`."""
    grouped = {place: each for place, each in levels.items() if "label" in ROLLUPS[place[0]].groups}
    signed = f"""(
        SELECT * REPLACE (new_label AS label), 1 AS sign FROM {relabelled}
        UNION ALL SELECT *, -1 AS sign FROM {relabelled}
    )"""
    write_differences(connection, key, signed, grouped)
    # Of the others one row a label says what it adds.
    sums = {name: OF_ROW[name] for name in ("n_labelled", "n_correct", "sum_labelled_confidence")}
    net = {name: f"{of_row.replace('label', 'new_label')} - {of_row}" for name, of_row in sums.items()}
    _write(connection, key, relabelled, net, {place: each for place, each in levels.items() if place not in grouped})


def _write(
    connection: duckdb.DuckDBPyConnection, key: int, changes: str, sums: Mapping[str, str], levels: Kept
) -> None:
    """Add to the roll-ups what `sums` (SQL) are of each row of `changes`; the other sums stay as they are."""
    if not levels:
        return
    summed = ", ".join(
        f"CAST({each} AS {'INTEGER' if name.startswith('sum_') else 'TINYINT'}) AS {name}"
        for name, each in sums.items()
    )
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE change AS
        SELECT version, CAST(predicted_at AS DATE) AS day, x, y, region, predicted, label,
            {CONFIDENCE_BIN} AS confidence_bin, {summed}
        FROM {changes}
    """)
    with gathered(connection, [rollup.table for rollup in ROLLUPS.values()]):
        for name, rollup in ROLLUPS.items():
            periods = sorted((period for kept, period in levels if kept == name), reverse=True)
            added = [each for each in rollup.sums if each in sums]
            days = None
            for period in periods:
                if rollup.by_cell:
                    _write_cells(connection, key, rollup, period, levels[name, period], added)
                elif days is None:
                    _difference(connection, rollup, period, None, added)
                    _insert(connection, key, rollup, period, added)
                    days = period if period is Period.DAY else None
                    if days:
                        connection.execute("CREATE OR REPLACE TEMP TABLE by_day AS FROM difference")
                else:
                    connection.execute(f"""
                        CREATE OR REPLACE TEMP TABLE difference AS
                        SELECT version, {period.start_sql("start")} AS start, {", ".join(rollup.keys)}, {_totals(added)}
                        FROM by_day GROUP BY ALL
                    """)
                    _insert(connection, key, rollup, period, added)
    for table in ("change", "by_day", "difference"):
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")


def _totals(sums: Sequence[str]) -> str:
    return ", ".join(f"sum({each})::BIGINT AS {each}" for each in sums)


def _write_cells(
    connection: duckdb.DuckDBPyConnection,
    key: int,
    rollup: Rollup,
    period: Period,
    levels: tuple[int, ...],
    sums: Sequence[str],
) -> None:
    _difference(connection, rollup, period, levels[-1], sums)
    _insert(connection, key, rollup, period, sums)
    for level in reversed(levels[:-1]):  # each from the next finer one
        coarser = f"{level}::TINYINT AS level", *(f"{axis} >> {rollup.step} AS {axis}" for axis in ("x", "y"))
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE difference AS
            SELECT {", ".join(("version", "start", *coarser, *rollup.groups))}, {_totals(sums)}
            FROM difference GROUP BY ALL
        """)
        _insert(connection, key, rollup, period, sums)


def _difference(
    connection: duckdb.DuckDBPyConnection, rollup: Rollup, period: Period, level: int | None, sums: Sequence[str]
) -> None:
    """Make `difference` from `change`, at one level of time and (by cell) of space."""
    place: tuple[str, ...] = ("region",)
    if level is not None:
        place = f"{level}::TINYINT AS level", *(f"{axis} >> {DEPTH - level} AS {axis}" for axis in ("x", "y"))
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE difference AS
        SELECT version, {period.start_sql("day")} AS start, {", ".join((*place, *rollup.groups))}, {_totals(sums)}
        FROM change GROUP BY ALL
    """)


def _insert(
    connection: duckdb.DuckDBPyConnection, key: int, rollup: Rollup, period: Period, sums: Sequence[str]
) -> None:
    columns = ", ".join(("start", *rollup.keys, *sums))
    others = [each for each in rollup.sums if each not in sums]
    some = " OR ".join(f"{each} <> 0" for each in sums)
    connection.execute(f"""
        INSERT INTO {rollup.table} ({", ".join(["model", "version", "period", *others])}, {columns})
        SELECT {key}, version, {", ".join([str(int(period)), *("0" for _ in others)])}, {columns}
        FROM difference WHERE {some} ORDER BY {rollup.order}
    """)
