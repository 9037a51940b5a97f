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
        raise InvalidFileError(
            f"{source}: the CRS '{str(crs)[:60]}' is unknown; use one like EPSG:4326"
        ) from error


@dataclass(frozen=True)
class Places:
    """Columns `__lon`, `__lat`, `__area_m2` of a batch of geometries, and how many were repaired."""

    table: pa.Table
    repaired: int


def places(wkb: pa.Array | pa.ChunkedArray, crs: CRS | None) -> Places:
    """A point (degrees, EPSG:4326) and a geodesic area (m², polygons only) for each WKB geometry.

    A polygon's point lies on its surface. Missing, empty and unreadable geometries, and those that
    cannot be brought to degrees, give nulls. `crs` None is EPSG:4326.
    """
    values = np.asarray(wkb.to_numpy(zero_copy_only=False), dtype=object)
    geometries = shapely.force_2d(shapely.from_wkb(values, on_invalid="ignore"))
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    geometries[owner[~np.isfinite(coordinates).all(axis=1)]] = None
    polygon = np.isin(shapely.get_type_id(geometries), _POLYGONS)
    invalid = polygon & ~shapely.is_valid(geometries)
    geometries[invalid] = shapely.make_valid(geometries[invalid], method="structure", keep_collapsed=False)

    transformer = None
    if crs is not None and not crs.equals(_WGS84, ignore_axis_order=True):
        transformer = Transformer.from_crs(crs, _WGS84, always_xy=True)
    point = shapely.get_type_id(geometries) == shapely.GeometryType.POINT
    representative = geometries.copy()
    representative[~point] = shapely.point_on_surface(geometries[~point])
    lon, lat = shapely.get_x(representative), shapely.get_y(representative)
    area = np.full(len(geometries), np.nan)
    outlines = geometries[polygon]
    if transformer is not None:
        lon, lat = transformer.transform(lon, lat)
        outlines = shapely.transform(outlines, transformer.transform, interleaved=False)
    area[polygon] = geodesic_area(outlines)
    located = np.isfinite(lon) & np.isfinite(lat)
    table = pa.table(
        {
            "__lon": pa.array(lon, mask=~located),
            "__lat": pa.array(lat, mask=~located),
            "__area_m2": pa.array(area, mask=~(located & np.isfinite(area))),
        }
    )
    return Places(table, int(invalid.sum()))


def geodesic_area(polygons: np.ndarray) -> np.ndarray:
    """Areas in m² on the WGS 84 ellipsoid (Karney 2013, as in PROJ) of polygons in degrees."""
    areas = np.zeros(len(polygons))
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    coordinates, of_ring = shapely.get_coordinates(rings, return_index=True)
    starts = np.searchsorted(of_ring, np.arange(len(rings) + 1))
    for ring in range(len(rings)):
        lon, lat = coordinates[starts[ring] : starts[ring + 1]].T
        size = abs(_GEOD.polygon_area_perimeter(lon, lat)[0])
        exterior = ring == 0 or part[ring] != part[ring - 1]
        areas[owner[part[ring]]] += size if exterior else -size
    return areas
