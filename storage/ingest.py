"""Predictions go in: each row is accepted, unchanged, replaced or refused; none is lost or doubled."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from storage import rollups
from storage.batches import Batch, count, dropping, record, refuse
from storage.catalog import FeatureCodes, class_codes, feature_codes
from storage.database import Database
from storage.grid import SIZE, level_for
from storage.models import Model
from storage.readers import Source, open_source, table_source
from storage.records import BatchResult
from storage.region_lookup import RegionLookup
from storage.regions import lookup_for
from storage.staging import columns_of, judge
from storage.validation import Layout, literal, prediction_columns

BASE_CELLS = 1024  # the base of the map pyramid is about so many cells across a model's extent

# What a prediction says. Two rows that agree in all of this are the same prediction.
CONTENT = (
    "predicted_at", "lon", "lat", "predicted", "confidence", "probabilities", "entropy", "mutual_information",
    "area_m2", "numeric_features", "categorical_features",
)  # fmt: skip
STAGED = ("staged", "judged", "arriving", "superseded", "matched", "gone", "arrived")
STORED = (
    "id, model, version, predicted_at, lon, lat, x, y, region, predicted, confidence, probabilities, entropy, "
    "mutual_information, numeric_features, categorical_features, area_m2, label, labelled_at, batch"
)


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
    codes = class_codes(connection, model.name)
    features = feature_codes(connection, model.name)
    with dropping(connection, STAGED):
        source = open_()
        layout = Layout(model, columns_of(source), source.has_geometry, name)
        judge(connection, source, layout, prediction_columns(layout, codes, features), lookup)
        batch = Batch(secrets.token_hex(6), "predictions", model.name, name, source.content_hash)
        refused = refuse(connection, layout, batch)
        connection.execute(f"""
            CREATE TEMP TABLE arriving AS SELECT * EXCLUDE (reason), {literal(model.name)} AS model,
                {literal(batch.id)} AS batch,
                {rollups.packed(features, "numeric")}::FLOAT[] AS numeric_features,
                {rollups.packed(features, "categorical")}::VARCHAR[] AS categorical_features
            FROM judged WHERE reason IS NULL
        """)
        keep_last(connection)
        same = match_existing(connection, model.name)
        replaced, arrived = count(connection, "gone"), count(connection, "arrived")
        superseded = _superseded_by_other_content(connection)
        if arrived:
            _write(connection, model.name, features)
        return record(
            connection,
            batch,
            BatchResult(
                batch=batch.id,
                source=name,
                kind=batch.kind,
                model=model.name,
                rows=count(connection, "staged"),
                accepted=arrived - replaced,
                replaced=replaced + superseded,
                unchanged=same + count(connection, "superseded") - superseded,
                refused=refused,
                outside_regions=count(connection, "arrived", "region = 0") if lookup else 0,
                repaired=source.repaired,
                seconds=time.perf_counter() - started,
            ),
        )


def keep_last(connection: duckdb.DuckDBPyConnection) -> None:
    """Where one id stands more than once in `arriving`, keep its last row; the others go to `superseded`.

    As with rows in files of their own, a label that an earlier row gave stays where the last has none.
    """
    connection.execute("""
        CREATE TEMP TABLE superseded AS
        SELECT arriving.* FROM arriving JOIN (
            SELECT version, id, max(place) AS last FROM arriving GROUP BY version, id HAVING count(*) > 1
        ) AS doubled USING (version, id)
        WHERE arriving.place < doubled.last
    """)
    if count(connection, "superseded"):
        connection.execute("DELETE FROM arriving WHERE place IN (SELECT place FROM superseded)")
        connection.execute("""
            UPDATE arriving SET label = earlier.label, labelled_at = earlier.labelled_at
            FROM (
                SELECT version, id, max_by(label, place) AS label, max_by(labelled_at, place) AS labelled_at
                FROM superseded WHERE label IS NOT NULL GROUP BY version, id
            ) AS earlier
            WHERE arriving.label IS NULL AND arriving.version = earlier.version AND arriving.id = earlier.id
        """)


def match_existing(connection: duckdb.DuckDBPyConnection, model: str) -> int:
    """Hold `arriving` against what is stored: makes `arrived` and `gone`; returns how many rows change nothing.

    `arrived` are the rows to store, `gone` the stored rows that they replace.
    """
    known = "prediction AS stored SEMI JOIN arriving USING (version, id) WHERE stored.model = " + literal(model)
    if not connection.execute(f"SELECT count(*) FROM {known}").fetchone()[0]:  # type: ignore[index]
        connection.execute("CREATE TEMP TABLE gone AS FROM prediction LIMIT 0")
        connection.execute("CREATE TEMP TABLE arrived AS FROM arriving")
        return 0
    connection.execute(f"CREATE TEMP TABLE matched AS SELECT stored.* FROM {known}")
    same = " AND ".join(f"arriving.{column} IS NOT DISTINCT FROM matched.{column}" for column in CONTENT)
    connection.execute(f"""
        CREATE TEMP TABLE arrived AS
        SELECT arriving.* REPLACE (
            coalesce(arriving.label, matched.label) AS label,
            CASE WHEN arriving.label IS NULL OR arriving.label = matched.label THEN matched.labelled_at
                ELSE arriving.labelled_at END AS labelled_at)
        FROM arriving LEFT JOIN matched USING (version, id)
        WHERE matched.id IS NULL
            OR NOT ({same} AND (arriving.label IS NULL OR arriving.label IS NOT DISTINCT FROM matched.label))
    """)
    connection.execute("CREATE TEMP TABLE gone AS SELECT matched.* FROM matched SEMI JOIN arrived USING (version, id)")
    return count(connection, "arriving") - count(connection, "arrived")


def _superseded_by_other_content(connection: duckdb.DuckDBPyConnection) -> int:
    if not count(connection, "superseded"):
        return 0
    other = " OR ".join(f"superseded.{column} IS DISTINCT FROM arrived.{column}" for column in CONTENT)
    other += " OR superseded.label <> arrived.label"
    return count(connection, f"superseded JOIN arrived USING (version, id) WHERE {other}", None)


def _write(connection: duckdb.DuckDBPyConnection, model: str, features: FeatureCodes) -> None:
    """Take `gone` out of the table and the roll-ups and put `arrived` in."""
    connection.execute("""
        UPDATE arrived SET labelled_at = now()::TIMESTAMP WHERE label IS NOT NULL AND labelled_at IS NULL
    """)
    missing = rollups.features_to_fit(connection, model, features["numeric"])
    rollups.fit_bins(connection, model, "arrived", missing)
    level = base_level(connection, model, "arrived")
    changes = f"""(
        SELECT *, 1 AS sign FROM arrived UNION ALL BY NAME
        SELECT *, -1 AS sign {rollups.unpacked(features)} FROM gone
    )"""
    rollups.write_differences(connection, model, changes, level, features)
    if count(connection, "gone"):
        connection.execute(
            "DELETE FROM prediction WHERE model = ? AND (version, id) IN (SELECT (version, id) FROM gone)", [model]
        )
    # Sorted by day, then by place: a deep zoom reads few row groups.
    connection.execute(f"""
        INSERT INTO prediction ({STORED})
        SELECT {STORED} FROM arrived ORDER BY predicted_at::DATE, morton
    """)
    connection.execute(
        """INSERT INTO model_version
        SELECT ?, version, min(predicted_at) FROM arrived
        WHERE version NOT IN (SELECT version FROM model_version WHERE model = ?) GROUP BY version""",
        [model, model],
    )
    _outgrown(connection, model, level, features)


def base_level(connection: duckdb.DuckDBPyConnection, model: str, rows: str) -> int:
    """The finest level of the model's cell pyramid, laid by the extent of `rows` where it has none yet."""
    stored = connection.execute("SELECT base_level FROM model WHERE name = ?", [model]).fetchone()
    if stored and stored[0] is not None:
        return int(stored[0])
    level = fitting_level(connection, rows)
    connection.execute("UPDATE model SET base_level = ? WHERE name = ?", [level, model])
    return level


def fitting_level(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """The level at which the extent of `rows` is about a thousand cells across."""
    extent = connection.execute(f"SELECT greatest(max(x) - min(x), max(y) - min(y)) FROM {rows}").fetchone()
    return level_for(int(extent[0]) if extent and extent[0] is not None else SIZE, BASE_CELLS)


def _outgrown(connection: duckdb.DuckDBPyConnection, model: str, level: int, features: FeatureCodes) -> None:
    """Lay bins and cells anew where the first rows were too few, or too near together, to lay them well."""
    stored = f"(FROM prediction WHERE model = {literal(model)})"
    poor = rollups.features_to_refit(connection, model, features["numeric"])
    if poor:
        unpacked = f"(SELECT * {rollups.unpacked(features)} FROM {stored})"
        rollups.fit_bins(connection, model, unpacked, poor)
        rollups.rebuild(connection, model, level, features, ("feature_rollup",))
    fitting = fitting_level(connection, stored)
    if level - fitting >= 2:
        connection.execute("UPDATE model SET base_level = ? WHERE name = ?", [fitting, model])
        rollups.rebuild(connection, model, fitting, features, ("cell_rollup",))
