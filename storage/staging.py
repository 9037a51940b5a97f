"""The rows of a file on their way in: typed, placed on the map and in a region, and judged."""

import secrets
from collections.abc import Callable

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
from storage.region_lookup import PER_DEGREE, RegionLookup
from storage.validation import Layout, Typed, literal, raw, reason

Floats = npt.NDArray[np.float64]

MISSING, OUTSIDE = 1, 2
NOT_PLACED = (
    ("coordinates missing", f"placed.misplaced = {MISSING}"),
    ("coordinates outside the world", f"placed.misplaced = {OUTSIDE}"),
)
PLACED = {
    "lon": "INTEGER", "lat": "INTEGER", "x": "INTEGER", "y": "INTEGER", "morton": "BIGINT", "region": "INTEGER",
    "misplaced": "TINYINT",
}  # fmt: skip


def columns_of(source: Source) -> dict[str, str]:
    """The names and DuckDB types of a source's columns."""
    return {name: str(kind) for name, kind in zip(source.relation.columns, source.relation.types, strict=True)}


def judge(connection: duckdb.DuckDBPyConnection, source: Source, layout: Layout, typed: list[Typed]) -> None:
    """Make `judged`, in the order of the file: typed columns, a reason to refuse or NULL, the refused row as JSON.

    The columns of the file stay too, as `raw` names them.
    """
    _judge(connection, source, layout, typed, "", "".join(f", {raw(column)}" for column in layout.used), reason(typed))


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
    """As `judge`, without the columns of the file, and with where each row lies: lon, lat, x, y, morton, region."""
    lon, lat = (next(column for column in typed if column.name == name) for name in ("lon", "lat"))
    others = [column for column in typed if column not in (lon, lat)]
    crs = None if source.has_geometry else layout.model.crs
    to_degrees = _transformer(crs)

    def placed(lon: pa.ChunkedArray, lat: pa.ChunkedArray) -> pa.StructArray:
        return place(*to_degrees(_plain(lon), _plain(lat)), lookup)

    kinds = ", ".join(f"{name} {kind}" for name, kind in PLACED.items())
    function = f"placed_{secrets.token_hex(6)}"  # one of its own: after a failure it can no longer be removed
    connection.create_function(
        function,
        placed,
        ["DOUBLE", "DOUBLE"],
        f"STRUCT({kinds})",
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    because = reason([Typed("", "", lon.refusals + lat.refusals), *others, Typed("", "", NOT_PLACED)])
    inner = f", {function}(CAST({lon.expression} AS DOUBLE), CAST({lat.expression} AS DOUBLE)) AS placed"
    outer = "".join(f", placed.{name}" for name in PLACED if name != "misplaced")
    _judge(connection, source, layout, others, inner, outer, because)
    connection.remove_function(function)


def _judge(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    layout: Layout,
    typed: list[Typed],
    inner: str,
    outer: str,
    because: str,
) -> None:
    chosen = ", ".join(f"{quote(column)} AS {raw(column)}" for column in layout.used)
    names = ", ".join(column.name for column in typed)
    expressions = ", ".join(f"{column.expression} AS {column.name}" for column in typed)
    incoming = source.relation.project(chosen)
    try:
        # One pass over the file, and one copy of its rows.
        connection.execute(f"""
            CREATE TEMP TABLE judged AS
            SELECT {names}{outer}, {because} AS reason,
                CASE WHEN {because} IS NOT NULL THEN {raw_content(layout)} END AS content
            FROM (SELECT *, {expressions}{inner} FROM incoming)
        """)
    except duckdb.Error as error:
        raise InvalidFileError(f"{layout.source}: cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        del incoming


Degrees = Callable[[Floats, Floats], tuple[Floats, Floats]]


def _transformer(crs: str | None) -> Degrees:
    """What makes longitudes and latitudes in degrees of coordinates in `crs`; None stands for EPSG:4326."""
    if crs is None or crs.upper() == "EPSG:4326":
        return lambda lon, lat: (lon, lat)
    try:
        transformer = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    except pyproj.exceptions.CRSError as error:
        raise InvalidFileError(f"crs '{crs}' is not known. Write one such as EPSG:32642 in driftmap.yaml.") from error
    return lambda lon, lat: transformer.transform(lon, lat)


def _plain(values: pa.ChunkedArray) -> Floats:
    plain: Floats = values.to_numpy().astype(np.float64)
    return plain


def place(lon: Floats, lat: Floats, lookup: RegionLookup | None) -> pa.StructArray:
    """Where points (degrees, EPSG:4326) lie: the fields of PLACED.

    Positions are kept to 1e-7 degrees (1 cm), and everything else follows from what is kept. `misplaced` is 0,
    MISSING or OUTSIDE.
    """
    missing = np.isnan(lon) | np.isnan(lat)
    with np.errstate(invalid="ignore"):
        inside = (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
    lon, lat = (np.where(inside, np.round(degrees * PER_DEGREE), 0.0) for degrees in (lon, lat))
    known_lon, known_lat = lon / PER_DEGREE, lat / PER_DEGREE
    x, y = grid.position(known_lon, known_lat)
    region = np.zeros(len(lon), np.int32) if lookup is None else lookup.lookup(known_lon, known_lat)
    misplaced = np.where(missing, MISSING, np.where(inside, 0, OUTSIDE)).astype(np.int8)
    columns = (lon.astype(np.int32), lat.astype(np.int32), x, y, grid.morton(x, y).astype(np.int64), region, misplaced)
    return pa.StructArray.from_arrays([pa.array(column) for column in columns], names=list(PLACED))
