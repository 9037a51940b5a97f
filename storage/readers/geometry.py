"""Geometries to points in degrees and areas in square metres."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError

from storage.errors import InvalidFileError

_WGS84 = CRS.from_epsg(4326)
_GEOD = Geod(ellps="WGS84")
_SHORT = 0.1  # degrees: the longest edge for which geodesics and great circles agree well enough
_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


@dataclass(frozen=True)
class GeometryColumn:
    """Where a schema keeps its geometries, and in which CRS (None: the file does not say)."""

    name: str
    crs: CRS | None


def geometry_column(schema: pa.Schema, source: str) -> GeometryColumn | None:
    """The geometry column that GeoParquet or GeoArrow metadata declares, if there is one.

    Raises InvalidFileError for geometries that are not stored as WKB, or a CRS PROJ does not know.
    """
    geo = (schema.metadata or {}).get(b"geo")
    if geo is not None:
        try:
            declared = json.loads(geo)
            name = declared["primary_column"]
            column = declared["columns"][name]
            schema.field(name)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidFileError(f"{source}: its 'geo' metadata is broken; write the file again") from error
        _require_wkb(column.get("encoding", "WKB"), schema.field(name), source)
        # GeoParquet: no `crs` key means longitude and latitude, null means unknown.
        return GeometryColumn(name, parse_crs(column.get("crs", "OGC:CRS84"), source))
    for field in schema:
        extension = _extension(field)
        if extension.startswith(("geoarrow.", "ogc.")):
            _require_wkb(extension.split(".")[1], field, source)
            described = (field.metadata or {}).get(b"ARROW:extension:metadata") or b"{}"
            return GeometryColumn(field.name, parse_crs(json.loads(described).get("crs"), source))
    return None


def _extension(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()


def _require_wkb(encoding: str, field: pa.Field, source: str) -> None:
    binary = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    if encoding.lower() != "wkb" or not binary:
        raise InvalidFileError(f"{source}: the geometries in '{field.name}' are not WKB; write them as WKB")


def parse_crs(crs: object, source: str) -> CRS | None:
    """The CRS of an EPSG code, WKT, PROJJSON (text or dictionary); None stays None."""
    if crs is None or crs == "":
        return None
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise InvalidFileError(f"{source}: the CRS '{str(crs)[:60]}' is unknown; use one like EPSG:4326") from error


@dataclass(frozen=True)
class Places:
    """Columns `__lon`, `__lat`, `__area_m2` of a batch of geometries, and how many were repaired."""

    table: pa.Table
    repaired: int


@np.errstate(invalid="ignore")  # coordinates that are not numbers are expected, and give nulls
def places(wkb: pa.Array | pa.ChunkedArray, crs: CRS | None) -> Places:
    """A point (degrees, EPSG:4326) and a geodesic area (m², polygons only) for each WKB geometry.

    A polygon's point lies on its surface. Missing, empty and unreadable geometries, and those that
    cannot be brought to degrees, give nulls. `crs` None is EPSG:4326.
    """
    values = np.asarray(wkb.to_numpy(zero_copy_only=False), dtype=object)
    geometries = shapely.force_2d(shapely.from_wkb(values, on_invalid="ignore"))
    geometries[_unbounded(geometries)] = None
    geometries[shapely.is_empty(geometries)] = None
    polygon = np.isin(shapely.get_type_id(geometries), _POLYGONS)
    invalid = polygon & ~shapely.is_valid(geometries)
    geometries[invalid] = shapely.make_valid(geometries[invalid], method="structure", keep_collapsed=False)

    transformer = None
    if crs is not None and not crs.equals(_WGS84, ignore_axis_order=True):
        transformer = Transformer.from_crs(crs, _WGS84, always_xy=True)
    geometries[shapely.is_empty(geometries)] = None
    point = shapely.get_type_id(geometries) == shapely.GeometryType.POINT
    representative = geometries.copy()
    representative[~point] = shapely.point_on_surface(geometries[~point])
    polygon &= ~shapely.is_missing(geometries)
    lon, lat = shapely.get_x(representative), shapely.get_y(representative)
    area = np.full(len(geometries), np.nan)
    outlines = geometries[polygon]
    if transformer is not None:
        lon, lat = transformer.transform(lon, lat)
        outlines = shapely.transform(outlines, transformer.transform, interleaved=False)
    outlines[_unbounded(outlines)] = None
    area[polygon] = np.where(shapely.is_missing(outlines), np.nan, geodesic_area(outlines))
    located = np.isfinite(lon) & np.isfinite(lat)
    table = pa.table(
        {
            "__lon": pa.array(lon, mask=~located),
            "__lat": pa.array(lat, mask=~located),
            "__area_m2": pa.array(area, mask=~(located & np.isfinite(area))),
        }
    )
    return Places(table, int(invalid.sum()))


def _unbounded(geometries: np.ndarray) -> np.ndarray:
    """The positions of geometries with a coordinate that is not a finite number."""
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    return owner[~np.isfinite(coordinates).all(axis=1)]


def geodesic_area(polygons: np.ndarray) -> np.ndarray:
    """Areas in m² on the WGS 84 ellipsoid of (multi)polygons in degrees, to about 1 in 10⁷.

    Karney (2013) as in PROJ; rings whose edges are all short, which are most, go through the far
    faster sum of spherical excesses on the authalic sphere (Snyder 1987, eq. 3-11 to 3-13).
    """
    areas = np.zeros(len(polygons))
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    if len(rings) == 0:
        return areas
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    starts = np.searchsorted(ring, np.arange(len(rings) + 1))
    size, exact = _short_edged_area(coordinates, ring, len(rings))
    for other in np.flatnonzero(~exact):
        lon, lat = coordinates[starts[other] : starts[other + 1]].T
        size[other] = abs(_GEOD.polygon_area_perimeter(lon, lat)[0])
    hole = np.diff(part, prepend=-1) == 0
    np.add.at(areas, owner[part], np.where(hole, -size, size))
    return areas


def _short_edged_area(coordinates: np.ndarray, ring: np.ndarray, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Each ring's area in m², and whether it holds: edges within `_SHORT` degrees, no pole inside."""
    e = np.sqrt(_GEOD.es)
    sine = np.sin(np.radians(coordinates[:, 1]))
    q, q_pole = ((1 - e**2) * (x / (1 - (e * x) ** 2) + np.arctanh(e * x) / e) for x in (sine, np.float64(1)))
    half = np.tan(np.arcsin(np.clip(q / q_pole, -1, 1)) / 2)
    same = ring[1:] == ring[:-1]
    of_edge = ring[1:][same]
    across, up = np.diff(coordinates, axis=0)[same].T
    turn = np.radians((across + 180) % 360 - 180) if np.abs(across).max() > 180 else np.radians(across)
    first, second = half[:-1][same], half[1:][same]
    excess = 2 * np.arctan2(np.tan(turn / 2) * (first + second), 1 + first * second)
    area = np.abs(np.bincount(of_edge, excess, rings)) * _GEOD.a**2 * q_pole / 2
    long = np.maximum(np.abs(across), np.abs(up)) > _SHORT
    around_a_pole = np.abs(np.bincount(of_edge, turn, rings)) > 1
    return area, (np.bincount(of_edge, long, rings) == 0) & ~around_a_pole
