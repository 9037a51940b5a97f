"""Labels come later: joined to predictions by id, with the roll-ups following in the same transaction."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from storage import rollups
from storage.batches import Batch, count, dropping, record, refuse
from storage.catalog import class_codes
from storage.database import Database
from storage.ingest import base_level
from storage.models import Model
from storage.readers import Source, open_source, table_source
from storage.records import BatchResult
from storage.staging import columns_of, stage
from storage.validation import Layout, label_columns, literal, reason

STAGED = ("staged", "judged", "labelling", "relabelled")
# What of a prediction the roll-ups of regions and cells sum and group by.
SUMMED = "id, model, version, predicted_at, x, y, region, predicted, stored.label, confidence, entropy, area_m2"
UNKNOWN_ID = "no prediction with this id"


def label_file(database: Database, model: Model, path: Path) -> BatchResult:
    """Join the labels in the file `path` to the predictions of `model`, and say what became of each row.

    A label applies to the predictions of every version with that id. A label that was known changes nothing,
    another label replaces it. Raises InvalidFileError, with nothing changed, as `ingest_file` does.
    """
    return database.write(
        lambda connection: _label(connection, model, path.name, lambda: open_source(connection, path, model.crs))
    )


def label_table(database: Database, model: Model, table: pa.Table, source: str) -> BatchResult:
    """Join the labels in an Arrow table; `source` says in the records where they are from."""
    return database.write(lambda connection: _label(connection, model, source, lambda: table_source(connection, table)))


def _label(connection: duckdb.DuckDBPyConnection, model: Model, name: str, open_: Callable[[], Source]) -> BatchResult:
    started = time.perf_counter()
    with dropping(connection, STAGED):
        source = open_()
        layout = Layout(model, columns_of(source), source.has_geometry, name)
        typed = label_columns(layout, class_codes(connection, model.name))
        stage(connection, source, layout)
        chosen = ", ".join(f"{column.expression} AS {column.name}" for column in typed)
        connection.execute(f"""
            CREATE TEMP TABLE judged AS SELECT rowid AS place, {chosen}, {reason(typed)} AS reason FROM staged
        """)
        _judge_by_predictions(connection, model.name)
        batch = Batch(secrets.token_hex(6), "labels", model.name, name, source.content_hash)
        refused = refuse(connection, layout, batch)
        changed = count(connection, "relabelled")
        counts = dict(connection.execute("SELECT outcome, count(*) FROM labelling GROUP BY outcome").fetchall())
        if changed:
            _write(connection, model.name)
        return record(
            connection,
            batch,
            BatchResult(
                batch=batch.id,
                source=name,
                kind=batch.kind,
                model=model.name,
                rows=count(connection, "staged"),
                accepted=counts.get("new", 0),
                replaced=counts.get("replaced", 0),
                unchanged=counts.get("same", 0),
                refused=refused,
                outside_regions=0,
                repaired=source.repaired,
                seconds=time.perf_counter() - started,
            ),
        )


def _judge_by_predictions(connection: duckdb.DuckDBPyConnection, model: str) -> None:
    """Make `relabelled`: the predictions whose label changes, with `new_label`; and `labelling`: what each row does."""
    connection.execute(f"""
        UPDATE judged SET reason = {literal(UNKNOWN_ID)}
        WHERE reason IS NULL AND id NOT IN (
            SELECT stored.id FROM prediction AS stored SEMI JOIN judged USING (id)
            WHERE stored.model = {literal(model)})
    """)
    connection.execute(f"""
        CREATE TEMP TABLE relabelled AS
        WITH last AS (
            SELECT id, max_by(label, place) AS new_label, max_by(labelled_at, place) AS new_labelled_at
            FROM judged WHERE reason IS NULL GROUP BY id
        )
        SELECT {SUMMED}, new_label, coalesce(new_labelled_at, now()::TIMESTAMP) AS new_labelled_at
        FROM prediction AS stored JOIN last USING (id)
        WHERE stored.model = {literal(model)} AND stored.label IS DISTINCT FROM new_label
    """)
    # A row of the file that a later row with the same id overtakes counts as what the later one does.
    connection.execute("""
        CREATE TEMP TABLE labelling AS
        SELECT judged.place, CASE WHEN changed.id IS NULL THEN 'same' WHEN changed.first THEN 'new' ELSE 'replaced' END
            AS outcome
        FROM judged LEFT JOIN (
            SELECT id, bool_or(label IS NULL) AS first FROM relabelled GROUP BY id
        ) AS changed USING (id)
        WHERE judged.reason IS NULL
    """)


def _write(connection: duckdb.DuckDBPyConnection, model: str) -> None:
    changes = """(
        SELECT * REPLACE (new_label AS label), 1 AS sign FROM relabelled UNION ALL BY NAME
        SELECT *, -1 AS sign FROM relabelled
    )"""
    rollups.write_region_differences(connection, changes)
    rollups.write_cell_differences(connection, changes, base_level(connection, model, "relabelled"))
    connection.execute(
        """UPDATE prediction SET label = relabelled.new_label, labelled_at = relabelled.new_labelled_at
        FROM relabelled
        WHERE prediction.model = ? AND prediction.id = relabelled.id AND prediction.version = relabelled.version""",
        [model],
    )
