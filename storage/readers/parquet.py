"""Parquet and GeoParquet files."""

import glob
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from storage.errors import InvalidFileError
from storage.readers.geometry import geometry_column, parse_crs, places
from storage.readers.source import Source, file_hash

_BATCH_ROWS = 65_536


def read_parquet(connection: duckdb.DuckDBPyConnection, path: Path, crs: str | None) -> Source:
    """The rows of a Parquet file; with geometries where its metadata declares them (GeoParquet).

    Only three numbers a row are held in memory for the geometries; other columns are streamed.
    """
    try:
        file = pa.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidFileError(f"{path}: not a Parquet file, or cut short; write it again") from error
    with file:
        column = geometry_column(file.schema_arrow, str(path))
        if column is None and path.suffix.lower() == ".geoparquet":
            raise InvalidFileError(f"{path}: has no 'geo' metadata; write it as GeoParquet or name it .parquet")
        relation = connection.read_parquet(glob.escape(str(path)), hive_partitioning=False)
        if column is None:
            return Source(relation, has_geometry=False, repaired=0, content_hash=file_hash(path))
        source_crs = column.crs or parse_crs(crs, str(path))
        batches = file.iter_batches(_BATCH_ROWS, columns=[column.name])
        located = [places(batch.column(0), source_crs) for batch in batches]
    tables = [batch.table for batch in located] or [places(pa.array([], pa.binary()), None).table]
    numbered = pa.concat_tables(tables)
    numbered = numbered.append_column("__row", pa.array(np.arange(len(numbered))))
    quoted = '"' + column.name.replace('"', '""') + '"'
    rows = connection.read_parquet(glob.escape(str(path)), hive_partitioning=False, file_row_number=True)
    points = connection.from_arrow(numbered)
    relation = (
        rows.project(f"* EXCLUDE ({quoted})")
        .set_alias("file")
        .join(points.set_alias("place"), "file.file_row_number = place.__row")
        .project("* EXCLUDE (file_row_number, __row)")
    )
    repaired = sum(batch.repaired for batch in located)
    return Source(relation, has_geometry=True, repaired=repaired, content_hash=file_hash(path))
