"""What many small writes leave behind is put in order: answers stay the same, and are read from less.

Folding makes one row again of a row of a roll-up and its later differences. Sorting puts the predictions of a week,
which came in by day, in the order of the map, so that a deep zoom reads few row groups of it.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial

import duckdb

from storage.database import Database
from storage.periods import DAY, Period
from storage.rollups import ROLLUPS, Rollup, kept_levels, stored_spread

WORTH = 1.25  # a roll-up is folded where it has so many times the rows that it needs


@dataclass(frozen=True, slots=True)
class Compaction:
    """What was done: rows of roll-ups before and after folding, and how many weeks of predictions were sorted."""

    rows_before: int
    rows_after: int
    weeks_sorted: int


def compact(database: Database) -> Compaction:
    """Fold the roll-ups of every model, and sort the weeks that came in by parts. Each is a transaction of its own."""
    before, after, weeks = 0, 0, 0
    for model, key in database.rows("SELECT name, key FROM model ORDER BY name"):
        with database.cursor() as cursor:
            kept = kept_levels(cursor, key)
        for name, period in kept:
            found = database.write(partial(_fold, key=key, rollup=ROLLUPS[name], period=period))
            before, after = before + found[0], after + found[1]
        # A lake sorts its files by itself.
        for week, batches in [] if database.shared else _in_parts(database, model):
            database.write(partial(_sort, model=model, key=key, week=week, batches=batches))
            weeks += 1
    return Compaction(before, after, weeks)


def _fold(connection: duckdb.DuckDBPyConnection, key: int, rollup: Rollup, period: Period) -> tuple[int, int]:
    """Sum the rows of one level of time that are of the same place; how many there were, and are."""
    condition = f"model = {key} AND period = {int(period)}"
    keys, sums = ("version", "start", *rollup.keys), ", ".join(f"sum({each})::BIGINT AS {each}" for each in rollup.sums)
    some = " OR ".join(f"sum({each}) <> 0" for each in rollup.sums)
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE folded AS
        SELECT {", ".join(keys)}, {sums} FROM {rollup.table} WHERE {condition} GROUP BY {", ".join(keys)} HAVING {some}
    """)
    before, after = connection.execute(
        f"SELECT (SELECT count(*) FROM {rollup.table} WHERE {condition}), (SELECT count(*) FROM folded)"
    ).fetchone() or (0, 0)
    if before >= WORTH * after and before > after:
        columns = ", ".join((*keys, *rollup.sums))
        connection.execute(f"DELETE FROM {rollup.table} WHERE {condition}")
        connection.execute(f"""
            INSERT INTO {rollup.table} (model, period, {columns})
            SELECT {key}, {int(period)}, {columns} FROM folded ORDER BY {rollup.order}
        """)
    connection.execute("DROP TABLE temp.folded")
    return before, after


def _in_parts(database: Database, model: str) -> list[tuple[date, int]]:
    """The weeks of `model`, but for its last, in which more batches put predictions than when it was last sorted."""
    return database.rows(
        """SELECT week, batches FROM (
            SELECT date_trunc('week', day)::DATE AS week, count(DISTINCT batch) AS batches
            FROM touched_day WHERE model = ? AND kind = 'predictions' GROUP BY week
        ) LEFT JOIN (
            SELECT week, max(batches) AS sorted FROM sorted_week WHERE model = ? GROUP BY week
        ) USING (week)
        WHERE batches > coalesce(sorted, 1)
            AND week < (SELECT max(date_trunc('week', day)) FROM touched_day WHERE model = ?)
        ORDER BY week""",
        [model, model, model],
    )


def _sort(connection: duckdb.DuckDBPyConnection, model: str, key: int, week: date, batches: int) -> None:
    spread = stored_spread(connection, model)
    assert spread is not None  # of a model that has a week
    first, end = (f"TIMESTAMP_MS '{day}'" for day in (week, week + 7 * DAY))
    condition = f"model = {key} AND predicted_at >= {first} AND predicted_at < {end}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE sorted AS FROM prediction WHERE {condition} ORDER BY {spread.order}"
    )
    connection.execute(f"DELETE FROM prediction WHERE {condition}")
    connection.execute("INSERT INTO prediction BY NAME FROM sorted; DROP TABLE temp.sorted")
    connection.execute("INSERT INTO sorted_week VALUES (?, ?, ?)", [model, week, batches])
