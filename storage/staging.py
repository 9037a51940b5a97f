"""The rows of a file on their way in: typed, placed on the map and in a region, and judged."""

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj

from storage import grid
from storage.database import quote
from storage.errors import InvalidFileError
from storage.readers import Source
from storage.region_lookup import RegionLookup
from storage.validation import Layout, Typed, raw, reason

MISSING, OUTSIDE = 1, 2
NOT_PLACED = (
    ("coordinates missing", f"misplaced = {MISSING}"),
    ("coordinates outside the world", f"misplaced = {OUTSIDE}"),
)


def columns_of(source: Source) -> dict[str, str]:
    """The names and DuckDB types of a source's columns."""
    return {name: str(kind) for name, kind in zip(source.relation.columns, source.relation.types, strict=True)}


def stage(connection: duckdb.DuckDBPyConnection, source: Source, layout: Layout) -> None:
    """Make `staged`: the columns that are read from the file, in the order of its rows."""
    chosen = ", ".join(f"{quote(column)} AS {raw(column)}" for column in layout.used)
    incoming = source.relation.project(chosen)
    try:
        connection.execute("CREATE TEMP TABLE staged AS FROM incoming")
    except duckdb.Error as error:
        raise InvalidFileError(f"{layout.source}: cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        del incoming


def judge(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    layout: Layout,
    typed: list[Typed],
    lookup: RegionLookup | None,
) -> None:
    """Make `judged` of a predictions file: typed columns, map position, region, and a reason to refuse or NULL."""
    stage(connection, source, layout)
    lon, lat = (next(column for column in typed if column.name == name) for name in ("lon", "lat"))
    coordinates = connection.execute(
        f"SELECT {lon.expression} AS lon, {lat.expression} AS lat FROM staged"
    ).fetchnumpy()
    crs = None if source.has_geometry else layout.model.crs
    placed = place(_plain(coordinates["lon"]), _plain(coordinates["lat"]), crs, lookup)
    chosen = ", ".join(f"{column.expression} AS {column.name}" for column in typed if column.name not in ("lon", "lat"))
    because = reason([*typed, Typed("misplaced", "", NOT_PLACED)])
    connection.execute(f"""
        CREATE TEMP TABLE judged AS
        SELECT staged.rowid AS place, {chosen}, placed.*, {because} AS reason
        FROM staged POSITIONAL JOIN placed
    """)
    del placed


def _plain(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.ma.filled(values.astype(np.float64), np.nan)


def place(
    lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64], crs: str | None, lookup: RegionLookup | None
) -> pa.Table:
    """Where points lie: lon, lat in EPSG:4326 degrees, map position, Morton key, region, and `misplaced`.

    `crs` is that of the given coordinates; None for EPSG:4326. `misplaced` is 0, MISSING or OUTSIDE.
    """
    missing = np.isnan(lon) | np.isnan(lat)
    if crs is not None and crs.upper() != "EPSG:4326":
        try:
            transformer = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
        except pyproj.exceptions.CRSError as error:
            raise InvalidFileError(
                f"crs '{crs}' is not known. Write one such as EPSG:32642 in driftmap.yaml."
            ) from error
        lon, lat = transformer.transform(lon, lat)
    with np.errstate(invalid="ignore"):
        inside = (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
    known_lon, known_lat = np.where(inside, lon, 0.0), np.where(inside, lat, 0.0)
    x, y = grid.position(known_lon, known_lat)
    region = np.zeros(len(lon), np.int32)
    if lookup is not None and inside.any():
        region[inside] = lookup.lookup(known_lon[inside], known_lat[inside])
    return pa.table(
        {
            "lon": np.asarray(lon, float),
            "lat": np.asarray(lat, float),
            "x": x,
            "y": y,
            "morton": grid.morton(x, y),
            "region": region,
            "misplaced": np.where(missing, MISSING, np.where(inside, 0, OUTSIDE)).astype(np.int8),
        }
    )
