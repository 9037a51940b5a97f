"""A DuckLake: the same tables as Parquet on a shared disk or object store, listed in a PostgreSQL catalog.

What only a lake needs is here. Many processes on many hosts read and write one lake at once; each holds an
in-memory DuckDB with the lake attached.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import duckdb

from storage.errors import DriftmapError

PREFIX = "ducklake:postgres:"
CATALOG = "lake"
METADATA = f"__ducklake_metadata_{CATALOG}"  # how DuckLake itself attaches the PostgreSQL database
EXTENSIONS = ("ducklake", "postgres_scanner")
WRITING = 7_317_001  # the advisory lock of whoever writes; PostgreSQL keeps such locks apart by database

# A host that vanishes without a word loses its locks after a minute and a half, not after two hours.
KEEPALIVE = "options='-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=20 -c tcp_keepalives_count=3'"


def is_lake(location: str) -> bool:
    return location.startswith("ducklake:")


def connect(location: str, data_path: str | None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the lake of the catalog `location` (ducklake:postgres:dbname=…) attached.

    `data_path` is the folder or URL of the Parquet files; without it, the one the lake was made with.
    Raises DriftmapError where an extension is missing or the lake cannot be reached.
    """
    if not location.startswith(PREFIX):
        raise DriftmapError(f"{location}: a lake needs a PostgreSQL catalog; write {PREFIX}dbname=… host=….")
    connection = duckdb.connect(":memory:")
    try:
        for extension in EXTENSIONS:
            load(connection, extension)
        parameters = location.removeprefix(PREFIX)
        if "options=" not in parameters and "://" not in parameters:
            parameters = f"{parameters} {KEEPALIVE}"
        chosen = f" (DATA_PATH {literal(data_path)})" if data_path else ""
        folder = Path(tempfile.gettempdir(), "driftmap-spill")
        connection.execute(f"SET GLOBAL temp_directory = {literal(str(folder))}")
        connection.execute(f"ATTACH {literal('ducklake:postgres:' + parameters)} AS {CATALOG}{chosen}")
    except duckdb.Error as error:
        connection.close()
        raise DriftmapError(f"{location}: cannot be opened: {first_line(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def load(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Load a DuckDB extension: as installed, from a Python package that carries it, or from the internet."""
    with suppress(duckdb.Error):
        connection.execute(f"LOAD {extension}")
        return
    if path := packaged(extension):
        connection.execute(f"LOAD {literal(str(path))}")
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


@contextmanager
def writing(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Be the only one that writes to the lake, of all processes on all hosts. Waits for its turn.

    DuckLake lets two transactions that insert go through at once, so two that both look for an id and do not
    find it would both add it. `connection` is a cursor kept for this: PostgreSQL gives the lock back when its
    transaction ends, or its process does.
    """
    connection.begin()
    try:
        ask(connection, f"SELECT pg_advisory_xact_lock({WRITING})::text AS held")
        yield
    finally:
        with suppress(duckdb.Error):  # the catalog may be gone, and the lock with it
            connection.rollback()


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction failed only because another one was faster."""
    return isinstance(error, duckdb.TransactionException) and "conflict" in str(error).lower()


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    """What the catalog's PostgreSQL answers to `sql`."""
    return connection.execute(f"FROM postgres_query('{METADATA}', {literal(sql)})").fetchall()


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    return re.sub(r"password=\S+", "password=…", str(error).splitlines()[0])
