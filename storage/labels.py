"""Labels come later: joined to predictions by id, with the roll-ups following in the same transaction."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from storage import rollups
from storage.batches import Batch, all_differ, count, dropping, record, refuse, touch
from storage.catalog import class_codes, model_key
from storage.database import Database
from storage.models import Model
from storage.readers import Source, open_source, table_source
from storage.records import BatchResult
from storage.staging import columns_of, judge, raw_content
from storage.validation import Layout, label_columns, literal

TABLES = ("judged", "latest", "matched", "labelling")
# What of a prediction the roll-ups sum and group by.
SUMMED = "version, predicted_at, x, y, region, predicted, label, confidence, entropy"
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
    with dropping(connection, TABLES, ("relabelled",)):
        source = open_()
        layout = Layout(model, columns_of(source), source.has_geometry, name)
        judge(connection, source, layout, label_columns(layout, class_codes(connection, model.name)))
        key = model_key(connection, model.name)
        _hold_against_predictions(connection, key, raw_content(layout))
        batch = Batch(secrets.token_hex(6), "labels", model.name, name, source.content_hash)
        refused = refuse(connection, batch)
        counts = dict(connection.execute("SELECT outcome, count(*) FROM labelling GROUP BY outcome").fetchall())
        if counts.keys() & {"new", "replaced"}:
            _write(connection, key)
            touch(connection, batch, "relabelled")
        return record(
            connection,
            batch,
            BatchResult(
                batch=batch.id,
                source=name,
                kind=batch.kind,
                model=model.name,
                rows=count(connection, "judged"),
                accepted=counts.get("new", 0),
                replaced=counts.get("replaced", 0),
                unchanged=counts.get("same", 0),
                refused=refused,
                outside_regions=0,
                repaired=source.repaired,
                seconds=time.perf_counter() - started,
            ),
        )


def _hold_against_predictions(connection: duckdb.DuckDBPyConnection, key: int, content: str) -> None:
    """Make `relabelled`: the predictions whose label changes, with `new_label`; and `labelling`: what each row does.

    Rows of `judged` without a prediction are refused; `content` is SQL for such a row as JSON.
    """
    latest = "SELECT id, label AS new_label, labelled_at AS new_labelled_at FROM judged WHERE reason IS NULL"
    if not all_differ(connection, "id", "judged WHERE reason IS NULL"):
        connection.execute("""
            CREATE TEMP TABLE latest AS
            SELECT id, max_by(label, rowid) AS new_label, max_by(labelled_at, rowid) AS new_labelled_at
            FROM judged WHERE reason IS NULL GROUP BY id
        """)
        latest = "FROM latest"
    connection.execute(f"""
        CREATE TEMP TABLE matched AS
        SELECT stored.rowid AS row, id, {SUMMED}, new_label,
            coalesce(new_labelled_at, now()::TIMESTAMP) AS new_labelled_at
        FROM prediction AS stored JOIN ({latest}) USING (id) WHERE stored.model = {key};
        CREATE TEMP VIEW relabelled AS FROM matched WHERE label IS DISTINCT FROM new_label
    """)
    # A row of the file that a later row with the same id overtakes counts as what the later one does.
    connection.execute("""
        CREATE TEMP TABLE labelling AS
        SELECT judged.rowid AS row, CASE WHEN known.id IS NULL THEN 'unknown' WHEN NOT changed THEN 'same'
            WHEN first THEN 'new' ELSE 'replaced' END AS outcome
        FROM judged LEFT JOIN (
            SELECT id, bool_or(label IS DISTINCT FROM new_label) AS changed, bool_or(label IS NULL) AS first
            FROM matched GROUP BY id
        ) AS known USING (id)
        WHERE judged.reason IS NULL
    """)
    if count(connection, "labelling", "outcome = 'unknown'"):
        connection.execute(f"""
            UPDATE judged SET reason = {literal(UNKNOWN_ID)}, content = {content} FROM labelling
            WHERE judged.rowid = labelling.row AND outcome = 'unknown'
        """)


def _write(connection: duckdb.DuckDBPyConnection, key: int) -> None:
    rollups.write_labels(connection, key, "relabelled", rollups.kept_levels(connection, key))
    connection.execute("""
        UPDATE prediction SET label = relabelled.new_label, labelled_at = relabelled.new_labelled_at
        FROM relabelled WHERE prediction.rowid = relabelled.row
    """)
