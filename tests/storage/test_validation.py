"""Every row that cannot be used is refused with its reason, and kept; the others go in."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from storage import queries
from storage.batches import batches, rejected_rows
from storage.catalog import register_model
from storage.database import Database
from storage.errors import InvalidFileError
from storage.ingest import ingest_file, ingest_table
from storage.models import Columns, Model
from storage.queries import Filter

GOOD = {
    "id": "s1",
    "time": "2026-03-01T10:00:00",
    "lon": "60.5",
    "lat": "40.5",
    "predicted": "wheat",
    "confidence": "0.8",
    "p_wheat": "0.8",
    "p_rice": "0.2",
    "ndvi": "0.5",
}
MODEL = Model(name="crops", classes=("wheat", "rice"), features={"ndvi": "numeric"})


def csv(path: Path, *rows: dict[str, str]) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def plain_model() -> Model:
    return Model(name="crops", classes=("wheat", "rice"))


@pytest.fixture
def database(tmp_path: Path):
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        register_model(opened, MODEL)
        yield opened


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"predicted": "barley"}, "unknown class"),
        ({"predicted": "Wheat"}, "unknown class"),
        ({"label": "barley"}, "unknown class"),
        ({"predicted": ""}, "class missing"),
        ({"id": ""}, "id missing"),
        ({"id": "   "}, "id missing"),
        ({"lon": ""}, "coordinates missing"),
        ({"lat": "nan"}, "coordinates missing"),
        ({"lat": "90.1"}, "coordinates outside the world"),
        ({"lon": "-180.5"}, "coordinates outside the world"),
        ({"lon": "inf"}, "coordinates outside the world"),
        ({"lon": "east"}, "wrong type: lon"),
        ({"confidence": "1.2"}, "confidence outside 0–1"),
        ({"confidence": "-0.01"}, "confidence outside 0–1"),
        ({"confidence": "nan"}, "confidence outside 0–1"),
        ({"confidence": "high"}, "wrong type: confidence"),
        ({"p_rice": "0.3"}, "probabilities do not sum to 1"),
        ({"p_wheat": "1.2", "p_rice": "-0.2"}, "probabilities do not sum to 1"),
        ({"p_rice": ""}, "probabilities do not sum to 1"),
        ({"p_rice": "nan"}, "probabilities do not sum to 1"),
        ({"p_rice": "some"}, "wrong type: p_rice"),
        ({"p_rice": "1e300"}, "wrong type: p_rice"),
        ({"time": ""}, "time unreadable"),
        ({"time": "last week"}, "time unreadable"),
        ({"time": "2026-02-30"}, "time unreadable"),
        ({"time": "infinity"}, "time unreadable"),
        ({"time": "0026-03-01"}, "time unreadable"),
        ({"ndvi": "green"}, "wrong type: ndvi"),
        ({"ndvi": "1e300"}, "wrong type: ndvi"),
        ({"entropy": "much"}, "wrong type: entropy"),
        ({"area_m2": "1 ha"}, "wrong type: area_m2"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_reason_and_the_others_go_in(
    database: Database, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    bad = {**GOOD, "id": "s2", **change}
    file = csv(tmp_path / "rows.csv", {**dict.fromkeys(change, ""), **GOOD}, bad)
    result = ingest_file(database, MODEL, file)
    assert (result.rows, result.accepted, result.refused) == (2, 1, {reason: 1})
    assert list(queries.predictions(database, Filter("crops"))["id"]) == ["s1"]
    (kept,) = rejected_rows(database, result.batch).to_dict("records")
    assert (kept["row"], kept["reason"]) == (2, reason)
    assert json.loads(kept["content"]) == {name: value or None for name, value in bad.items()}


@pytest.mark.parametrize(
    "change",
    [
        {"p_rice": "0.209"},
        {"p_wheat": "", "p_rice": ""},
        {"confidence": ""},
        {"ndvi": ""},
        {"ndvi": "nan"},
        {"ndvi": "-inf"},
        {"time": "2026-03-01"},
        {"time": "2026-03-01 10:00:00.25+05"},
        {"lat": "-90", "lon": "180"},
        {"label": ""},
        {"label": " rice "},
        {"entropy": "inf"},
        {"entropy": "1e30"},
        {"area_m2": "nan"},
    ],
)
def test_a_row_that_is_odd_but_usable_goes_in(database: Database, tmp_path: Path, change: dict[str, str]) -> None:
    result = ingest_file(database, MODEL, csv(tmp_path / "rows.csv", {**GOOD, **change}))
    assert (result.accepted, result.refused) == (1, {})
    sums = queries.outcomes(database, Filter("crops"))
    assert sums.drop(columns=["label", "confidence_bin"]).notna().all(axis=None)


def test_the_same_bad_file_again_adds_nothing(database: Database, tmp_path: Path) -> None:
    file = csv(tmp_path / "rows.csv", GOOD, {**GOOD, "id": "s2", "lat": "99"}, {**GOOD, "id": "s3", "time": "?"})
    first = ingest_file(database, MODEL, file)
    again = ingest_file(database, MODEL, file)
    assert first.refused == again.refused == {"coordinates outside the world": 1, "time unreadable": 1}
    assert again.batch == first.batch
    assert (again.accepted, again.unchanged) == (0, 1)
    assert len(batches(database)) == 1
    assert database.rows("SELECT count(*) FROM rejected_row") == [(2,)]


def test_times_are_kept_in_utc_whatever_their_offset(database: Database, tmp_path: Path) -> None:
    file = csv(
        tmp_path / "rows.csv",
        {**GOOD, "time": "2026-03-01T02:00:00+05:00"},
        {**GOOD, "id": "s2", "time": "2026-03-01T02:00:00"},
    )
    ingest_file(database, MODEL, file)
    times = queries.predictions(database, Filter("crops")).set_index("id")["predicted_at"]
    assert times["s1"] == pd.Timestamp("2026-02-28 21:00")
    assert times["s2"] == pd.Timestamp("2026-03-01 02:00")


@pytest.mark.parametrize("column", ["id", "time", "lon", "lat", "ndvi", "p_rice"])
def test_a_file_that_lacks_a_column_changes_nothing_and_names_it(
    database: Database, tmp_path: Path, column: str
) -> None:
    ingest_file(database, MODEL, csv(tmp_path / "first.csv", GOOD))
    file = csv(tmp_path / "rows.csv", {name: value for name, value in GOOD.items() if name != column})
    with pytest.raises(InvalidFileError, match=f"no column '{column}'"):
        ingest_file(database, MODEL, file)
    assert len(batches(database)) == 1
    assert queries.count(database, Filter("crops")) == 1


def test_a_configured_column_that_is_missing_is_named(database: Database, tmp_path: Path) -> None:
    model = MODEL.model_copy(update={"columns": Columns(confidence="conf")})
    with pytest.raises(InvalidFileError, match="no column 'conf'"):
        ingest_file(database, model, csv(tmp_path / "rows.csv", GOOD))


def test_class_and_confidence_follow_from_probabilities_where_the_file_has_only_these(
    database: Database, tmp_path: Path
) -> None:
    rows = [{**GOOD, "p_wheat": "0.25", "p_rice": "0.75"}]
    file = csv(
        tmp_path / "rows.csv", *({k: v for k, v in row.items() if k not in ("predicted", "confidence")} for row in rows)
    )
    ingest_file(database, MODEL, file)
    (row,) = queries.predictions(database, Filter("crops")).to_dict("records")
    assert (row["predicted"], row["confidence"]) == ("rice", 0.75)
    assert row["entropy"] == pytest.approx(0.5623351446)  # −(0.25 ln 0.25 + 0.75 ln 0.75)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("time", pa.array([1, 2]), "time unreadable"),
        ("time", pa.array([[1], [2]]), "time unreadable"),
        ("lon", pa.array([{"a": 1}, {"a": 2}]), "wrong type: lon"),
        ("lon", pa.array([b"x", b"y"]), "wrong type: lon"),
        ("confidence", pa.array([["0.5"], ["0.6"]]), "wrong type: confidence"),
        ("predicted", pa.array([1.5, 2.5]), "unknown class"),
    ],
)
def test_a_column_of_another_kind_refuses_its_rows_not_the_file(
    database: Database, column: str, values: Any, reason: str
) -> None:
    model = plain_model()
    columns = {"id": ["s1", "s2"], "time": ["2026-03-01"] * 2, "lon": [60.0, 61.0], "lat": [40.0, 41.0],
               "predicted": ["wheat", "rice"]}  # fmt: skip
    table = pa.table({**columns, column: values})
    assert ingest_table(database, model, table, "rows").refused == {reason: 2}


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ns"), pa.timestamp("s", tz="Asia/Tashkent")])
def test_times_may_be_dates_and_timestamps_of_any_kind(database: Database, kind: pa.DataType) -> None:
    times = pa.array([pd.Timestamp("2026-03-01").to_pydatetime()], pa.timestamp("s")).cast(kind)
    columns = {"id": ["s1"], "lon": [60.0], "lat": [40.0], "predicted": ["wheat"]}
    register_model(database, plain_model())
    result = ingest_table(database, plain_model(), pa.table({**columns, "time": times}), "rows")
    assert result.accepted == 1
    (row,) = queries.predictions(database, Filter("crops")).to_dict("records")
    assert row["predicted_at"] == pd.Timestamp("2026-03-01")
