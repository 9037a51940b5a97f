"""Arrow IPC files (both kinds: file, which is Feather, and stream) and Arrow tables in memory."""

from hashlib import blake2b
from pathlib import Path

import duckdb
import pyarrow as pa

from storage.errors import InvalidFileError
from storage.readers.geometry import geometry_column, parse_crs, places
from storage.readers.source import Source, file_hash


def read_arrow(connection: duckdb.DuckDBPyConnection, path: Path, crs: str | None) -> Source:
    """The rows of an Arrow file; the file is mapped into memory, not copied, where it is not compressed."""
    stream = pa.memory_map(str(path))
    try:
        try:
            table = pa.ipc.open_file(stream).read_all()
        except pa.ArrowInvalid:
            stream.seek(0)
            table = pa.ipc.open_stream(stream).read_all()
    except (pa.ArrowException, OSError) as error:
        raise InvalidFileError(f"{path}: not an Arrow file, or cut short; write it again") from error
    return _source(connection, table, crs, str(path), file_hash(path))


def table_source(
    connection: duckdb.DuckDBPyConnection, table: pa.Table, crs: str | None = None, name: str = "table"
) -> Source:
    """The rows of an Arrow table, with geometries where its metadata declares a WKB column.

    `content_hash` covers schema and values; `name` is what error messages call the table.
    """
    digest = blake2b(digest_size=16)
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    digest.update(buffer.getvalue())
    return _source(connection, table, crs, name, digest.hexdigest())


def _source(
    connection: duckdb.DuckDBPyConnection, table: pa.Table, crs: str | None, name: str, content_hash: str
) -> Source:
    column = geometry_column(table.schema, name)
    if column is None:
        relation, repaired = relation_of(connection, table, None, None, name)
    else:
        relation, repaired = relation_of(connection, table, column.name, column.crs or crs, name)
    return Source(relation, column is not None, repaired, content_hash)


def relation_of(
    connection: duckdb.DuckDBPyConnection, table: pa.Table, geometry: str | None, crs: object, name: str
) -> tuple[duckdb.DuckDBPyRelation, int]:
    """A relation over `table` with its WKB column `geometry` located, and the count of repaired polygons."""
    repaired = 0
    if geometry is not None:
        located = places(table.column(geometry), parse_crs(crs, name))
        repaired = located.repaired
        table = table.drop_columns([geometry])
        for column in located.table.column_names:
            table = table.append_column(column, located.table.column(column))
    try:
        return connection.from_arrow(table), repaired
    except (duckdb.Error, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InvalidFileError(f"{name}: a column cannot be read: {reason}; use plain types") from error
