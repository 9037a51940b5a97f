"""Bodies of HTTP requests that hold predictions or labels."""

import json
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from fastapi.concurrency import run_in_threadpool

from storage.database import Database
from storage.errors import InvalidFileError
from storage.models import Model
from storage.records import BatchResult

EXTENSIONS = {
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
    "application/parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/vnd.apache.arrow.stream": ".arrow",
    "text/csv": ".csv",
    "application/geo+json": ".geojson",
    "application/json": ".json",
}

TakeFile = Callable[[Database, Model, Path], BatchResult]
TakeTable = Callable[[Database, Model, pa.Table, str], BatchResult]


async def take_in(
    chunks: AsyncIterator[bytes],
    content_type: str,
    database: Database,
    model: Model,
    take_file: TakeFile,
    take_table: TakeTable,
) -> BatchResult:
    """What became of the rows of a body of the given content type, one of EXTENSIONS.

    The body is kept in a temporary file, not in memory. Raises InvalidFileError.
    """
    with tempfile.TemporaryDirectory(prefix="driftmap-") as folder:
        path = Path(folder, f"upload{EXTENSIONS[content_type]}")
        with path.open("wb") as file:
            async for chunk in chunks:
                await run_in_threadpool(file.write, chunk)
        try:
            if path.suffix != ".json":
                return await run_in_threadpool(take_file, database, model, path)
            return await run_in_threadpool(_take_json, path, database, model, take_file, take_table)
        except InvalidFileError as error:
            raise InvalidFileError(str(error).replace(f"{folder}/", "")) from error


def _take_json(path: Path, database: Database, model: Model, take_file: TakeFile, take_table: TakeTable) -> BatchResult:
    try:
        body = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidFileError(f"{path}: not JSON: {error}") from error
    if isinstance(body, dict) and body.get("type") == "FeatureCollection":
        return take_file(database, model, path.rename(path.with_suffix(".geojson")))
    if not isinstance(body, list) or not all(isinstance(record, dict) for record in body):
        raise InvalidFileError(f"{path}: expected a list of objects, or a GeoJSON FeatureCollection.")
    return take_table(database, model, table_of(body), path.name)


def table_of(records: list[dict[str, Any]]) -> pa.Table:
    """The records as a table with a column for every key. A column of mixed types becomes text."""
    names = dict.fromkeys(name for record in records for name in record)
    return pa.table({name: _column([record.get(name) for record in records]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])
