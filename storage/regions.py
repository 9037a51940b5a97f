"""Region sets: polygons with parents, and which region each prediction lies in."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyproj
import shapely

from storage import grid, rollups
from storage.batches import Batch, touch
from storage.catalog import model_key
from storage.database import Database
from storage.errors import DriftmapError, InvalidFileError, NotFoundError
from storage.region_lookup import RegionLookup

NO_REGION = 0
DEFAULT_PARENT = "parent_id"  # used where a file has it; a column that was named must be there
GEOD = pyproj.Geod(ellps="WGS84")

_lookups: WeakKeyDictionary[Database, dict[str, tuple[int, RegionLookup]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Region:
    """A region: `key` is its number in the tables, `parent` its parent's; level 1 has no parent."""

    key: int
    id: str
    name: str
    level: int
    parent: int | None
    area_m2: float


@dataclass(frozen=True)
class RegionSet:
    """The regions of one set, by key."""

    name: str
    regions: tuple[Region, ...]

    @cached_property
    def _by_id(self) -> dict[str, Region]:
        return {region.id: region for region in self.regions}

    @cached_property
    def by_key(self) -> dict[int, Region]:
        return {region.key: region for region in self.regions}

    def by_id(self, region: str) -> Region:
        """The region with the id `region`. Raises NotFoundError."""
        try:
            return self._by_id[region]
        except KeyError:
            raise NotFoundError(f"No region '{region}' in the set '{self.name}'.") from None

    def ancestors(self, region: str) -> list[Region]:
        """The parents of `region`, the outermost first."""
        found: list[Region] = []
        parent = self.by_id(region).parent
        while parent is not None:
            found.insert(0, self.by_key[parent])
            parent = self.by_key[parent].parent
        return found

    def descendants(self, region: str) -> list[int]:
        """The keys of `region` and of all that lies in it."""
        keys = [self.by_id(region).key]
        for key in keys:
            keys.extend(child.key for child in self.regions if child.parent == key)
        return keys


@dataclass(frozen=True, slots=True)
class RegionsResult:
    """What loading a region set did. `reassigned`: predictions that lie in another region than before."""

    region_set: str
    loaded: int
    repaired: tuple[str, ...]
    reassigned: int


def load_regions(
    database: Database,
    name: str,
    path: Path,
    id_column: str = "region_id",
    name_column: str = "name",
    parent_column: str | None = DEFAULT_PARENT,
) -> RegionsResult:
    """Add the region set `name` from a file of polygons, or replace it; predictions are assigned anew.

    Any format and CRS that GDAL reads, and GeoParquet. Invalid polygons are repaired and named.
    Raises InvalidFileError where the file or a column is missing, an id is doubled or a parent unknown.
    """
    polygons, repaired = _read(path, id_column, name_column, parent_column)

    def replace(connection: duckdb.DuckDBPyConnection) -> int:
        return _replace(connection, name, polygons)

    reassigned = database.write(replace)
    return RegionsResult(name, len(polygons), tuple(repaired), reassigned)


def _read(
    path: Path, id_column: str, name_column: str, parent_column: str | None
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Polygons in EPSG:4326 with the columns id, name, parent, level, area_m2; and the ids that were repaired."""
    try:
        read = gpd.read_parquet if path.suffix in {".parquet", ".geoparquet"} else gpd.read_file
        frame = read(path)
    except Exception as error:  # GDAL, Arrow and pyogrio each have errors of their own
        raise InvalidFileError(f"{path}: not readable as regions: {str(error).splitlines()[0]}") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise InvalidFileError(f"{path}: has no polygons. Regions come as GeoJSON, GeoPackage or GeoParquet.")
    named = [parent_column] if parent_column not in (None, DEFAULT_PARENT) else []
    for column in (id_column, name_column, *named):
        if column not in frame.columns:
            known = ", ".join(str(name) for name in frame.columns if name != "geometry")
            raise InvalidFileError(
                f"{path}: no column '{column}'. The file has: {known}. "
                "Name the right one with --id, --name or --parent."
            )
    frame = frame.to_crs(4326) if frame.crs is not None else frame.set_crs(4326)
    ids = _texts(frame[id_column])
    parents = _texts(frame[parent_column]) if parent_column in frame.columns else [None] * len(frame)
    if None in ids:
        raise InvalidFileError(f"{path}: row {ids.index(None) + 1} has no '{id_column}'.")
    doubled = sorted({region for region in ids if ids.count(region) > 1}, key=str) if len(set(ids)) < len(ids) else []
    if doubled:
        raise InvalidFileError(f"{path}: the id '{doubled[0]}' stands on more than one region.")
    unknown = sorted({parent for parent in parents if parent is not None and parent not in set(ids)})
    if unknown:
        raise InvalidFileError(f"{path}: '{parent_column}' names '{unknown[0]}', and no region has that id.")
    geometry = np.asarray(frame.geometry.values)
    missing = shapely.is_missing(geometry) | shapely.is_empty(geometry)
    if missing.any():
        raise InvalidFileError(f"{path}: region '{ids[int(np.flatnonzero(missing)[0])]}' has no polygon.")
    broken = ~shapely.is_valid(geometry)
    geometry = np.where(broken, shapely.make_valid(geometry), geometry)
    result = gpd.GeoDataFrame(
        {
            "id": ids,
            "name": [name or region for name, region in zip(_texts(frame[name_column]), ids, strict=True)],
            "parent": parents,
            "level": _levels(dict(zip(ids, parents, strict=True)), path),
            "area_m2": [abs(GEOD.geometry_area_perimeter(shape)[0]) for shape in geometry],
        },
        geometry=geometry,
        crs=4326,
    )
    return result, [str(region) for region, bad in zip(ids, broken, strict=True) if bad]


def _texts(column: pd.Series) -> list[str | None]:
    return [None if pd.isna(value) else str(value).strip() or None for value in column]


def _levels(parents: dict[str | None, str | None], path: Path) -> list[int]:
    levels = []
    for region in parents:
        level, above = 1, parents[region]
        while above is not None:
            level, above = level + 1, parents[above]
            if level > len(parents):
                raise InvalidFileError(f"{path}: region '{region}' is its own ancestor.")
        levels.append(level)
    return levels


def _replace(connection: duckdb.DuckDBPyConnection, name: str, polygons: gpd.GeoDataFrame) -> int:
    rows = connection.execute("SELECT id, key FROM region WHERE region_set = ? ORDER BY key", [name]).fetchall()
    keys = dict(rows)
    following = max(keys.values(), default=0) + 1
    for region in polygons["id"]:
        if region not in keys:
            keys[region] = following
            following += 1
    connection.execute("DELETE FROM region WHERE region_set = ?", [name])
    table = pa.table(
        {
            "region_set": [name] * len(polygons),
            "key": pa.array([keys[region] for region in polygons["id"]], pa.int32()),
            "id": polygons["id"].tolist(),
            "name": polygons["name"].tolist(),
            "level": pa.array(polygons["level"].tolist(), pa.int32()),
            "parent": pa.array([keys.get(parent) for parent in polygons["parent"]], pa.int32()),
            "area_m2": pa.array(polygons["area_m2"].tolist(), pa.float64()),
            "geometry": pa.array(shapely.to_wkb(polygons.geometry.to_numpy()).tolist(), pa.binary()),
        }
    )
    connection.register("new_region", table)
    connection.execute("INSERT INTO region BY NAME FROM new_region")
    connection.unregister("new_region")
    models = connection.execute("SELECT name FROM model WHERE region_set = ?", [name]).fetchall()
    return sum(assign(connection, model) for (model,) in models)


def assign(connection: duckdb.DuckDBPyConnection, model: str) -> int:
    """Put every prediction of `model` into its region anew; the number that changed. Roll-ups follow."""
    (region_set,) = connection.execute("SELECT region_set FROM model WHERE name = ?", [model]).fetchone() or (None,)
    key = model_key(connection, model)
    rows = connection.execute(
        f"SELECT rowid AS row, {grid.LON} AS lon, {grid.LAT} AS lat, region, predicted_at "
        "FROM prediction WHERE model = ?",
        [key],
    ).to_arrow_table()
    if not rows.num_rows:
        return 0
    lookup = build_lookup(connection, region_set)
    found = lookup.lookup(rows["lon"].to_numpy(), rows["lat"].to_numpy()) if lookup else np.zeros(rows.num_rows, int)
    moved = found != rows["region"].to_numpy()
    if not moved.any():
        return 0
    changed = pa.table({"row": rows["row"], "region": found, "predicted_at": rows["predicted_at"]})
    connection.register("moved", changed.filter(pa.array(moved)))
    connection.execute("UPDATE prediction SET region = moved.region FROM moved WHERE prediction.rowid = moved.row")
    touch(connection, Batch(secrets.token_hex(6), "predictions", model, "regions", ""), "moved")
    connection.unregister("moved")
    kept = rollups.kept_levels(connection, key)
    rollups.rebuild(connection, key, {place: levels for place, levels in kept.items() if place[0] == "region"})
    return int(moved.sum())


def build_lookup(connection: duckdb.DuckDBPyConnection, region_set: str | None) -> RegionLookup | None:
    """The look-up of the regions of a set; None where there are none."""
    rows = connection.execute(
        "SELECT key, level, geometry FROM region WHERE region_set = ? ORDER BY key", [region_set]
    ).fetchall()
    if not rows:
        return None
    keys, levels, shapes = zip(*rows, strict=True)
    return RegionLookup(shapely.from_wkb(list(shapes)), np.array(keys, np.int32), np.array(levels, np.int64))


def lookup_for(database: Database, region_set: str | None) -> RegionLookup | None:
    """The look-up of `region_set`, built once and kept until the set is replaced. For the writer thread."""
    if region_set is None:
        return None
    kept = _lookups.setdefault(database, {})
    # Whichever process replaced the set, it shows here.
    ((stamp, count),) = database.rows(
        "SELECT bit_xor(hash(key, level, geometry)), count(*) FROM region WHERE region_set = ?", [region_set]
    )
    if not count:
        raise DriftmapError(
            f"The region set '{region_set}' is not loaded. Load it with 'driftmap regions PATH --set {region_set}'."
        )
    if region_set not in kept or kept[region_set][0] != stamp:
        with database.cursor() as cursor:
            lookup = build_lookup(cursor, region_set)
        assert lookup is not None
        kept[region_set] = (stamp, lookup)
    return kept[region_set][1]


def region_sets(database: Database) -> list[str]:
    """The names of the loaded region sets."""
    return [name for (name,) in database.rows("SELECT DISTINCT region_set FROM region ORDER BY 1")]


def region_set(database: Database, name: str | None) -> RegionSet:
    """The region set `name`, by key; empty where it is None or not loaded."""

    def read() -> RegionSet:
        rows: Sequence[tuple] = database.rows(
            "SELECT key, id, name, level, parent, area_m2 FROM region WHERE region_set = ? ORDER BY key", [name]
        )
        return RegionSet(name or "", tuple(Region(*row) for row in rows))

    return database.remembered(("regions", name), read)


def region_geometries(database: Database, name: str | None) -> gpd.GeoDataFrame:
    """The polygons of a region set in EPSG:4326, with the columns key, id, name, level, parent."""
    rows = database.rows(
        "SELECT key, id, name, level, parent, geometry FROM region WHERE region_set = ? ORDER BY key", [name]
    )
    frame = pd.DataFrame(rows, columns=["key", "id", "name", "level", "parent", "geometry"])
    return gpd.GeoDataFrame(
        frame.drop(columns="geometry"), geometry=shapely.from_wkb(frame["geometry"].to_list()), crs=4326
    )
