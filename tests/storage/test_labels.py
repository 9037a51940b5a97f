"""Labels that come later: joined by id, with the roll-ups following."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from storage import queries, rollups
from storage.batches import batches, rejected_rows
from storage.catalog import register_model
from storage.database import Database
from storage.errors import InvalidFileError
from storage.ingest import ingest_table
from storage.labels import label_file, label_table
from storage.models import Model
from storage.queries import Filter

MODEL = Model(name="crops", classes=("wheat", "rice"))


def predictions(version: str = "1", predicted: str = "wheat", label: str | None = None) -> pa.Table:
    count = 6
    columns = {"time": "2026-03-01", "lon": 60.0, "lat": 40.0, "predicted": predicted, "version": version}
    frame = pd.DataFrame({"id": [f"s{number}" for number in range(count)], **columns})
    return pa.Table.from_pandas(frame.assign(label=pd.Series([label] * count, dtype=object)))


def labels(*pairs: tuple[str, str | None], **columns: list) -> pa.Table:
    return pa.table({"id": [id_ for id_, _ in pairs], "label": [label for _, label in pairs], **columns})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        register_model(opened, MODEL)
        ingest_table(opened, MODEL, predictions(), "predictions")
        yield opened


def counts(database: Database, version: str | None = None) -> tuple[int, int, int]:
    """n, n_labelled, n_correct: the same from the regions', the days' and the cells' roll-ups."""
    names = ["n", "n_labelled", "n_correct"]
    days = queries.outcomes_by_day(database, Filter("crops", version))[names].sum()
    cells = queries.cells(database, Filter("crops", version), 5)[names].sum()
    rows = queries.outcomes_by_day(database, Filter("crops", version, bounds=(-2.1e7, -2.1e7, 2.1e7, 2.1e7)))[
        names
    ].sum()
    assert list(days) == list(cells) == list(rows)
    return tuple(int(value) for value in days)  # type: ignore[return-value]


def test_labels_are_joined_by_id_and_counted(database: Database) -> None:
    result = label_table(database, MODEL, labels(("s0", "wheat"), ("s1", "rice"), ("s9", "rice")), "labels")
    assert (result.rows, result.accepted, result.refused) == (3, 2, {"no prediction with this id": 1})
    assert counts(database) == (6, 2, 1)
    assert rejected_rows(database, result.batch)["row"].tolist() == [3]


def test_a_label_that_was_known_changes_nothing_and_another_replaces_it(database: Database) -> None:
    label_table(database, MODEL, labels(("s0", "wheat"), ("s1", "rice")), "labels")
    result = label_table(database, MODEL, labels(("s0", "wheat"), ("s1", "wheat"), ("s2", "rice")), "more")
    assert (result.accepted, result.replaced, result.unchanged) == (1, 1, 1)
    assert counts(database) == (6, 3, 2)


def test_the_same_labels_again_add_nothing(database: Database) -> None:
    sent = labels(("s0", "wheat"), ("unheard of", "rice"), ("s1", "barley"))
    first = label_table(database, MODEL, sent, "labels")
    again = label_table(database, MODEL, sent, "labels")
    assert first.refused == again.refused == {"no prediction with this id": 1, "unknown class": 1}
    assert (again.accepted, again.unchanged, again.batch) == (0, 1, first.batch)
    assert len(batches(database)) == 2
    assert database.rows("SELECT count(*) FROM rejected_row") == [(2,)]


def test_labels_refused_for_want_of_predictions_go_in_once_these_have_come(database: Database) -> None:
    sent = labels(("late", "wheat"))
    assert label_table(database, MODEL, sent, "labels").refused == {"no prediction with this id": 1}
    late = predictions().slice(0, 1).set_column(0, "id", pa.array(["late"]))
    ingest_table(database, MODEL, late, "late")
    assert label_table(database, MODEL, sent, "labels").accepted == 1
    assert database.rows("SELECT count(*) FROM rejected_row") == [(0,)]


def test_of_two_labels_for_one_id_in_a_file_the_last_stays(database: Database) -> None:
    result = label_table(database, MODEL, labels(("s0", "wheat"), ("s0", "rice")), "labels")
    assert (result.rows, result.accepted) == (2, 2)
    assert counts(database) == (6, 1, 0)


def test_a_label_applies_to_every_version(database: Database) -> None:
    ingest_table(database, MODEL, predictions("2", "rice"), "second version")
    label_table(database, MODEL, labels(("s0", "wheat")), "labels")
    assert counts(database, "1") == (6, 1, 1)
    assert counts(database, "2") == (6, 1, 0)


def test_a_label_stays_when_its_prediction_is_replaced(database: Database) -> None:
    label_table(database, MODEL, labels(("s0", "wheat")), "labels")
    ingest_table(database, MODEL, predictions(predicted="rice"), "again")
    assert counts(database) == (6, 1, 0)


def test_a_prediction_that_brings_its_label_replaces_the_one_known(database: Database) -> None:
    label_table(database, MODEL, labels(("s0", "wheat")), "labels")
    result = ingest_table(database, MODEL, predictions(label="rice"), "with labels")
    assert (result.replaced, result.unchanged) == (6, 0)
    assert counts(database) == (6, 6, 0)


def test_the_time_of_a_label_is_kept_and_one_that_cannot_be_read_refuses_the_row(database: Database) -> None:
    times = ["2026-03-20T10:00:00+05:00", "soon", None]
    sent = labels(("s0", "wheat"), ("s1", "wheat"), ("s2", "wheat"), labelled_at=times)
    result = label_table(database, MODEL, sent, "labels")
    assert (result.accepted, result.refused) == (2, {"time unreadable": 1})
    assert database.rows("SELECT labelled_at FROM prediction WHERE id = 's0'") == [(pd.Timestamp("2026-03-20 05:00"),)]
    assert database.rows("SELECT count(*) FROM prediction WHERE labelled_at IS NOT NULL") == [(2,)]


def test_a_failure_in_the_middle_leaves_every_label_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(rollups, "write_differences", fail)
        with pytest.raises(OSError, match="No space left"):
            label_table(database, MODEL, labels(("s0", "wheat")), "labels")
    assert counts(database) == (6, 0, 0)
    assert label_table(database, MODEL, labels(("s0", "wheat")), "labels").accepted == 1


@pytest.mark.parametrize("column", ["id", "label"])
def test_a_labels_file_that_lacks_a_column_changes_nothing_and_names_it(
    database: Database, tmp_path: Path, column: str
) -> None:
    kept = "id" if column == "label" else "label"
    pd.DataFrame({kept: ["s0"]}).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(InvalidFileError, match=f"no column '{column}'"):
        label_file(database, MODEL, tmp_path / "labels.csv")
    assert len(batches(database)) == 1


def test_labels_with_quotes_in_their_id_are_only_labels(database: Database) -> None:
    sent = labels(("'; DROP TABLE prediction; --", "wheat"), ('"', "rice"))
    assert label_table(database, MODEL, sent, "it's").refused == {"no prediction with this id": 2}
    assert counts(database) == (6, 0, 0)
