"""Readers of prediction, label and feature files: one module a format family, listed in `_READERS`.

To add a format, write a function `(connection, path, crs) -> Source` and name its extensions below.
"""

import glob
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
from shapely.errors import ShapelyError

from storage.errors import InvalidFileError
from storage.readers.arrow import read_arrow, table_source
from storage.readers.delimited import read_delimited
from storage.readers.parquet import read_parquet
from storage.readers.source import Source
from storage.readers.vector import read_vector

__all__ = ["Source", "expand", "open_source", "table_source"]

Reader = Callable[[duckdb.DuckDBPyConnection, Path, str | None], Source]

_READERS: dict[str, Reader] = {
    ".csv": read_delimited,
    ".csv.gz": read_delimited,
    ".tsv": read_delimited,
    ".tsv.gz": read_delimited,
    ".parquet": read_parquet,
    ".geoparquet": read_parquet,
    ".geojson": read_vector,
    ".json": read_vector,
    ".gpkg": read_vector,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".ipc": read_arrow,
}


def open_source(connection: duckdb.DuckDBPyConnection, path: Path, crs: str | None = None) -> Source:
    """The rows of the file `path`, by its extension. `crs` is that of geometries whose file names none.

    CSV values all stay text. CSV and Parquet are streamed when the relation is read, so the file must
    stay in place until then. Raises InvalidFileError for a file that is missing, broken or unknown.
    """
    reader = _reader(path)
    if reader is None:
        raise InvalidFileError(f"{path}: unknown file type; driftmap reads {', '.join(_READERS)}")
    if not path.is_file():
        raise InvalidFileError(f"{path}: no such file; check the path")
    try:
        return reader(connection, path, crs)
    except (OSError, duckdb.Error, pa.ArrowException, ShapelyError) as error:
        raise InvalidFileError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error


def expand(paths: Iterable[Path | str]) -> list[Path]:
    """The files meant by file names, folders (the known files directly inside, by name) and globs.

    Each file comes once. Raises InvalidFileError where one of `paths` finds nothing.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_file():
            files = [path]
        elif path.is_dir():
            files = sorted(
                child for child in path.iterdir() if _reader(child) and child.is_file() and child.name[0] != "."
            )
        else:
            files = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
            files = [file for file in files if file.is_file() and _reader(file)]
        if not files:
            raise InvalidFileError(f"{given}: no files found; driftmap reads {', '.join(_READERS)}")
        found.update(dict.fromkeys(files))
    return list(found)


def _reader(path: Path) -> Reader | None:
    name = path.name.lower()
    return next((reader for extension, reader in _READERS.items() if name.endswith(extension)), None)
