"""Region sets: parents, broken polygons, mistakes in the file, and predictions that follow a new set."""

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pytest
import shapely

from storage import queries
from storage.catalog import register_model
from storage.database import Database
from storage.errors import DriftmapError, InvalidFileError, NotFoundError
from storage.ingest import ingest_table
from storage.models import Model
from storage.queries import Filter
from storage.regions import load_regions, region_geometries, region_set, region_sets
from tests.storage.plain import Square, write_regions

MODEL = Model(name="crops", classes=("wheat", "rice"), features={"ndvi": "numeric"}, regions="districts")
SQUARES = (Square("north", 60, 40, 4), Square("a", 60, 40, 2, "north"), Square("b", 62, 42, 2, "north"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        yield opened


def predictions(*places: tuple[float, float]) -> pa.Table:
    return pa.table(
        {
            "id": [f"s{number}" for number in range(len(places))],
            "time": ["2026-03-01"] * len(places),
            "lon": [lon for lon, _ in places],
            "lat": [lat for _, lat in places],
            "predicted": ["wheat"] * len(places),
            "ndvi": [0.5] * len(places),
        }
    )


def counts(database: Database, set_name: str = "districts") -> dict[str | None, int]:
    keys = {region.key: region.id for region in region_set(database, set_name).regions}
    outcomes = queries.outcomes_by_region(database, Filter("crops"))
    features = queries.feature_histogram(database, Filter("crops"), "ndvi")
    assert dict(zip(features["region"], features["n"], strict=True)) == dict(
        zip(outcomes["region"], outcomes["n"], strict=True)
    )
    return {keys.get(key): n for key, n in zip(outcomes["region"], outcomes["n"], strict=True)}


def test_a_region_knows_its_parents_children_level_and_area(database: Database, tmp_path: Path) -> None:
    result = load_regions(database, "districts", write_regions(SQUARES, tmp_path / "regions.geojson"))
    assert (result.loaded, result.repaired, result.reassigned) == (3, (), 0)
    known = region_set(database, "districts")
    north, a, b = (known.by_id(name) for name in ("north", "a", "b"))
    assert (north.level, north.parent, a.level, a.parent) == (1, None, 2, north.key)
    assert a.name == "the a"
    assert known.descendants("north") == [north.key, a.key, b.key]
    assert [region.id for region in known.ancestors("a")] == ["north"]
    assert known.ancestors("north") == []
    assert north.area_m2 == pytest.approx(1.474e11, rel=0.01)  # 4° × 4° around 42° N
    with pytest.raises(NotFoundError, match="No region 'c' in the set 'districts'"):
        known.by_id("c")
    shapes = region_geometries(database, "districts")
    assert shapes.crs == "EPSG:4326"
    assert list(shapes["id"]) == ["north", "a", "b"]
    assert region_sets(database) == ["districts"]


def test_a_point_is_in_the_deepest_region_and_outside_all_it_is_in_none(database: Database, tmp_path: Path) -> None:
    load_regions(database, "districts", write_regions(SQUARES, tmp_path / "regions.geojson"))
    register_model(database, MODEL)
    result = ingest_table(database, MODEL, predictions((61, 41), (63, 41), (10, 10), (63, 43)), "rows")
    assert (result.accepted, result.outside_regions) == (4, 1)
    assert counts(database) == {"a": 1, "b": 1, "north": 1, None: 1}
    assert queries.count(database, Filter("crops", region="north")) == 3
    assert queries.count(database, Filter("crops", region="a")) == 1


def test_a_new_set_moves_predictions_and_roll_ups_and_keeps_the_keys_of_ids_that_stay(
    database: Database, tmp_path: Path
) -> None:
    load_regions(database, "districts", write_regions(SQUARES, tmp_path / "regions.geojson"))
    register_model(database, MODEL)
    ingest_table(database, MODEL, predictions((61, 41), (63, 41), (10, 10), (63, 43)), "rows")
    key = region_set(database, "districts").by_id("b").key
    other = (Square("b", 60, 40, 2), Square("far", 9, 9, 2))
    result = load_regions(database, "districts", write_regions(other, tmp_path / "other.geojson"))
    assert (result.loaded, result.reassigned) == (2, 4)
    assert region_set(database, "districts").by_id("b").key == key
    assert counts(database) == {"b": 1, "far": 1, None: 2}
    ingest_table(database, MODEL, predictions((61, 41), (61, 41.5)), "more")
    assert counts(database) == {"b": 2, "far": 1, None: 1}
    again = load_regions(database, "districts", write_regions(other, tmp_path / "other.geojson"))
    assert again.reassigned == 0


def test_a_model_that_names_another_set_is_put_into_the_regions_of_that_one(database: Database, tmp_path: Path) -> None:
    load_regions(database, "districts", write_regions(SQUARES, tmp_path / "regions.geojson"))
    load_regions(database, "zones", write_regions((Square("zone", 9, 9, 2),), tmp_path / "zones.geojson"))
    register_model(database, MODEL)
    ingest_table(database, MODEL, predictions((61, 41), (10, 10)), "rows")
    register_model(database, MODEL.model_copy(update={"regions": "zones"}))
    assert counts(database, "zones") == {"zone": 1, None: 1}
    register_model(database, MODEL.model_copy(update={"regions": None}))
    assert counts(database) == {None: 2}


def test_invalid_polygons_are_repaired_and_named(database: Database, tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(60, 40), (62, 42), (62, 40), (60, 42)])
    frame = gpd.GeoDataFrame(
        {"region_id": [1, 2], "name": ["bow tie", None]}, geometry=[bow_tie, shapely.box(70, 40, 71, 41)], crs=4326
    )
    frame.to_file(tmp_path / "regions.gpkg")
    result = load_regions(database, "districts", tmp_path / "regions.gpkg")
    assert (result.loaded, result.repaired) == (2, ("1",))
    assert region_geometries(database, "districts").is_valid.all()
    assert [region.name for region in region_set(database, "districts").regions] == ["bow tie", "2"]


def test_regions_may_come_in_any_crs_and_with_columns_of_any_name(database: Database, tmp_path: Path) -> None:
    name = "'; DROP TABLE region; --"
    frame = gpd.GeoDataFrame({"code": [name], "label": ['"']}, geometry=[shapely.box(60, 40, 62, 42)], crs=4326).to_crs(
        32641
    )
    frame.to_parquet(tmp_path / "regions.parquet")
    load_regions(database, "districts", tmp_path / "regions.parquet", "code", "label", None)
    register_model(database, MODEL)
    ingest_table(database, MODEL, predictions((61, 41)), "rows")
    assert counts(database) == {name: 1}
    assert queries.count(database, Filter("crops", region=name)) == 1


def box(west: float) -> shapely.Polygon:
    return shapely.box(west, 40, west + 1, 41)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"region_id": ["a", "b"], "parent_id": [None, "c"]}, "'parent_id' names 'c'"),
        ({"region_id": ["a", "a"], "parent_id": [None, None]}, "the id 'a' stands on more than one region"),
        ({"region_id": ["a", None], "parent_id": [None, None]}, "row 2 has no 'region_id'"),
        ({"region_id": ["a", "b"], "parent_id": ["b", "a"]}, "is its own ancestor"),
        ({"region_id": ["a", "b"], "parent_id": ["a", None]}, "is its own ancestor"),
        ({"id": ["a", "b"]}, "no column 'region_id'"),
    ],
)
def test_a_set_with_a_mistake_changes_nothing_and_says_which(
    database: Database, tmp_path: Path, columns: dict, message: str
) -> None:
    load_regions(database, "districts", write_regions(SQUARES, tmp_path / "regions.geojson"))
    frame = gpd.GeoDataFrame({**columns, "name": ["A", "B"]}, geometry=[box(60), box(61)], crs=4326)
    frame.to_file(tmp_path / "wrong.gpkg")
    with pytest.raises(InvalidFileError, match=message):
        load_regions(database, "districts", tmp_path / "wrong.gpkg")
    assert len(region_set(database, "districts").regions) == 3


def test_a_region_without_polygon_is_named(database: Database, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"region_id": ["a", "b"], "name": ["A", "B"]}, geometry=[box(60), None], crs=4326)
    frame.to_parquet(tmp_path / "regions.parquet")
    with pytest.raises(InvalidFileError, match="region 'b' has no polygon"):
        load_regions(database, "districts", tmp_path / "regions.parquet")


@pytest.mark.parametrize("name", ["missing.geojson", "text.geojson", "text.parquet"])
def test_a_file_that_cannot_be_read_is_named(database: Database, tmp_path: Path, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_text("no regions")
    with pytest.raises(InvalidFileError, match=name):
        load_regions(database, "districts", tmp_path / name)


def test_ingest_for_a_set_that_is_not_loaded_says_how_to_load_it(database: Database) -> None:
    register_model(database, MODEL)
    with pytest.raises(DriftmapError, match="driftmap regions PATH --set districts"):
        ingest_table(database, MODEL, predictions((61, 41)), "rows")


def test_a_table_without_geometry_is_no_region_set(database: Database, tmp_path: Path) -> None:
    pd.DataFrame({"region_id": ["a"], "name": ["A"]}).to_csv(tmp_path / "regions.csv", index=False)
    with pytest.raises(InvalidFileError, match=r"regions\.csv"):
        load_regions(database, "districts", tmp_path / "regions.csv")


def test_a_parent_column_that_was_named_must_be_there(database: Database, tmp_path: Path) -> None:
    path = write_regions(SQUARES, tmp_path / "regions.geojson")
    with pytest.raises(InvalidFileError, match="no column 'province'"):
        load_regions(database, "districts", path, parent_column="province")
