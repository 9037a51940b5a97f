"""The demo's world: the same for a seed, well made, and failing where its truth file says."""

import hashlib
import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely

from app.demo.landscape import CLASSES, FEATURES
from app.demo.world import SENSOR, World, build_world
from monitoring.configuration import load_configuration
from monitoring.scoring import score_table

pytest.importorskip("torch")

ROWS = 60_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"), rows=ROWS)


@pytest.fixture(scope="module")
def regions(world: World) -> geopandas.GeoDataFrame:
    return geopandas.read_file(world.folder / "regions.geojson")


@pytest.fixture(scope="module")
def rows(world: World, regions: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Every prediction with its week, district and label (missing where there is none)."""
    configuration = load_configuration(world.configuration)
    model = configuration.models["crops"]
    assert model.scoring is not None
    parts = []
    for week in world.weeks:
        scored = score_table(
            configuration.resolve(model.scoring.program), pq.read_table(week.features), model.stored, 5, 8192
        )
        part = scored.to_pandas().merge(pq.read_table(week.labels).to_pandas(), on="id", how="left")
        assert part["time"].between(week.start, week.end, inclusive="left").all()
        parts.append(part.assign(week=week.number))
    found = pd.concat(parts, ignore_index=True)
    districts = regions[regions["parent_id"].notna()][["region_id", "geometry"]]
    points = geopandas.GeoDataFrame(found, geometry=geopandas.points_from_xy(found["lon"], found["lat"], crs=4326))
    return points.sjoin(districts, how="left")


def files(folder: Path) -> dict[str, str]:
    """Hashes of the files, but for the program: its archive is not, byte for byte, the same twice."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pt2"
    }


def accuracy(rows: pd.DataFrame) -> float:
    labelled = rows[rows["label"].notna()]
    return float((labelled["label"] == labelled["predicted"]).mean())


def of(rows: pd.DataFrame, region: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a district in the reference (weeks 1–8), and since the failure."""
    here = rows[rows["region_id"] == region]
    return here[here["week"] <= 8], here[here["week"] >= 11]


def shift(before: pd.Series, after: pd.Series) -> float:
    return float((after.mean() - before.mean()) / before.std())


def test_the_same_seed_gives_the_same_world_and_another_seed_another(tmp_path: Path) -> None:
    worlds = [build_world(tmp_path / name, seed, rows=4_000) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    first, again, other = (files(tmp_path / name) for name in "abc")
    assert first == again
    assert len(first) == 16 * 2 + 3
    assert first["regions.geojson"] != other["regions.geojson"]
    model = load_configuration(worlds[0].configuration).models["crops"].stored
    table = pq.read_table(worlds[0].weeks[0].features)
    scores = [score_table(w.folder / "model.pt2", table, model, 3, 1000) for w in worlds[:2]]
    np.testing.assert_allclose(scores[0]["confidence"], scores[1]["confidence"], atol=1e-5)


def test_regions_are_valid_and_tile_the_country(regions: geopandas.GeoDataFrame) -> None:
    provinces, districts = regions[regions["parent_id"].isna()], regions[regions["parent_id"].notna()]
    assert (len(provinces), len(districts)) == (6, 54)
    assert regions.geometry.is_valid.all()
    assert regions["region_id"].is_unique
    assert regions["name"].is_unique
    assert shapely.coverage_is_valid(districts.geometry.values)
    country = shapely.union_all(provinces.geometry.values)
    assert country.geom_type == "Polygon"
    assert shapely.area(districts.geometry.values).sum() == pytest.approx(country.area)
    for province in provinces.itertuples():
        own = districts[districts["parent_id"] == province.region_id]
        assert shapely.union_all(own.geometry.values).equals(province.geometry)


def test_weeks_follow_each_other_and_labels_arrive_two_weeks_later(world: World, rows: geopandas.GeoDataFrame) -> None:
    assert [str(week.start.date()) for week in world.weeks[:2]] == ["2026-01-05", "2026-01-12"]
    assert all(a.end == b.start for a, b in zip(world.weeks, world.weeks[1:], strict=False))
    assert all((week.labels_arrive - week.start).days == 14 for week in world.weeks)
    assert len(rows) == ROWS
    assert rows["id"].is_unique
    assert rows["region_id"].isna().mean() < 0.001
    assert rows["label"].notna().mean() == pytest.approx(0.6, abs=0.02)
    assert set(pq.read_schema(world.weeks[0].features).names) == {
        "id", "time", "lon", "lat", "area_m2", *FEATURES
    }  # fmt: skip


def test_before_the_failure_the_classifier_is_good_and_well_calibrated(rows: geopandas.GeoDataFrame) -> None:
    before = rows[(rows["week"] <= 8) & rows["label"].notna()]
    assert 0.85 < accuracy(before) < 0.92
    bins = np.minimum(before["confidence"] * 20, 19).astype(int)
    gaps = (before["label"] == before["predicted"]).astype(float) - before["confidence"]
    ece = gaps.groupby(bins).sum().abs().sum() / len(before)
    assert ece < 0.03
    assert before["label"].value_counts(normalize=True).min() > 0.08
    assert set(before["label"]) == set(CLASSES)


def test_the_sensor_shift_moves_its_features_and_costs_accuracy(world: World, rows: geopandas.GeoDataFrame) -> None:
    assert len(world.truth.sensor) == 3
    for region in world.truth.sensor:
        before, after = of(rows, region)
        for name in SENSOR:
            assert 0.75 < abs(shift(before[name], after[name])) < 1.35, (region, name)
        assert abs(shift(before["slope"], after["slope"])) < 0.2
    sensor = rows[rows["region_id"].isin(world.truth.sensor)]
    assert accuracy(sensor[sensor["week"] >= 11]) < accuracy(sensor[sensor["week"] <= 8]) - 0.04


def test_the_concept_change_costs_accuracy_and_leaves_features_alone(
    world: World, rows: geopandas.GeoDataFrame
) -> None:
    assert len(world.truth.concept) == 2
    for region in world.truth.concept:
        before, after = of(rows, region)
        assert accuracy(after) < accuracy(before) - 0.25
        for name in FEATURES:
            assert abs(shift(before[name], after[name])) < 0.2, (region, name)


def test_elsewhere_nothing_changes_but_the_season(world: World, rows: geopandas.GeoDataFrame) -> None:
    quiet = rows[~rows["region_id"].isin(world.truth.planted)]
    assert accuracy(quiet[quiet["week"] >= 11]) == pytest.approx(accuracy(quiet[quiet["week"] <= 8]), abs=0.02)
    weekly = quiet.groupby("week")["ndvi_early"].mean() - quiet["ndvi_early"].mean()
    weekly /= quiet["ndvi_early"].std()
    first, second = weekly.loc[1:8], weekly.loc[9:16]
    assert 0.05 < first.loc[2:3].mean() < 0.2
    assert -0.2 < first.loc[6:7].mean() < -0.05
    assert np.corrcoef(first, second)[0, 1] > 0.8


def test_the_truth_file_says_what_was_planted(world: World, regions: geopandas.GeoDataFrame) -> None:
    told = json.loads((world.folder / "truth.json").read_text())
    assert told["week"] == 11
    assert told["planted"] == told["sensor"] + told["concept"] == list(world.truth.planted)
    parents = regions.set_index("region_id")["parent_id"]
    assert told["ancestors"] == sorted({parents[region] for region in world.truth.planted})
