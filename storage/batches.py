"""The record of what was ingested: one batch a file, and every row that was refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import datetime

import duckdb
import numpy as np
import pandas as pd

from storage.database import Database
from storage.records import BatchResult
from storage.rollups import Spread
from storage.validation import literal


@dataclass(frozen=True, slots=True)
class Batch:
    """What is being ingested, where it is from, and the hash of its content."""

    id: str
    kind: str
    model: str
    source: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One ingest as it is kept. Times in UTC."""

    id: str
    kind: str
    model: str
    source: str
    received_at: datetime
    rows: int
    accepted: int
    replaced: int
    unchanged: int
    refused: int
    outside_regions: int
    repaired: int
    seconds: float


@contextmanager
def dropping(
    connection: duckdb.DuckDBPyConnection, tables: tuple[str, ...], views: tuple[str, ...] = ()
) -> Iterator[None]:
    """Drop the temporary `tables` and `views` at the end. (After an error the rollback takes them away.)"""
    yield
    for kind, names in (("VIEW", views), ("TABLE", tables)):
        for name in names:
            connection.execute(f"DROP {kind} IF EXISTS temp.{name}")


def count(connection: duckdb.DuckDBPyConnection, rows: str, condition: str | None = "true") -> int:
    """The number of rows of a relation for which `condition` holds."""
    row = connection.execute(f"SELECT count(*) FROM {rows}" + (f" WHERE {condition}" if condition else "")).fetchone()
    return int(row[0]) if row else 0


def all_differ(connection: duckdb.DuckDBPyConnection, columns: str, rows: str) -> bool:
    """Whether no two of the relation `rows` agree in `columns`; of a pair in 10^19 that differs it may say False."""
    # Sorting hashes takes a third of the time that counting what is distinct takes.
    hashes = np.sort(connection.execute(f"SELECT hash({columns}) AS hashed FROM {rows}").fetchnumpy()["hashed"])
    return not (hashes[1:] == hashes[:-1]).any()


def refuse(connection: duckdb.DuckDBPyConnection, batch: Batch) -> dict[str, int]:
    """Keep the refused rows of `judged` with their reasons; how many there are of each reason, most first."""
    reasons = connection.execute("""
        SELECT reason, count(*) AS n FROM judged WHERE reason IS NOT NULL GROUP BY reason ORDER BY n DESC, reason
    """).fetchall()
    if reasons:
        # Until its transaction ends, DuckDB numbers the rows of a table from 36,028,797,018,960,000 on.
        connection.execute(f"""
            INSERT INTO rejected_row
            SELECT {literal(batch.id)}, rowid - (SELECT min(rowid) FROM judged) + 1, reason, content
            FROM judged WHERE reason IS NOT NULL
        """)
    return dict(reasons)


def touch(connection: duckdb.DuckDBPyConnection, batch: Batch, rows: str) -> None:
    """Note for which days the relation `rows` of predictions was changed by `batch`."""
    connection.execute(
        f"INSERT INTO touched_day SELECT DISTINCT ?, predicted_at::DATE, ?, ? FROM {rows}",
        [batch.model, batch.kind, batch.id],
    )


def record(
    connection: duckdb.DuckDBPyConnection, batch: Batch, result: BatchResult, spread: Spread | None = None
) -> BatchResult:
    """Keep `result`, and what its predictions span; the same content is not recorded twice.

    Content that changed nothing and was refused as before leaves the earlier batch as it was. Otherwise the
    new batch takes over the refused rows.
    """
    earlier = connection.execute(
        "SELECT id, refused FROM batch WHERE model = ? AND kind = ? AND content_hash = ? "
        "ORDER BY received_at DESC LIMIT 1",
        [batch.model, batch.kind, batch.content_hash],
    ).fetchone()
    refused = sum(result.refused.values())
    if earlier:
        nothing_new = not result.accepted and not result.replaced and refused == earlier[1]
        connection.execute("DELETE FROM rejected_row WHERE batch = ?", [batch.id if nothing_new else earlier[0]])
        if nothing_new:
            return replace(result, batch=earlier[0])
    connection.execute(
        "INSERT INTO batch VALUES (?, ?, ?, ?, ?, now()::TIMESTAMP, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            batch.id, batch.kind, batch.model, batch.source, batch.content_hash, result.rows, result.accepted,
            result.replaced, result.unchanged, refused, result.outside_regions, result.repaired, result.seconds,
            *(astuple(spread)[1:] if spread else [None] * 6),
        ],
    )  # fmt: skip
    return result


def batches(database: Database, model: str | None = None, limit: int = 100, offset: int = 0) -> list[StoredBatch]:
    """The last batches, newest first, from the one at `offset` on."""
    rows = database.rows(
        """SELECT id, kind, model, source, received_at, "rows", accepted, replaced, unchanged, refused,
            outside_regions, repaired, seconds
        FROM batch WHERE model = ? OR ? IS NULL ORDER BY received_at DESC, id LIMIT ? OFFSET ?""",
        [model, model, limit, offset],
    )
    return [StoredBatch(*row) for row in rows]


def newest(database: Database, model: str) -> tuple[int, datetime | None]:
    """How many batches of `model` there are, and when the last came: both other after every ingest that changed it."""
    ((count, last),) = database.rows("SELECT count(*), max(received_at) FROM batch WHERE model = ?", [model])
    return count, last


def known_content(database: Database, model: str, kind: str) -> set[str]:
    """The content hashes of all that was ingested as `kind` for `model`."""
    rows = database.rows("SELECT content_hash FROM batch WHERE model = ? AND kind = ?", [model, kind])
    return {content for (content,) in rows}


def rejected_rows(
    database: Database, batch: str, limit: int | None = 1000, offset: int = 0, reason: str | None = None
) -> pd.DataFrame:
    """Refused rows of a batch (for one `reason` where given), in order: row (from 1), reason, content (JSON).

    At most `limit` (None: all) from the one at `offset` on.
    """
    return database.frame(
        """SELECT "row", reason, content FROM rejected_row WHERE batch = ? AND (reason = ? OR ? IS NULL)
        ORDER BY "row" LIMIT coalesce(?, 9223372036854775807) OFFSET ?""",
        [batch, reason, reason, limit, offset],
    )


def rejected_reasons(database: Database, batch: str) -> dict[str, int]:
    """For how many rows of a batch each reason to refuse them holds, most first."""
    rows = database.rows(
        "SELECT reason, count(*) AS n FROM rejected_row WHERE batch = ? GROUP BY reason ORDER BY n DESC, reason",
        [batch],
    )
    return dict(rows)
