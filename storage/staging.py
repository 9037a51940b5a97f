"""The rows of a file on their way in: typed, placed on the map and in a region, and judged."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
from duckdb.func import FunctionNullHandling, PythonUDFType

from storage import grid
from storage.database import quote
from storage.errors import InvalidFileError
from storage.readers import Source
from storage.region_lookup import RegionLookup
from storage.validation import Layout, Typed, literal, raw, reason

Floats = npt.NDArray[np.float64]

NOT_PLACED = (
    ("coordinates missing", "coalesce(isnan(given_lon) OR isnan(given_lat), true)"),
    ("coordinates outside the world", "lon IS NULL"),
)


def columns_of(source: Source) -> dict[str, str]:
    """The names and DuckDB types of a source's columns."""
    return {name: str(kind) for name, kind in zip(source.relation.columns, source.relation.types, strict=True)}


def judge(connection: duckdb.DuckDBPyConnection, source: Source, layout: Layout, typed: list[Typed]) -> None:
    """Make `judged`, in the order of the file: typed columns, a reason to refuse or NULL, the refused row as JSON.

    The columns of the file stay too, as `raw` names them.
    """
    names = [*(column.name for column in typed), *(raw(column) for column in layout.used)]
    _judge(connection, source, layout, f"SELECT *, {_expressions(typed)} FROM incoming", names, reason(typed))


def raw_content(layout: Layout) -> str:
    """SQL for a row of the file as JSON."""
    return f"json_object({', '.join(f'{literal(column)}, {raw(column)}' for column in layout.used)})"


def judge_predictions(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    layout: Layout,
    typed: list[Typed],
    lookup: RegionLookup | None,
) -> None:
    """As `judge`, without the columns of the file, and with where each row lies: x, y, region.

    Positions are kept to 1e-7 degrees (1 cm), and everything else follows from what is kept.
    """
    lon, lat = (next(column for column in typed if column.name == name) for name in ("lon", "lat"))
    others = [column for column in typed if column not in (lon, lat)]
    given_lon, given_lat = (f"CAST({column.expression} AS DOUBLE)" for column in (lon, lat))
    with ExitStack() as functions:
        crs = None if source.has_geometry else layout.model.crs
        if crs is not None and crs.upper() != "EPSG:4326":
            degrees = functions.enter_context(_to_degrees(connection, crs))
            given_lon, given_lat = (f"{degrees}({given_lon}, {given_lat}).{name}" for name in ("lon", "lat"))
        region = "0::INTEGER"
        if lookup is not None:
            region = f"{functions.enter_context(_to_region(connection, lookup))}(lon, lat)"
        within = "given_lon BETWEEN -180 AND 180 AND given_lat BETWEEN -90 AND 90"
        kept = ", ".join(
            f"CASE WHEN {within} THEN round_even(given_{each} * 1e7, 0) / 1e7 END AS {each}" for each in ("lon", "lat")
        )
        relation = f"""
            SELECT *, {grid.X} AS x, {grid.Y} AS y, {region} AS region FROM (
                SELECT *, {kept} FROM (
                    SELECT *, {_expressions(others)}, {given_lon} AS given_lon, {given_lat} AS given_lat FROM incoming
                )
            )
        """
        names = [*(column.name for column in others), "x", "y", "region"]
        because = reason([Typed("", "", lon.refusals + lat.refusals), *others, Typed("", "", NOT_PLACED)])
        _judge(connection, source, layout, relation, names, because)


def _expressions(typed: list[Typed]) -> str:
    return ", ".join(f"{column.expression} AS {column.name}" for column in typed)


def _judge(
    connection: duckdb.DuckDBPyConnection, source: Source, layout: Layout, relation: str, names: list[str], because: str
) -> None:
    chosen = ", ".join(f"{quote(column)} AS {raw(column)}" for column in layout.used)
    incoming = source.relation.project(chosen)
    try:
        # One pass over the file, and one copy of its rows.
        connection.execute(f"""
            CREATE TEMP TABLE judged AS
            SELECT {", ".join(names)}, reason, CASE WHEN reason IS NOT NULL THEN {raw_content(layout)} END AS content
            FROM (SELECT *, {because} AS reason FROM ({relation}))
        """)
    except duckdb.Error as error:
        raise InvalidFileError(f"{layout.source}: cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        del incoming


@contextmanager
def _to_degrees(connection: duckdb.DuckDBPyConnection, crs: str) -> Iterator[str]:
    """The name of an SQL function of coordinates in `crs`: their longitude and latitude (EPSG:4326), lon and lat."""
    try:
        transformer = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    except pyproj.exceptions.CRSError as error:
        raise InvalidFileError(f"crs '{crs}' is not known. Write one such as EPSG:32642 in driftmap.yaml.") from error

    def degrees(x: pa.ChunkedArray, y: pa.ChunkedArray) -> pa.StructArray:
        lon, lat = transformer.transform(_plain(x), _plain(y))
        return pa.StructArray.from_arrays([pa.array(lon), pa.array(lat)], names=["lon", "lat"])

    with _function(connection, degrees, "STRUCT(lon DOUBLE, lat DOUBLE)") as name:
        yield name


@contextmanager
def _to_region(connection: duckdb.DuckDBPyConnection, lookup: RegionLookup) -> Iterator[str]:
    """The name of an SQL function of longitude and latitude: the key of the deepest region there."""

    def region(lon: pa.ChunkedArray, lat: pa.ChunkedArray) -> pa.Array:
        return pa.array(lookup.lookup(_plain(lon), _plain(lat)))

    with _function(connection, region, "INTEGER") as name:
        yield name


@contextmanager
def _function(
    connection: duckdb.DuckDBPyConnection,
    function: Callable[[pa.ChunkedArray, pa.ChunkedArray], pa.Array],
    returns: str,
) -> Iterator[str]:
    name = f"of_position_{secrets.token_hex(6)}"  # one of its own: after a failure it can no longer be removed
    connection.create_function(
        name, function, ["DOUBLE", "DOUBLE"], returns, type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )  # fmt: skip
    yield name
    connection.remove_function(name)


def _plain(values: pa.ChunkedArray) -> Floats:
    plain: Floats = values.to_numpy().astype(np.float64)
    return plain
