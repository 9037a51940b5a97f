"""Files of every format go in alike; a file that fails changes nothing; odd names and values do no harm."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import shapely

from storage import ingest, queries, rollups
from storage.batches import batches
from storage.catalog import register_model
from storage.database import Database
from storage.errors import DriftmapError, InvalidFileError
from storage.ingest import ingest_file, ingest_table
from storage.models import Columns, Model
from storage.periods import Period
from storage.queries import Filter
from tests.storage.plain import least_rows

MODEL = Model(name="crops", classes=("wheat", "rice"), features={"ndvi": "numeric", "sensor": "categorical"})
TABLES = (
    "prediction",
    "region_rollup",
    "cell_rollup",
    "outcome_rollup",
    "rollup_level",
    "touched_day",
    "batch",
    "rejected_row",
    "feature_bins",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        register_model(opened, MODEL)
        yield opened


def rows(count: int = 50, seed: int = 1) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"s{number}" for number in range(count)],
            "time": pd.Timestamp("2026-03-01") + pd.to_timedelta(generator.integers(0, 5 * 86_400, count), unit="s"),
            "lon": generator.uniform(68.9, 69.1, count).round(6),
            "lat": generator.uniform(40.9, 41.1, count).round(6),
            "predicted": generator.choice(["wheat", "rice"], count),
            "confidence": generator.uniform(0.5, 1, count).round(4),
            "ndvi": generator.normal(0.4, 0.1, count).round(4),
            "sensor": generator.choice(["A", "B"], count),
            "label": generator.choice(["wheat", "rice", None], count),
        }
    )


def content(database: Database) -> dict[str, list[tuple]]:
    return {table: database.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in TABLES}


def points(frame: pd.DataFrame, crs: int = 4326) -> gpd.GeoDataFrame:
    placed = gpd.GeoDataFrame(frame, geometry=gpd.points_from_xy(frame["lon"], frame["lat"]), crs=4326)
    return placed.drop(columns=["lon", "lat"]).to_crs(crs)


def as_csv(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv", "EPSG:4326"


def as_parquet(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    frame.to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet", "EPSG:4326"


def as_arrow(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    pyarrow.feather.write_feather(frame, folder / "rows.arrow")
    return folder / "rows.arrow", "EPSG:4326"


def as_geoparquet(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    points(frame).to_parquet(folder / "rows.geoparquet")
    return folder / "rows.geoparquet", "EPSG:4326"


def as_projected_geoparquet(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    points(frame, 32642).to_parquet(folder / "rows.geoparquet")
    return folder / "rows.geoparquet", "EPSG:4326"


def as_geojson(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    points(frame).to_file(folder / "rows.geojson", driver="GeoJSON")
    return folder / "rows.geojson", "EPSG:4326"


def as_geopackage(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    points(frame, 32642).to_file(folder / "rows.gpkg", driver="GPKG")
    return folder / "rows.gpkg", "EPSG:4326"


def as_projected_csv(frame: pd.DataFrame, folder: Path) -> tuple[Path, str]:
    projected = points(frame, 32642).geometry
    frame.assign(lon=projected.x, lat=projected.y).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv", "EPSG:32642"


@pytest.mark.parametrize(
    "write",
    [as_csv, as_parquet, as_arrow, as_geoparquet, as_projected_geoparquet, as_geojson, as_geopackage, as_projected_csv],
)
def test_every_format_gives_the_same_rows(database: Database, tmp_path: Path, write) -> None:
    sent = rows()
    path, crs = write(sent, tmp_path)
    result = ingest_file(database, MODEL.model_copy(update={"crs": crs}), path)
    assert (result.accepted, result.refused) == (50, {})
    found = queries.predictions(database, Filter("crops")).sort_values("id", ignore_index=True)
    sent = sent.sort_values("id", ignore_index=True)
    for column in ("id", "predicted"):
        assert list(found[column]) == list(sent[column])
    assert list(found["label"].fillna("")) == list(sent["label"].fillna(""))
    assert list(found["predicted_at"]) == list(sent["time"])
    for column, step in (("lon", 1e-8), ("lat", 1e-8), ("confidence", 1e-12)):
        np.testing.assert_allclose(found[column].astype(float), sent[column], atol=step)
    drawn = queries.sample(database, Filter("crops"), 100, 0)
    np.testing.assert_allclose(sorted(drawn["ndvi"]), sorted(sent["ndvi"]), rtol=1e-6)
    assert sorted(drawn["sensor"]) == sorted(sent["sensor"])


@pytest.mark.parametrize("name", ["rows.geojson", "rows.gpkg", "rows.geoparquet"])
def test_polygons_are_placed_inside_themselves_and_bring_their_area(
    database: Database, tmp_path: Path, name: str
) -> None:
    frame = points(rows(3), 32642)
    shapes = [shapely.box(p.x - 50, p.y - 50, p.x + 50, p.y + 50) for p in frame.geometry]
    corner = np.array([frame.geometry[0].x, frame.geometry[0].y])
    shapes[0] = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])  # a bow tie
    shapes[0] = shapely.transform(shapes[0], lambda xy: xy + corner)
    fields = frame.set_geometry(shapes, crs=32642)
    fields = fields.to_crs(4326) if name.endswith("geojson") else fields
    path = tmp_path / name
    fields.to_parquet(path) if name.endswith("parquet") else fields.to_file(path)
    result = ingest_file(database, MODEL, path)
    assert (result.accepted, result.repaired) == (3, 1)
    found = queries.predictions(database, Filter("crops")).set_index("id")["area_m2"]
    assert found["s1"] == pytest.approx(10_000, rel=0.002)
    assert found["s0"] == pytest.approx(5_000, rel=0.002)


def test_the_same_id_with_other_content_replaces_the_row_and_keeps_its_label(database: Database) -> None:
    sent = rows(4).assign(label=["wheat", "rice", None, None])
    ingest_table(database, MODEL, pa.Table.from_pandas(sent), "first")
    moved = sent.assign(label=None, time=sent["time"] + pd.Timedelta(days=9), predicted="rice")
    result = ingest_table(database, MODEL, pa.Table.from_pandas(moved), "second")
    assert (result.accepted, result.replaced, result.unchanged) == (0, 4, 0)
    found = queries.outcomes_by_day(database, Filter("crops"))
    assert (found["n"].sum(), found["n_labelled"].sum(), found["n_correct"].sum()) == (4, 2, 1)
    assert found["day"].min() >= pd.Timestamp("2026-03-10")
    window = queries.time_extent(database, "crops")
    assert window is not None
    assert window.start >= datetime(2026, 3, 10)


def test_of_one_id_twice_in_a_file_the_last_row_stays_with_the_label_of_either(database: Database) -> None:
    sent = rows(2).assign(id="s", label=["rice", None], predicted="rice")
    result = ingest_table(database, MODEL, pa.Table.from_pandas(sent), "doubled")
    assert (result.rows, result.accepted, result.replaced, result.unchanged) == (2, 1, 1, 0)
    (row,) = queries.predictions(database, Filter("crops")).to_dict("records")
    assert (row["label"], row["confidence"]) == ("rice", sent["confidence"][1])
    again = ingest_table(database, MODEL, pa.Table.from_pandas(sent), "doubled")
    assert (again.accepted, again.replaced, again.unchanged) == (0, 0, 2)


def test_the_same_id_of_two_versions_is_two_predictions(database: Database) -> None:
    sent = pd.concat([rows(3).assign(version="1"), rows(3).assign(version="2")])
    assert ingest_table(database, MODEL, pa.Table.from_pandas(sent), "both").accepted == 6
    assert queries.count(database, Filter("crops")) == 6
    assert queries.count(database, Filter("crops", version="2")) == 3


def test_a_damaged_page_changes_nothing_though_it_shows_only_when_the_rows_are_read(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    rows(5000).to_parquet(path, compression="zstd")
    damaged = bytearray(path.read_bytes())
    start = len(damaged) // 3
    damaged[start : start + 400] = bytes(400)
    path.write_bytes(bytes(damaged))
    before = content(database)
    with pytest.raises(InvalidFileError, match=r"rows\.parquet"):
        ingest_file(database, MODEL, path)
    assert content(database) == before


def test_a_failure_in_the_middle_of_a_write_rolls_everything_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "LEAST_ROWS", least_rows(0.1))
    ingest_table(database, MODEL, pa.Table.from_pandas(rows(20)), "first")
    before = content(database)
    real = rollups.write_differences

    def fail(*arguments: Any) -> None:
        real(*arguments)
        raise OSError("No space left on device")

    second = pa.Table.from_pandas(rows(40, seed=2))
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "write_differences", fail)
        with pytest.raises(OSError, match="No space left"):
            ingest_table(database, MODEL, second, "second")
    assert content(database) == before
    assert ingest_table(database, MODEL, second, "second").replaced == 20


def test_a_failure_after_the_rows_went_in_rolls_everything_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    before = content(database)
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "fit_bins", fail)
        with pytest.raises(OSError, match="No space left"):
            ingest_table(database, MODEL, pa.Table.from_pandas(rows()), "rows")
    assert content(database) == before


def test_names_and_values_with_quotes_are_only_names_and_values(database: Database, tmp_path: Path) -> None:
    evil = "'; DROP TABLE prediction; --"
    model = Model(
        name=evil,
        classes=(evil, 'the "other"'),
        features={evil + "f": "numeric", '"': "categorical"},
        columns=Columns(id='i"d', time=evil + "t", predicted=evil + "c", probabilities="p '{class}'"),
        version="v'1",
    )
    register_model(database, model)
    frame = pd.DataFrame(
        {
            'i"d': ["a'; --", 'b"', "c"],
            evil + "t": "2026-03-01",
            "lon": 69.0,
            "lat": 41.0,
            evil + "c": [evil, 'the "other"', "un'known"],
            f"p '{evil}'": [1.0, 0.0, 0.5],
            "p 'the \"other\"'": [0.0, 1.0, 0.5],
            evil + "f": [0.1, 0.2, 0.3],
            '"': [evil, "it's", None],
        }
    )
    frame.to_csv(tmp_path / "it's.csv", index=False)
    result = ingest_file(database, model, tmp_path / "it's.csv")
    assert (result.accepted, result.refused) == (2, {"unknown class": 1})
    found = queries.predictions(database, Filter(evil, version="v'1", classes=(evil,)))
    assert list(found["id"]) == ["a'; --"]
    drawn = queries.sample(database, Filter(evil), 10, 0)
    assert sorted(drawn['"']) == [evil, "it's"]
    assert queries.feature_histogram(database, Filter(evil), evil + "f")["n"].sum() == 2
    assert [batch.source for batch in batches(database, evil)] == ["it's.csv"]


def test_missing_nan_and_infinite_features_are_missing_in_the_roll_up(database: Database) -> None:
    frame = rows(8).assign(ndvi=pa.array([1.0, 2.0, None, np.nan, np.inf, -np.inf, 1e38, -1e38], from_pandas=False))
    table = pa.Table.from_pandas(frame.drop(columns="ndvi"))
    values = pa.array([1.0, 2.0, None, float("nan"), float("inf"), float("-inf"), 1e38, -1e38], from_pandas=False)
    ingest_table(database, MODEL, table.append_column("ndvi", values), "rows")
    counts = queries.feature_histogram(database, Filter("crops"), "ndvi")
    assert counts[counts["bin"].isna()]["n"].sum() == 4
    assert counts["n"].sum() == 8


@pytest.mark.parametrize("value", [None, 0.0, 5.0, -1e-30])
def test_a_feature_that_is_all_missing_or_constant_does_no_harm(database: Database, value: float | None) -> None:
    for seed in (1, 2):
        frame = rows(30, seed).assign(id=[f"{seed}-{number}" for number in range(30)], ndvi=value)
        ingest_table(database, MODEL, pa.Table.from_pandas(frame.astype({"ndvi": "float64"})), "rows")
    counts = queries.feature_histogram(database, Filter("crops"), "ndvi")
    assert counts["n"].tolist() == [60]
    assert ("ndvi" in queries.feature_bins(database, "crops")) == (value is not None)


def test_a_feature_may_come_later_and_go_again(database: Database) -> None:
    ingest_table(database, MODEL, pa.Table.from_pandas(rows(10)), "first")
    wider = MODEL.model_copy(update={"features": {**MODEL.features, "rain": "numeric"}})
    register_model(database, wider)
    assert queries.feature_histogram(database, Filter("crops"), "rain")["n"].tolist() == [10]
    later = rows(20, 2).assign(rain=np.arange(20.0))
    result = ingest_table(database, wider, pa.Table.from_pandas(later), "second")
    assert (result.accepted, result.replaced) == (10, 10)
    counts = queries.feature_histogram(database, Filter("crops"), "rain")
    assert counts["n"].sum() == counts[counts["bin"].notna()]["n"].sum() == 20
    narrow = MODEL.model_copy(update={"features": {"rain": "numeric"}})
    register_model(database, narrow)
    more = rows(5, 3).assign(id=[f"t{number}" for number in range(5)], rain=1.0).drop(columns=["ndvi", "sensor"])
    assert ingest_table(database, narrow, pa.Table.from_pandas(more), "third").accepted == 5
    assert list(queries.sample(database, Filter("crops"), 5, 0).columns) == ["predicted", "label", "confidence", "rain"]
    assert queries.feature_histogram(database, Filter("crops"), "rain")["bin"].notna().all()


def test_a_class_may_come_later_and_older_rows_keep_theirs(database: Database) -> None:
    ingest_table(database, MODEL, pa.Table.from_pandas(rows(10)), "first")
    before = queries.predictions(database, Filter("crops"))["predicted"].tolist()
    wider = MODEL.model_copy(update={"classes": ("fallow", "wheat", "rice")})
    register_model(database, wider)
    assert queries.predictions(database, Filter("crops"))["predicted"].tolist() == before
    more = rows(1).assign(id="new", predicted="fallow")
    assert ingest_table(database, wider, pa.Table.from_pandas(more), "second").accepted == 1
    assert queries.predictions(database, Filter("crops", classes=("fallow",)))["id"].tolist() == ["new"]


def test_levels_are_laid_anew_when_later_rows_lie_further_apart(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "LEAST_ROWS", least_rows(0.01))
    ingest_table(database, MODEL, pa.Table.from_pandas(rows(20)), "one field")
    narrow = levels(database, "cell")
    far = rows(20, 2).assign(id=[f"far {n}" for n in range(20)], lon=np.linspace(0, 90, 20))
    ingest_table(database, MODEL, pa.Table.from_pandas(far), "a continent")
    wide = levels(database, "cell")
    assert min(wide) < min(narrow)
    assert max(wide) < max(narrow)
    assert levels(database, "region") == {0}
    for level in (0, *wide, max(wide) + 2):
        assert queries.cells(database, Filter("crops"), level)["n"].sum() == 40


def test_finer_levels_come_when_there_are_more_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "LEAST_ROWS", least_rows(1) | {"outcome": dict.fromkeys(Period, 4)})
    found = []
    for number, count in enumerate((40, 400, 4000)):
        batch = rows(count, number).assign(id=[f"{number}-{n}" for n in range(count)])
        batch[["lon", "lat"]] = np.random.default_rng(number).uniform(60, 64, (count, 2))
        ingest_table(database, MODEL, pa.Table.from_pandas(batch), f"batch {number}")
        found.append({name: len(levels(database, name)) for name in ("cell", "outcome")})
    assert found[0]["cell"] < found[1]["cell"] < found[2]["cell"]
    assert found[2]["outcome"] < found[2]["cell"]
    assert queries.cells(database, Filter("crops"), 9)["n"].sum() == 4440


def levels(database: Database, rollup: str) -> set[int]:
    """The levels kept of a roll-up, and its table holds no other."""
    kept = database.rows("SELECT period, level FROM rollup_level WHERE rollup = ?", [rollup])
    if rollup != "region":
        assert set(database.rows(f"SELECT DISTINCT period, level FROM {rollup}_rollup")) == set(kept)
    return {level for _, level in kept}


def test_bins_of_a_feature_are_laid_anew_when_the_first_values_were_few(database: Database) -> None:
    first = rows(5).assign(ndvi=[0.4, 0.401, 0.402, 0.403, 0.404])
    ingest_table(database, MODEL, pa.Table.from_pandas(first), "few")
    few = queries.feature_bins(database, "crops")["ndvi"]
    ingest_table(database, MODEL, pa.Table.from_pandas(rows(200, 2).assign(id=[f"t{n}" for n in range(200)])), "many")
    many = queries.feature_bins(database, "crops")["ndvi"]
    assert many.width > 10 * few.width
    values = queries.sample(database, Filter("crops"), 300, 0)["ndvi"]
    expected = np.floor((values.astype(float) - many.origin) / many.width).value_counts().to_dict()
    counts = queries.feature_histogram(database, Filter("crops"), "ndvi")
    assert dict(zip(counts["bin"], counts["n"], strict=True)) == expected


def test_an_empty_file_is_no_mistake(database: Database, tmp_path: Path) -> None:
    rows(0).to_csv(tmp_path / "rows.csv", index=False)
    result = ingest_file(database, MODEL, tmp_path / "rows.csv")
    assert (result.rows, result.accepted, result.refused) == (0, 0, {})


@pytest.mark.parametrize("name", ["rows.xlsx", "missing.csv", "text.parquet"])
def test_a_file_that_cannot_be_read_changes_nothing(database: Database, tmp_path: Path, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_text("id,time\n")
    before = content(database)
    with pytest.raises(InvalidFileError, match=name):
        ingest_file(database, MODEL, tmp_path / name)
    assert content(database) == before


def test_a_crs_that_does_not_exist_is_named(database: Database, tmp_path: Path) -> None:
    path, _ = as_csv(rows(2), tmp_path)
    with pytest.raises(DriftmapError, match="crs 'EPSG:999999' is not known"):
        ingest_file(database, MODEL.model_copy(update={"crs": "EPSG:999999"}), path)
