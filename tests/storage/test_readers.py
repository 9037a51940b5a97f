import contextlib
import gc
import gzip
import json
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import InvalidFileError
from storage.readers import expand, open_source, table_source


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    with pytest.raises(InvalidFileError) as caught:
        open_source(connection, path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- CSV


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", b"id,lon\n1,2.50\n2,x\n"),
        ("windows.csv", b"id,lon\r\n1,2.50\r\n2,x\r\n"),
        ("bom.csv", b"\xef\xbb\xbfid,lon\n1,2.50\n2,x\n"),
        ("semicolon.csv", b"id;lon\n1;2.50\n2;x\n"),
        ("tab.tsv", b"id\tlon\n1\t2.50\n2\tx"),
        ("spaces.csv", b"id, lon\n1,2.50\n2,x\n"),
        ("quoted.csv", b'"id","lon"\n"1","2.50"\n"2","x"\n'),
        ("packed.csv.gz", gzip.compress(b"id,lon\n1,2.50\n") + gzip.compress(b"2,x\n")),
        ("UPPER.CSV", b"id,lon\n1,2.50\n2,x\n"),
    ],
)
def test_csv_values_stay_text(connection, tmp_path, name, content):
    source = open_source(connection, written(tmp_path / name, content))
    assert source.relation.columns == ["id", "lon"]
    assert source.relation.fetchall() == [("1", "2.50"), ("2", "x")]
    assert not source.has_geometry


def test_csv_empty_values_are_missing(connection, tmp_path):
    path = written(tmp_path / "a.csv", b'id,label\n1,\n2,""\n3,"a ""b"", c\nd"\n')
    assert open_source(connection, path).relation.fetchall() == [("1", None), ("2", None), ("3", 'a "b", c\nd')]


def test_csv_with_only_column_names_has_no_rows(connection, tmp_path):
    for content in (b"id,lon\n", b"id,lon"):
        source = open_source(connection, written(tmp_path / "a.csv", content))
        assert source.relation.columns == ["id", "lon"]
        assert source.relation.fetchall() == []


def test_csv_without_column_names_takes_the_first_line_for_them(connection, tmp_path):
    source = open_source(connection, written(tmp_path / "a.csv", b"7,2.5\n8,3.5\n"))
    assert source.relation.columns == ["7", "2.5"]


def test_csv_with_the_row_numbers_of_pandas(connection, tmp_path):
    path = tmp_path / "a.csv"
    pd.DataFrame({"id": ["a"]}).to_csv(path)
    assert open_source(connection, path).relation.columns == ["column_1", "id"]


@pytest.mark.parametrize(
    ("content", "explanation"),
    [
        (b"", "the first line is empty"),
        (b"\n\nid,lon\n", "the first line is empty"),
        (b"id,lon\n1,2\n3\n", "line 3: 1 values where the first line names 2 columns (separated by comma)"),
        (b"id,lon\n1,2\n3,4,5\n", "line 3: 3 values where the first line names 2 columns"),
        (b'id,lon\n1,"2\n3,4\n', "line 2: a value is badly quoted"),
        (b'id,lon\n1,"2"x\n3,4\n', "line 2: a value is badly quoted"),
        (b'id,"lon\n1,2\n', "line 1: column names are badly quoted"),
        (b"id,lon\n1,caf\xe9\n", "not UTF-8 text"),
        ("id,lon\n1,2\n".encode("utf-16"), "not UTF-8 text"),
        (b"id,ID\n1,2\n", "the column 'ID' is there twice"),
        (b"id,lon\n1," + b"x" * 2_100_000, "line 2: the line is longer than 2 MB"),
    ],
)
def test_a_broken_csv_is_refused_in_one_line(connection, tmp_path, content, explanation):
    assert explanation in refusal(connection, written(tmp_path / "a.csv", content))


def test_a_line_broken_far_down_is_found_on_opening(connection, tmp_path):
    rows = [f"{number},x" for number in range(300_000)]
    rows[250_000] += ",y"
    path = written(tmp_path / "a.csv", ("id,lon\n" + "\n".join(rows)).encode())
    assert "3 values where the first line names 2 columns" in refusal(connection, path)


def test_a_damaged_gzip_file_is_refused(connection, tmp_path):
    packed = gzip.compress(b"id,lon\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(2000)))
    assert "damaged" in refusal(connection, written(tmp_path / "a.csv.gz", packed[:500]))
    assert "damaged" in refusal(connection, written(tmp_path / "a.csv.gz", packed[:99] + b"\0\1" + packed[101:]))
    assert "gzip" in refusal(connection, written(tmp_path / "a.csv.gz", b"id,lon\n"))


text = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(text, text), max_size=6))
def test_any_text_survives_a_csv(tmp_path, rows):
    path = tmp_path / "a.csv"
    quoted = "".join(",".join('"' + value.replace('"', '""') + '"' for value in row) + "\n" for row in rows)
    path.write_text("a,b\n" + quoted, encoding="utf-8", newline="")
    with duckdb.connect() as connection:
        assert open_source(connection, path).relation.fetchall() == rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from(["a.csv", "a.csv.gz", "a.parquet", "a.geojson", "a.gpkg", "a.arrow"]))
def test_any_bytes_are_read_or_refused(tmp_path, content, name):
    path = written(tmp_path / name, content)
    with duckdb.connect() as connection, contextlib.suppress(InvalidFileError):
        open_source(connection, path).relation.fetchall()


# --- Files with geometries


def places_frame(crs: str | None = "EPSG:4326") -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(
        {
            "id": pd.array([2**53 + 1, None, 3, 4], dtype="Int64"),
            "predicted": ["cotton", "wheat", None, "rice"],
            "confidence": [0.5, 0.25, 1.0, 0.0],
        },
        geometry=[
            shapely.Point(70, 40),
            None,
            shapely.box(70, 40, 70.01, 40.01),
            shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
        ],
        crs=crs,
    )


def write(frame: geopandas.GeoDataFrame, path: Path) -> Path:
    if path.suffix in (".parquet", ".geoparquet"):
        frame.to_parquet(path)
    elif path.suffix in (".feather", ".arrow"):
        frame.to_feather(path)
    else:
        frame.to_file(path)
    return path


FORMATS = ["a.geojson", "a.json", "a.gpkg", "a.parquet", "a.geoparquet", "a.feather", "a.arrow"]


@pytest.mark.parametrize("name", FORMATS)
def test_geometries_become_points_and_areas(connection, tmp_path, name):
    source = open_source(connection, write(places_frame(), tmp_path / name))
    gc.collect()
    assert source.has_geometry
    assert source.repaired == 1
    assert source.relation.columns == ["id", "predicted", "confidence", "__lon", "__lat", "__area_m2"]
    assert source.relation.types[0] == "BIGINT"
    rows = sorted(source.relation.fetchall(), key=lambda row: row[2], reverse=True)
    assert [row[:3] for row in rows] == [
        (3, None, 1.0),
        (2**53 + 1, "cotton", 0.5),
        (None, "wheat", 0.25),
        (4, "rice", 0.0),
    ]
    assert rows[1][3:] == (70, 40, None)
    assert rows[2][3:] == (None, None, None)
    assert rows[0][3:5] == pytest.approx((70.005, 40.005), abs=0.005)
    assert rows[0][5] == pytest.approx(948_092, rel=1e-3)  # 1.1106 km × 0.8537 km
    assert rows[3][5] == pytest.approx(6.155e9, rel=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:32642", "EPSG:3857"])
@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.feather", "a.geojson"])
def test_any_crs_is_brought_to_degrees(connection, tmp_path, name, crs):
    frame = places_frame().iloc[[0, 2]]
    source = open_source(connection, write(frame.to_crs(crs), tmp_path / name))
    rows = sorted(source.relation.fetchall())
    assert rows[1][3:5] == pytest.approx((70, 40), abs=1e-8)
    assert rows[0][3:5] == pytest.approx((70.005, 40.005), abs=0.005)
    assert rows[0][5] == pytest.approx(948_092, rel=1e-3)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.feather"])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_the_given_crs_counts_only_where_the_file_names_none(connection, tmp_path, name):
    metres = places_frame().iloc[[0]].to_crs("EPSG:32642")
    silent = write(metres.set_crs(None, allow_override=True), tmp_path / f"silent_{name}")
    row = open_source(connection, silent, "EPSG:32642").relation.fetchall()[0]
    assert row[3:5] == pytest.approx((70, 40), abs=1e-8)
    degrees = write(places_frame(crs=None).iloc[[0]], tmp_path / f"degrees_{name}")
    assert open_source(connection, degrees).relation.fetchall()[0][3:5] == (70, 40)
    named = write(metres, tmp_path / f"named_{name}")
    row = open_source(connection, named, "EPSG:3857").relation.fetchall()[0]
    assert row[3:5] == pytest.approx((70, 40), abs=1e-8)


def test_a_polygons_point_lies_inside_it(connection, tmp_path):
    horseshoe = shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 8, 10)
    path = write(geopandas.GeoDataFrame(geometry=[horseshoe], crs=4326), tmp_path / "a.parquet")
    lon, lat, _ = open_source(connection, path).relation.fetchall()[0]
    assert horseshoe.contains(shapely.Point(lon, lat))


def test_empty_and_unusable_geometries_give_nothing_and_do_not_stop_the_rest(connection, tmp_path):
    with np.errstate(invalid="ignore"):
        without_a_corner = shapely.Polygon([(0, 0), (np.nan, 1), (1, 1)])
    shapes = [
        shapely.Point(),
        shapely.Polygon(),
        shapely.Polygon([(0, 0), (1, 1), (0, 0), (1, 1)]),
        without_a_corner,
        shapely.Point(1e30, 1e30),
        shapely.Point(500_000, 4_400_000),
    ]
    path = write(geopandas.GeoDataFrame(geometry=shapes, crs=32642), tmp_path / "a.parquet")
    rows = open_source(connection, path).relation.fetchall()
    assert rows[:5] == [(None, None, None)] * 5
    assert rows[5][0] == pytest.approx(69)


def test_unreadable_wkb_gives_nothing(connection):
    field = pa.field("geometry", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
    table = pa.table([pa.array([b"nonsense", b"", None, shapely.Point(1, 2).wkb])], pa.schema([field]))
    rows = table_source(connection, table).relation.fetchall()
    assert rows == [(None, None, None)] * 3 + [(1, 2, None)]


def test_large_geoparquet_keeps_rows_and_places_together(connection, tmp_path):
    number = np.arange(150_000)
    lon, lat = number % 360 - 180.0, number // 360 % 80 + 0.5
    points = shapely.points(lon, lat)
    frame = geopandas.GeoDataFrame({"lon": lon, "lat": lat}, geometry=points, crs=4326)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=10_000)
    relation = open_source(connection, tmp_path / "a.parquet").relation
    assert relation.aggregate("count(*), count(*) FILTER (lon = __lon AND lat = __lat)").fetchall() == [
        (150_000, 150_000)
    ]


def test_features_without_any_geometry(connection, tmp_path):
    collection = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": None, "properties": {"id": 7}} for _ in range(2)],
    }
    path = written(tmp_path / "a.geojson", json.dumps(collection).encode())
    source = open_source(connection, path)
    assert source.relation.fetchall() == [(7, None, None, None)] * 2
    collection["features"] = []
    path = written(tmp_path / "b.geojson", json.dumps(collection).encode())
    assert open_source(connection, path).relation.fetchall() == []


def test_a_geopackage_with_two_layers_is_refused(connection, tmp_path):
    path = tmp_path / "a.gpkg"
    places_frame().to_file(path, layer="one")
    places_frame().to_file(path, layer="two")
    assert refusal(connection, path) == "has 2 layers (one, two); keep one layer in a file"


def test_geometries_that_are_not_wkb_are_refused(connection, tmp_path):
    places_frame().iloc[[0]].to_parquet(tmp_path / "a.parquet", geometry_encoding="geoarrow")
    assert "are not WKB" in refusal(connection, tmp_path / "a.parquet")


# --- Parquet and Arrow without geometries


def plain_table() -> pa.Table:
    return pa.table(
        {"id": ["a", "b"], "n": pa.array([1, None], pa.int32()), "c": pa.array(["x", "y"]).dictionary_encode()}
    )


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def write_file(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.parquet", lambda table, path: pa.parquet.write_table(table, path)),
        ("a.arrow", write_stream),
        ("a.ipc", write_file),
        ("a.feather", write_file),
    ],
)
def test_tables_keep_their_types(connection, tmp_path, name, save):
    save(plain_table(), tmp_path / name)
    source = open_source(connection, tmp_path / name)
    gc.collect()
    assert not source.has_geometry
    assert source.relation.fetchall() == [("a", 1, "x"), ("b", None, "y")]
    assert source.relation.types[:2] == ["VARCHAR", "INTEGER"]


def test_folders_and_odd_names_add_no_columns_and_no_other_files(connection, tmp_path):
    folder = tmp_path / "year=2026"
    folder.mkdir()
    for name in ("a*", "ab", "a[b]"):
        pa.parquet.write_table(pa.table({"id": [name]}), folder / f"{name}.parquet")
        written(folder / f"{name}.csv", f"id\n{name}\n".encode())
    for name in ("a*", "ab", "a[b]"):
        for extension in ("parquet", "csv"):
            source = open_source(connection, folder / f"{name}.{extension}")
            assert source.relation.columns == ["id"]
            assert source.relation.fetchall() == [(name,)]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.geojson", "a.gpkg"])
def test_broken_files_are_refused(connection, tmp_path, name):
    good = write(places_frame(), tmp_path / name).read_bytes()
    for content in (b"", b"nonsense", good[: len(good) // 2]):
        assert refusal(connection, written(tmp_path / f"broken_{name}", content)).endswith("again")


def test_a_table_in_memory_with_and_without_geometries(connection):
    source = table_source(connection, plain_table())
    gc.collect()
    assert source.relation.fetchall() == [("a", 1, "x"), ("b", None, "y")]
    source = table_source(connection, pa.table(places_frame().to_arrow()))
    gc.collect()
    assert source.has_geometry
    assert source.relation.filter("id = 4").fetchall()[0][5] > 6e9


def test_the_hash_is_that_of_the_content(connection, tmp_path):
    first = open_source(connection, written(tmp_path / "a.csv", b"id\n1\n")).content_hash
    assert open_source(connection, written(tmp_path / "b.csv", b"id\n1\n")).content_hash == first
    assert open_source(connection, written(tmp_path / "a.csv", b"id\n2\n")).content_hash != first
    table = plain_table()
    halves = pa.concat_tables([table.slice(0, 1), table.slice(1, 1)])
    assert table_source(connection, halves).content_hash == table_source(connection, table).content_hash
    assert table_source(connection, table.slice(1)).content_hash != table_source(connection, table).content_hash


def test_unknown_and_missing_files_are_refused(connection, tmp_path):
    assert "driftmap reads .csv, " in refusal(connection, written(tmp_path / "a.xlsx", b""))
    assert refusal(connection, tmp_path / "a.csv") == "no such file; check the path"
    (tmp_path / "b.csv").mkdir()
    assert refusal(connection, tmp_path / "b.csv") == "no such file; check the path"


def test_expand_finds_files_folders_and_globs(tmp_path):
    for name in ("b.csv", "a.parquet", "c.csv.gz", "notes.txt", ".hidden.csv"):
        written(tmp_path / name, b"")
    a, b, c = (tmp_path / name for name in ("a.parquet", "b.csv", "c.csv.gz"))
    assert expand([tmp_path]) == [a, b, c]
    assert expand([str(tmp_path / "*.csv*")]) == [b, c]
    assert expand([c, tmp_path]) == [c, a, b]
    assert expand([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]
    for nothing in ("*.gpkg", "*.txt", "missing.csv"):
        with pytest.raises(InvalidFileError, match="no files found"):
            expand([tmp_path / nothing])
