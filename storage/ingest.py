"""Predictions go in: each row is accepted, unchanged, replaced or refused; none is lost or doubled."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from storage import rollups
from storage.batches import Batch, all_differ, count, dropping, record, refuse, touch
from storage.catalog import FeatureCodes, class_codes, feature_codes, feature_columns, model_key, version_keys
from storage.database import Database
from storage.feature_bins import fit_bins
from storage.models import Model
from storage.readers import Source, open_source, table_source
from storage.records import BatchResult
from storage.region_lookup import RegionLookup
from storage.regions import lookup_for
from storage.rollups import Spread
from storage.staging import columns_of, judge_predictions
from storage.validation import Layout, Typed, literal, prediction_columns

# What a prediction says. Two rows that agree in all of this and in their features are the same prediction.
CONTENT = (
    "predicted_at", "x", "y", "predicted", "confidence", "probabilities", "entropy", "mutual_information", "area_m2",
)  # fmt: skip
STORED = ("id", "model", "version", *CONTENT, "region", "label", "labelled_at")
TABLES = ("judged", "superseded", "latest", "matched", "gone", "arrived", "sorted")


def ingest_file(database: Database, model: Model, path: Path) -> BatchResult:
    """Put the predictions in the file `path` into the database, and say what became of each row.

    A prediction is known by model, version and id: the same again changes nothing, the same id with other
    content replaces the row. Labels that are known already stay where the file has none.
    Raises InvalidFileError, with nothing changed, where the file cannot be read or lacks a column.
    """
    return database.write(
        lambda connection: _ingest(
            connection,
            model,
            path.name,
            lambda: open_source(connection, path, model.crs),
            lookup_for(database, model.regions),
        )
    )


def ingest_table(
    database: Database, model: Model, table: pa.Table, source: str, content_hash: str | None = None
) -> BatchResult:
    """Put the predictions in an Arrow table into the database; `source` says in the records where they are from.

    `content_hash` is to be given where the table was made from something else that stands for its content.
    """

    def open_(connection: duckdb.DuckDBPyConnection) -> Source:
        opened = table_source(connection, table)
        return opened if content_hash is None else replace(opened, content_hash=content_hash)

    return database.write(
        lambda connection: _ingest(
            connection, model, source, lambda: open_(connection), lookup_for(database, model.regions)
        )
    )


def _ingest(
    connection: duckdb.DuckDBPyConnection,
    model: Model,
    name: str,
    open_: Callable[[], Source],
    lookup: RegionLookup | None,
) -> BatchResult:
    started = time.perf_counter()
    codes, features = class_codes(connection, model.name), feature_codes(connection, model.name)
    key, before = model_key(connection, model.name), rollups.stored_spread(connection, model.name)
    with dropping(connection, TABLES, ("arriving",)):
        source = open_()
        layout = Layout(model, columns_of(source), source.has_geometry, name)
        typed = prediction_columns(layout, codes, features)
        judge_predictions(connection, source, layout, typed, lookup)
        batch = Batch(secrets.token_hex(6), "predictions", model.name, name, source.content_hash)
        rows, refused = count(connection, "judged"), refuse(connection, batch)
        _number(connection, model.name, key)
        change = _held_against_stored(connection, key, [*CONTENT, *feature_columns(features)], before is not None)
        spread = rollups.spread_of(connection, change.arrived)
        accepted = 0
        if spread is not None:
            accepted = spread.rows - change.replaced
            after = before | replace(spread, rows=accepted) if before else spread
            change = _sorted(connection, change, [*STORED, *feature_columns(features)], after)
            _write(connection, model, key, features, change, before is None, after, absent(typed))
            touch(connection, batch, change.touched)
            if change.replaced:  # what is gone may have been all there was at an edge
                connection.execute(
                    "UPDATE batch SET west = NULL, north = NULL, east = NULL, south = NULL, "
                    "first_day = NULL, last_day = NULL WHERE model = ?",
                    [model.name],
                )
                spread = rollups.spread_of(connection, f"(FROM prediction WHERE model = {key})")
        return record(
            connection,
            batch,
            BatchResult(
                batch=batch.id,
                source=name,
                kind=batch.kind,
                model=model.name,
                rows=rows,
                accepted=accepted,
                replaced=change.replaced + change.superseded_by_other,
                unchanged=change.unchanged,
                refused=refused,
                outside_regions=count(connection, change.arrived, "region = 0") if lookup else 0,
                repaired=source.repaired,
                seconds=time.perf_counter() - started,
            ),
            spread,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch changes: `arrived`, the relation of rows to store, and how many of them replace a row in `gone`."""

    arrived: str
    replaced: int
    superseded_by_other: int
    unchanged: int

    @property
    def touched(self) -> str:
        return f"(SELECT predicted_at FROM {self.arrived} UNION ALL SELECT predicted_at FROM gone)"

    def signed(self) -> str:
        """The rows as differences, for the roll-ups."""
        if not self.replaced:
            return f"(SELECT *, 1 AS sign FROM {self.arrived})"
        return f"(SELECT *, 1 AS sign FROM {self.arrived} UNION ALL BY NAME SELECT *, -1 AS sign FROM gone)"


def absent(typed: list[Typed]) -> set[str]:
    """The columns of which a file says nothing. A label is given a time where it has none."""
    names = {column.name for column in typed if column.absent}
    return names if "label" in names else names - {"labelled_at"}


def _number(connection: duckdb.DuckDBPyConnection, model: str, key: int) -> None:
    """Make the view `arriving`: the rows of `judged` that can be used, with keys and with their `place` in the file."""
    versions = version_keys(connection, model, "(FROM judged WHERE reason IS NULL)")
    known = " ".join(f"WHEN {literal(version)} THEN {number}" for version, number in versions.items())
    version = f"CAST({f'CASE version {known} END' if known else 'NULL'} AS INTEGER)"
    if len(versions) == 1:  # so it need not be looked at row by row
        version = f"{next(iter(versions.values()))}::INTEGER"
    connection.execute(f"""
        CREATE TEMP VIEW arriving AS
        SELECT rowid AS place, * EXCLUDE (reason, content) REPLACE (
            {version} AS version,
            CASE WHEN label IS NOT NULL THEN coalesce(labelled_at, now()::TIMESTAMP) ELSE labelled_at END AS labelled_at
        ), {key}::INTEGER AS model
        FROM judged WHERE reason IS NULL
    """)


def _held_against_stored(
    connection: duckdb.DuckDBPyConnection, key: int, content: list[str], some_stored: bool
) -> Change:
    """Which of `arriving` change something. Makes `gone`, the stored rows that are replaced.

    Where one id stands more than once, its last row counts. Rows in `arriving` are copied only where they must be.
    """
    arrived = _latest(connection)
    superseded = 0 if arrived == "arriving" else count(connection, "superseded")
    known = f"prediction AS stored SEMI JOIN {arrived} USING (version, id) WHERE stored.model = {key}"
    if some_stored:
        connection.execute(f"CREATE TEMP TABLE matched AS SELECT stored.* FROM {known}")
    if not some_stored or not count(connection, "matched"):
        connection.execute("CREATE TEMP TABLE gone AS FROM prediction LIMIT 0")
        other = _superseded_by_other_content(connection, arrived, content) if superseded else 0
        return Change(arrived, 0, other, superseded - other)
    arriving = arrived
    same = " AND ".join(f"arriving.{column} IS NOT DISTINCT FROM matched.{column}" for column in content)
    connection.execute(f"""
        CREATE TEMP TABLE arrived AS
        SELECT arriving.* REPLACE (
            coalesce(arriving.label, matched.label) AS label,
            CASE WHEN arriving.label IS NULL OR arriving.label = matched.label THEN matched.labelled_at
                ELSE arriving.labelled_at END AS labelled_at)
        FROM {arriving} AS arriving LEFT JOIN matched USING (version, id)
        WHERE matched.id IS NULL
            OR NOT ({same} AND (arriving.label IS NULL OR arriving.label IS NOT DISTINCT FROM matched.label))
    """)
    connection.execute("CREATE TEMP TABLE gone AS SELECT matched.* FROM matched SEMI JOIN arrived USING (version, id)")
    unchanged = count(connection, arriving) - count(connection, "arrived")
    other = _superseded_by_other_content(connection, "arrived", content) if superseded else 0
    return Change("arrived", count(connection, "gone"), other, unchanged + superseded - other)


def _latest(connection: duckdb.DuckDBPyConnection) -> str:
    """The relation of `arriving` with one row for each id: its last. The others go to `superseded`.

    As with rows in files of their own, a label that an earlier row gave stays where the last has none.
    """
    if all_differ(connection, "version, id", "arriving"):
        return "arriving"
    connection.execute("""
        CREATE TEMP TABLE latest AS
        SELECT version, id, max(place) AS last FROM arriving GROUP BY version, id HAVING count(*) > 1
    """)
    connection.execute("""
        CREATE TEMP TABLE superseded AS
        SELECT arriving.* FROM arriving JOIN latest USING (version, id) WHERE arriving.place < latest.last;
        CREATE OR REPLACE TEMP TABLE latest AS FROM arriving ANTI JOIN superseded USING (place);
        UPDATE latest SET label = earlier.label, labelled_at = earlier.labelled_at
        FROM (
            SELECT version, id, max_by(label, place) AS label, max_by(labelled_at, place) AS labelled_at
            FROM superseded WHERE label IS NOT NULL GROUP BY version, id
        ) AS earlier
        WHERE latest.label IS NULL AND latest.version = earlier.version AND latest.id = earlier.id
    """)
    return "latest"


def _superseded_by_other_content(connection: duckdb.DuckDBPyConnection, arrived: str, content: list[str]) -> int:
    other = " OR ".join(f"superseded.{column} IS DISTINCT FROM arrived.{column}" for column in content)
    other += " OR superseded.label <> arrived.label"
    return count(connection, f"superseded JOIN {arrived} AS arrived USING (version, id)", other)


def _sorted(connection: duckdb.DuckDBPyConnection, change: Change, columns: list[str], after: Spread) -> Change:
    """The change with its rows in the order in which they are stored: whatever follows reads what lies together."""
    connection.execute(f"""
        CREATE TEMP TABLE sorted AS SELECT {", ".join(columns)} FROM {change.arrived} ORDER BY {after.order}
    """)
    for table in ("judged", "latest", "arrived"):  # large, and no longer needed
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
    return replace(change, arrived="sorted")


def _write(
    connection: duckdb.DuckDBPyConnection,
    model: Model,
    key: int,
    features: FeatureCodes,
    change: Change,
    first: bool,
    after: Spread,
    missing: set[str],
) -> None:
    """Take `gone` out of the table and the roll-ups and put what arrived in.

    `first` says that there was no row before; `after` is the spread of all there are then; `missing` are columns of
    which the batch says nothing.
    """
    regions = connection.execute("SELECT count(*) FROM region WHERE region_set = ?", [model.regions]).fetchone()
    wanted = rollups.wanted_levels(after, int(regions[0]) if regions else 0)
    kept = rollups.kept_levels(connection, key)
    anew = rollups.outdated(kept, wanted)
    rollups.write_differences(
        connection, key, change.signed(), {place: levels for place, levels in kept.items() if place not in anew}
    )
    if change.replaced:
        connection.execute(
            "DELETE FROM prediction WHERE model = ? AND (version, id) IN (SELECT (version, id) FROM gone)", [key]
        )
        missing = missing - {"label", "labelled_at"}  # what was there may have been labelled
    columns = ", ".join(column for column in (*STORED, *feature_columns(features)) if column not in missing)
    connection.execute(f"INSERT INTO prediction ({columns}) SELECT {columns} FROM {change.arrived}")
    if first:
        rollups.keep(connection, key, anew)
        rollups.write_differences(connection, key, change.signed(), anew)
    else:
        rollups.rebuild(connection, key, anew)
    fit_bins(connection, model.name, key, change.arrived, after.rows, features["numeric"])
