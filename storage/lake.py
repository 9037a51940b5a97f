"""A DuckLake: the same tables as Parquet on a shared disk or object store, listed in a PostgreSQL catalog.

What only a lake needs is here. Many processes on many hosts read and write one lake at once; each holds an
in-memory DuckDB with the lake attached.
"""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from storage.errors import DriftmapError
from storage.grid import DEPTH

if TYPE_CHECKING:
    from storage.database import Database

PREFIX = "ducklake:postgres:"
CATALOG = "lake"
POSTGRES = "postgres_of_lake"  # the PostgreSQL database of the catalog, attached by itself for locks and leases
EXTENSIONS = ("ducklake", "postgres_scanner")
OPENING, WRITING = 7_317_001, 7_317_002  # advisory locks; PostgreSQL keeps those of its databases apart

# Beside DuckLake's own tables, in PostgreSQL itself: a lease needs its unique key.
LEASES = """CREATE TABLE IF NOT EXISTS driftmap_lease (
    task text PRIMARY KEY, holder text NOT NULL, expires timestamptz NOT NULL)"""

# How DuckLake writes the large tables, at compaction too: a question reads few row groups of what lies together.
TILES = "y >> 6, x >> 6, y >> 3, x >> 3"
PLACES = ", ".join(f"{axis} >> {DEPTH - level}" for level in (6, 10, 14, 18) for axis in "yx")
LAYOUT = f"""
    CALL {CATALOG}.set_option('parquet_compression', 'zstd');
    CALL {CATALOG}.set_option('parquet_row_group_size', 40960);
    ALTER TABLE prediction SET SORTED BY (epoch(predicted_at)::BIGINT // 604800, {PLACES});
    ALTER TABLE cell_rollup SET SORTED BY (period, level, start, {TILES});
    ALTER TABLE day_rollup SET SORTED BY (period, level, start, {TILES});
    ALTER TABLE outcome_rollup SET SORTED BY (period, level, start, {TILES});
    ALTER TABLE region_rollup SET SORTED BY (period, start, region);
"""

KEEP = timedelta(days=1)  # nobody reads for longer
REWRITE = 0.1  # share of deleted rows from which a file is written anew

# A host that vanishes without a word loses its locks after a minute and a half, not after two hours.
# And no write is too long for the lock that it holds.
KEEPALIVE = (
    "options='-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=20 -c tcp_keepalives_count=3"
    " -c idle_in_transaction_session_timeout=0'"
)


def is_lake(location: str) -> bool:
    return location.startswith("ducklake:")


def problem(location: str) -> str | None:
    """What is wrong with the location of a lake as it is written; None where nothing is."""
    if not location.startswith(PREFIX):
        return f"a lake has its catalog in PostgreSQL: write {PREFIX}dbname=… host=…"
    if re.search(r"password\s*=|://[^/@\s]*:[^/@\s]*@", location):
        return "leave the password out; set PGPASSWORD, or PGPASSFILE to a file that holds it"
    return None


def connect(location: str, data_path: str | None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the lake of the catalog `location` (ducklake:postgres:dbname=…) attached.

    `data_path` is the folder or URL of the Parquet files; without it, the one the lake was made with.
    Raises DriftmapError where an extension is missing or the lake cannot be reached.
    """
    if wrong := problem(location):
        raise DriftmapError(f"database: {wrong}.")
    parameters = location.removeprefix(PREFIX)
    reached = parameters if "options=" in parameters or "://" in parameters else f"{parameters} {KEEPALIVE}"
    connection = duckdb.connect(":memory:")
    try:
        for extension in EXTENSIONS:
            load(connection, extension)
        connection.execute(f"SET GLOBAL temp_directory = {literal(str(Path(tempfile.gettempdir(), 'driftmap-spill')))}")
        if data_path and "://" in data_path:
            reach_object_store(connection)
        connection.execute(f"ATTACH {literal('postgres:' + reached)} AS {POSTGRES}")
        with connection.cursor() as lock, locked(lock, OPENING):  # or two would both make the catalog's tables
            tell(connection, LEASES)
            # Inlined changes are not safe beside compaction (DuckLake 1.5.5): a merge and an update double rows.
            options = ["DATA_INLINING_ROW_LIMIT 0"] + ([f"DATA_PATH {literal(data_path)}"] if data_path else [])
            connection.execute(f"ATTACH {literal(PREFIX + reached)} AS {CATALOG} ({', '.join(options)})")
    except duckdb.Error as error:
        connection.close()
        why = first_line(error).rpartition('": ')[2]
        raise DriftmapError(f"{location}: cannot be opened: {why}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def reach_object_store(connection: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB use an object store that speaks S3, as the AWS_… variables say."""
    load(connection, "httpfs")
    secure, _, host = os.environ.get("AWS_ENDPOINT_URL", "").rpartition("://")
    said = {
        "KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID"),
        "SECRET": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN"),
        "REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        "ENDPOINT": host,
    }
    options = [f"{name} {literal(value)}" for name, value in said.items() if value]
    if host:  # one of your own, which has no host names for buckets
        options += ["URL_STYLE 'path'", f"USE_SSL {str(secure != 'http').lower()}"]
    connection.execute(f"CREATE SECRET object_store (TYPE s3{''.join(f', {option}' for option in options)})")


def load(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Load a DuckDB extension: from a Python package that carries it, as installed, or from the internet."""
    if path := packaged(extension):  # first: one that is not installed, DuckDB looks for on the internet at once
        connection.execute(f"LOAD {literal(str(path))}")
        return
    with suppress(duckdb.Error):
        connection.execute(f"LOAD {extension}")
        return
    try:
        connection.execute(f"INSTALL {extension}")
        connection.execute(f"LOAD {extension}")
    except duckdb.Error as error:
        raise DriftmapError(
            f"DuckDB's extension '{extension}' cannot be loaded or fetched: {first_line(error)}. "
            f"Install it where there is internet, or the package duckdb-extension-{extension.replace('_', '-')}."
        ) from error


def packaged(extension: str) -> Path | None:
    """The file of an extension that the package duckdb-extension-… brought, for this version of DuckDB."""
    found = find_spec(f"duckdb_extension_{extension}")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
    return path if path.is_file() else None


def writing(lock: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
    """Be the only one that writes to the lake, of all processes on all hosts. Waits for its turn.

    DuckLake lets two transactions that insert go through at once, so two that both look for an id and do not
    find it would both add it.
    """
    return locked(lock, WRITING)


@contextmanager
def locked(lock: duckdb.DuckDBPyConnection, key: int) -> Iterator[None]:
    """Hold an advisory lock of the catalog's PostgreSQL, on a cursor kept for it.

    PostgreSQL gives it back when the cursor's transaction ends, or its process does.
    """
    lock.begin()
    try:
        ask(lock, f"SELECT pg_advisory_xact_lock({key})::text AS held")
        yield
    finally:
        with suppress(duckdb.Error):  # PostgreSQL may be gone, and the lock with it
            lock.rollback()


@contextmanager
def gathered(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Iterator[None]:
    """On a lake, what is put into `tables` within goes in at the end: every statement that writes leaves a file.

    Meanwhile their names stand for temporary tables, which hold nothing of before. A file takes rows as they come.
    """
    if connection.execute("SELECT current_catalog()").fetchall() != [(CATALOG,)]:
        yield
        return
    for table in tables:
        connection.execute(f"CREATE TEMP TABLE {table} AS FROM {CATALOG}.main.{table} LIMIT 0")
    yield
    for table in tables:
        connection.execute(f"INSERT INTO {CATALOG}.main.{table} FROM temp.{table}; DROP TABLE temp.{table}")


def snapshot(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the snapshot that the transaction of `connection` reads."""
    ((number,),) = connection.execute(f"FROM ducklake_current_snapshot('{CATALOG}')").fetchall()
    return int(number)


def confirm(lock: duckdb.DuckDBPyConnection) -> None:
    """Raises DriftmapError where the lock was lost, with the connection to PostgreSQL that held it."""
    try:
        ask(lock, "SELECT 1 AS held")
    except duckdb.Error as error:
        raise DriftmapError("The connection to the catalog broke; nothing was written. Try again.") from error


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction failed only because another one was faster."""
    return isinstance(error, duckdb.TransactionException) and "conflict" in str(error).lower()


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    """What the catalog's PostgreSQL answers to `sql`."""
    return connection.execute(f"FROM postgres_query('{POSTGRES}', {literal(sql)})").fetchall()


def tell(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Have the catalog's PostgreSQL carry out `sql`, a transaction of its own."""
    connection.execute(f"CALL postgres_execute('{POSTGRES}', {literal(sql)}, use_transaction=false)")


@dataclass(frozen=True, slots=True)
class Tidied:
    """What compaction did: data files before and after, snapshots that ended, and files deleted."""

    files_before: int
    files_after: int
    snapshots_ended: int
    files_deleted: int
    seconds: float


def compact_lake(database: "Database", keep: timedelta = KEEP) -> Tidied:
    """Merge small files, take out deleted rows, end snapshots older than `keep`, delete files nobody can read.

    Writers wait meanwhile, step by step; readers do not. Whoever reads for longer than `keep` may lose his files.
    """
    started = time.perf_counter()
    before = count_files(database)
    older = f", older_than => now() - INTERVAL {int(keep.total_seconds())} SECOND"

    def call(function: str, options: str) -> int:
        sql = f"SELECT count(*) FROM {function}('{CATALOG}'{options})"
        return int(database.write(lambda connection: connection.execute(sql).fetchall()[0][0]))

    call("ducklake_rewrite_data_files", f", delete_threshold => {REWRITE}")
    call("ducklake_merge_adjacent_files", "")
    ended = call("ducklake_expire_snapshots", older)
    deleted = call("ducklake_cleanup_old_files", older)
    orphans = call("ducklake_delete_orphaned_files", older)  # of writers that died
    return Tidied(
        files_before=before,
        files_after=count_files(database),
        snapshots_ended=ended,
        files_deleted=deleted + orphans,
        seconds=round(time.perf_counter() - started, 3),
    )


def count_files(database: "Database") -> int:
    """The data files that the lake's tables consist of now."""
    with database.cursor() as cursor:
        ((files,),) = ask(cursor, "SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL")
    return int(str(files))


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
