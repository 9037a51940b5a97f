import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.batches import batches, newest, rejected_reasons, rejected_rows
from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_file
from storage.models import Model

MODEL = Model(name="crops", classes=("wheat", "rice"))
HEAD = "id,time,lon,lat,predicted\n"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as database:
        register_model(database, MODEL)
        yield database


def ingest(db: Database, path: Path, rows: list[str]) -> str:
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return ingest_file(db, MODEL, path).batch


def good(name: str) -> str:
    return f"{name},2026-03-02,60,40,wheat"


def bad_class(name: str) -> str:
    return f"{name},2026-03-02,60,40,<script>"


def bad_place(name: str) -> str:
    return f"{name},2026-03-02,999,40,wheat"


def test_refused_rows_say_their_place_in_the_file(db: Database, tmp_path: Path) -> None:
    batch = ingest(db, tmp_path / "a.csv", [good("a"), bad_class("b"), good("c"), bad_place("d")])
    assert list(rejected_rows(db, batch)["row"]) == [2, 4]


def test_refused_rows_come_in_pages_and_by_reason(db: Database, tmp_path: Path) -> None:
    batch = ingest(db, tmp_path / "a.csv", [bad_class(f"c{i}") for i in range(7)] + [bad_place("p")])
    reasons = rejected_reasons(db, batch)
    assert list(reasons.values()) == [7, 1]
    assert list(rejected_rows(db, batch, limit=3, offset=3)["row"]) == [4, 5, 6]
    assert list(rejected_rows(db, batch, limit=3, offset=6)["row"]) == [7, 8]
    assert len(rejected_rows(db, batch, limit=None)) == 8
    rare = rejected_rows(db, batch, reason=list(reasons)[1])
    assert [json.loads(content)["id"] for content in rare["content"]] == ["p"]
    assert rejected_reasons(db, "another") == {}


def test_batches_come_in_pages_newest_first(db: Database, tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        ingest(db, tmp_path / f"{name}.csv", [good(name)])
    assert [batch.source for batch in batches(db, "crops", 2)] == ["third.csv", "second.csv"]
    assert [batch.source for batch in batches(db, "crops", 2, 2)] == ["first.csv"]


def test_what_is_newest_changes_with_what_is_kept_and_with_nothing_else(db: Database, tmp_path: Path) -> None:
    assert newest(db, "crops") == (0, None)
    ingest(db, tmp_path / "first.csv", [good("a")])
    first = newest(db, "crops")
    assert first[0] == 1
    ingest(db, tmp_path / "first.csv", [good("a")])
    assert newest(db, "crops") == first
    ingest(db, tmp_path / "second.csv", [good("b")])
    assert newest(db, "crops") > first
