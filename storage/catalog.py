"""The monitored models: registered from the configuration, known by name."""

import duckdb

from storage.database import Database
from storage.errors import NotFoundError
from storage.models import Model


def register_model(database: Database, model: Model) -> None:
    """Store `model`, or bring what is stored up to date. Its new classes get codes; no class loses its own."""
    if database.rows("SELECT 1 FROM model WHERE name = ? AND specification = ?", [model.name, _text(model)]):
        return
    database.write(lambda connection: _register(connection, model))


def _register(connection: duckdb.DuckDBPyConnection, model: Model) -> None:
    known = connection.execute("SELECT name FROM model_class WHERE model = ?", [model.name]).fetchall()
    names = {name for (name,) in known}
    new = [name for name in model.classes if name not in names]
    for code, name in enumerate(new, start=len(names)):
        connection.execute("INSERT INTO model_class VALUES (?, ?, ?)", [model.name, code, name])
    if connection.execute("SELECT 1 FROM model WHERE name = ?", [model.name]).fetchone():
        connection.execute(
            "UPDATE model SET specification = ?, region_set = ? WHERE name = ?",
            [_text(model), model.regions, model.name],
        )
    else:
        connection.execute(
            "INSERT INTO model VALUES (?, ?, ?, NULL, now()::TIMESTAMP)",
            [model.name, _text(model), model.regions],
        )


def _text(model: Model) -> str:
    return model.model_dump_json()


def registered_models(database: Database) -> list[Model]:
    """Every registered model, by name."""
    return [Model.model_validate_json(text) for (text,) in database.rows("SELECT specification FROM model ORDER BY name")]


def stored_model(database: Database, name: str) -> Model:
    """The registered model `name`. Raises NotFoundError."""
    rows = database.rows("SELECT specification FROM model WHERE name = ?", [name])
    if not rows:
        known = ", ".join(model.name for model in registered_models(database)) or "none yet"
        raise NotFoundError(f"No model '{name}'. Known: {known}. Add it under models: in driftmap.yaml.")
    return Model.model_validate_json(rows[0][0])


def class_names(database: Database, model: str) -> list[str]:
    """The classes of `model` by code."""
    return [name for (name,) in database.rows("SELECT name FROM model_class WHERE model = ? ORDER BY code", [model])]


def versions(database: Database, model: str) -> list[str]:
    """The versions of `model` that predictions have come from, oldest first."""
    sql = "SELECT version FROM model_version WHERE model = ? ORDER BY first_seen, version"
    return [version for (version,) in database.rows(sql, [model])]
