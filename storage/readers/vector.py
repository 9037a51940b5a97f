"""GeoJSON and GeoPackage files, through GDAL."""

import warnings
from pathlib import Path

import duckdb
import pyarrow as pa
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from storage.errors import InvalidFileError
from storage.readers.arrow import relation_of
from storage.readers.source import Source, file_hash


def read_vector(connection: duckdb.DuckDBPyConnection, path: Path, crs: str | None) -> Source:
    """The features of a GeoJSON feature collection or of the one layer of a GeoPackage."""
    try:
        layer = _layer(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # GDAL on repeated ids: they stay as they are
            described, table = pyogrio.read_arrow(path, layer=layer)
    except (DataSourceError, DataLayerError, pa.ArrowInvalid, RuntimeError) as error:
        kind = "GeoPackage" if path.suffix.lower() == ".gpkg" else "GeoJSON feature collection"
        raise InvalidFileError(f"{path}: cannot be read as a {kind}; check or write it again") from error
    geometry = described["geometry_name"] or "wkb_geometry"
    column = geometry if geometry in table.column_names else None
    relation, repaired = relation_of(connection, table, column, described["crs"] or crs, str(path))
    return Source(relation, column is not None, repaired, file_hash(path))


def _layer(path: Path) -> str:
    layers = pyogrio.list_layers(path)
    spatial = [name for name, kind in layers if kind is not None] or [name for name, _ in layers]
    if len(spatial) != 1:
        named = ", ".join(spatial) or "none"
        raise InvalidFileError(f"{path}: has {len(spatial)} layers ({named}); keep one layer in a file")
    return spatial[0]
