"""Moves an embedded database into a lake, and proves that what arrived is what was there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from storage.database import Database, migrations, quote
from storage.errors import DatabaseInUseError, DatabaseVersionError, DriftmapError
from storage.lake import CATALOG, first_line, literal

SOURCE = "source"
VERSIONS = "schema_version"  # each database keeps its own


@dataclass(frozen=True, slots=True)
class Copy:
    """A table that was copied. A checksum is the sum of the hashes of all rows, so their order does not matter."""

    table: str
    rows: int
    rows_there: int
    checksum: str
    checksum_there: str

    @property
    def equal(self) -> bool:
        return (self.rows, self.checksum) == (self.rows_there, self.checksum_there)


def copy_database(source: str, target: Database, progress: Callable[[str, int, int], None]) -> list[Copy]:
    """Copy every table of the DuckDB file `source` into the empty lake `target`, all of them or none, and count
    and sum up what is in both. The file is only read. `progress` is told which table, and how many are done.

    Raises DatabaseInUseError where a process has the file open, DatabaseVersionError where it is of another version,
    DriftmapError where it is missing or the lake holds rows.
    """
    if not Path(source).is_file():
        raise DriftmapError(f"{source}: no such file. Only an embedded database can be moved to a lake.")
    with target.cursor() as cursor:
        attach(cursor, source)
        try:
            check_versions(cursor, source)
            tables = tables_of(cursor, SOURCE)
            target.write(lambda connection: copy_tables(connection, tables, progress))
            return [compared(cursor, table) for table in tables]
        finally:
            cursor.execute(f"DETACH {SOURCE}")


def attach(cursor: duckdb.DuckDBPyConnection, source: str) -> None:
    try:
        cursor.execute(f"ATTACH {literal(source)} AS {SOURCE} (READ_ONLY)")
    except duckdb.IOException as error:
        raise DatabaseInUseError(f"{source}: a process has it open. Stop the server, then try again.") from error
    except duckdb.Error as error:
        raise DriftmapError(f"{source}: cannot be read: {first_line(error)}") from error


def check_versions(cursor: duckdb.DuckDBPyConnection, source: str) -> None:
    ((version,),) = cursor.execute(f"SELECT max(version) FROM {SOURCE}.{VERSIONS}").fetchall()
    if version != len(migrations()):
        raise DatabaseVersionError(
            f"{source}: has schema {version}, and this driftmap {len(migrations())}. "
            "Run 'driftmap status' with it once, which brings it up to date."
        )


def copy_tables(
    connection: duckdb.DuckDBPyConnection, tables: list[str], progress: Callable[[str, int, int], None]
) -> None:
    known = set(tables_of(connection, CATALOG))
    for table in known:
        if connection.execute(f"SELECT 1 FROM {quote(table)} LIMIT 1").fetchall():
            raise DriftmapError(f"The lake has rows already (in '{table}'). Name an empty PostgreSQL database.")
    for done, table in enumerate(tables):
        progress(table, done, len(tables))
        from_ = f"{SOURCE}.main.{quote(table)}"
        if table not in known:  # made for one model
            connection.execute(f"CREATE TABLE {quote(table)} AS FROM {from_} LIMIT 0")
        there = columns_of(connection, CATALOG, table)
        for column, kind in columns_of(connection, SOURCE, table).items():
            if column not in there:
                connection.execute(f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column)} {kind}")
        connection.execute(f"INSERT INTO {quote(table)} BY NAME FROM {from_}")
    progress("", len(tables), len(tables))


def compared(cursor: duckdb.DuckDBPyConnection, table: str) -> Copy:
    columns = ", ".join(quote(column) for column in columns_of(cursor, SOURCE, table))
    sums = []
    for database in (SOURCE, CATALOG):
        sums += cursor.execute(
            f"SELECT count(*), coalesce(sum(hash({columns})::HUGEINT), 0)::VARCHAR FROM {database}.main.{quote(table)}"
        ).fetchall()
    (rows, checksum), (rows_there, checksum_there) = sums
    return Copy(table, rows, rows_there, checksum, checksum_there)


def tables_of(cursor: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    """The tables of an attached database that hold driftmap's rows, by name."""
    rows = cursor.execute(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_catalog = ? AND table_type = 'BASE TABLE' AND table_name <> ? ORDER BY table_name",
        [database, VERSIONS],
    ).fetchall()
    return [name for (name,) in rows]


def columns_of(cursor: duckdb.DuckDBPyConnection, database: str, table: str) -> dict[str, str]:
    """The columns of a table with their types."""
    rows = cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_catalog = ? AND table_name = ? ORDER BY ordinal_position",
        [database, table],
    ).fetchall()
    return dict(rows)
