"""Models are known by name; classes and features get codes once and keep them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.catalog import class_codes, class_names, feature_codes, register_model, registered_models, stored_model
from storage.database import Database
from storage.errors import NotFoundError
from storage.models import Model

MODEL = Model(name="crops", classes=("wheat", "rice"), features={"ndvi": "numeric", "sensor": "categorical"})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as opened:
        yield opened


def test_a_model_comes_back_as_it_was_registered(database: Database) -> None:
    other = Model(name="it's; DROP TABLE model; --", classes=('"', "'"))
    for model in (MODEL, other, MODEL):
        register_model(database, model)
    assert registered_models(database) == [MODEL, other]
    assert stored_model(database, other.name) == other
    assert class_names(database, other.name) == ['"', "'"]


def test_codes_stay_when_classes_and_features_come_and_go(database: Database) -> None:
    register_model(database, MODEL)
    changed = MODEL.model_copy(update={"classes": ("fallow", "rice"), "features": {"rain": "numeric"}})
    register_model(database, changed)
    with database.cursor() as cursor:
        assert class_codes(cursor, "crops") == {"wheat": 0, "rice": 1, "fallow": 2}
        assert feature_codes(cursor, "crops") == {"numeric": {"ndvi": 1, "rain": 2}, "categorical": {"sensor": 1}}
    assert stored_model(database, "crops") == changed


def test_a_model_that_is_not_registered_is_named(database: Database) -> None:
    register_model(database, MODEL)
    with pytest.raises(NotFoundError, match="No model 'trees'"):
        stored_model(database, "trees")
