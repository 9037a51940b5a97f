"""The monitored models: registered from the configuration, known by name."""

import duckdb

from storage.database import Database
from storage.errors import NotFoundError
from storage.models import FeatureKind, Model


def register_model(database: Database, model: Model) -> None:
    """Store `model`, or bring what is stored up to date. New classes get codes; none loses its own.

    Where the model has another region set than before, its predictions are put into the regions of that one.
    """
    if database.rows("SELECT 1 FROM model WHERE name = ? AND specification = ?", [model.name, _text(model)]):
        return
    database.write(lambda connection: _register(connection, model))


def _register(connection: duckdb.DuckDBPyConnection, model: Model) -> None:
    from storage.regions import assign  # which itself needs the catalog

    known = connection.execute("SELECT name FROM model_class WHERE model = ?", [model.name]).fetchall()
    names = {name for (name,) in known}
    new = [name for name in model.classes if name not in names]
    for code, name in enumerate(new, start=len(names)):
        connection.execute("INSERT INTO model_class VALUES (?, ?, ?)", [model.name, code, name])
    _register_features(connection, model)
    stored = connection.execute("SELECT region_set FROM model WHERE name = ?", [model.name]).fetchone()
    if stored:
        connection.execute(
            "UPDATE model SET specification = ?, region_set = ? WHERE name = ?",
            [_text(model), model.regions, model.name],
        )
        if stored[0] != model.regions:
            assign(connection, model.name)
    else:
        connection.execute(
            "INSERT INTO model VALUES (?, ?, ?, NULL, now()::TIMESTAMP)",
            [model.name, _text(model), model.regions],
        )


def _register_features(connection: duckdb.DuckDBPyConnection, model: Model) -> None:
    for kind in ("numeric", "categorical"):
        known = connection.execute(
            "SELECT name FROM model_feature WHERE model = ? AND kind = ? ORDER BY code", [model.name, kind]
        ).fetchall()
        names = [name for (name,) in known]
        for name, its_kind in model.features.items():
            if its_kind == kind and name not in names:
                names.append(name)
                connection.execute(
                    "INSERT INTO model_feature VALUES (?, ?, ?, ?)", [model.name, kind, len(names), name]
                )
                # Rows that are there already lack it: they count as missing, as they would if added up anew.
                connection.execute(
                    """INSERT INTO feature_rollup
                    SELECT model, version, day, region, ?, NULL, NULL, sum(n)
                    FROM region_rollup WHERE model = ? GROUP BY ALL HAVING sum(n) <> 0""",
                    [name, model.name],
                )


def _text(model: Model) -> str:
    return model.model_dump_json()


def registered_models(database: Database) -> list[Model]:
    """Every registered model, by name."""
    rows = database.rows("SELECT specification FROM model ORDER BY name")
    return [Model.model_validate_json(text) for (text,) in rows]


def stored_model(database: Database, name: str) -> Model:
    """The registered model `name`. Raises NotFoundError."""
    rows = database.rows("SELECT specification FROM model WHERE name = ?", [name])
    if not rows:
        known = ", ".join(model.name for model in registered_models(database)) or "none yet"
        raise NotFoundError(f"No model '{name}'. Known: {known}. Add it under models: in driftmap.yaml.")
    return Model.model_validate_json(rows[0][0])


def class_names(database: Database, model: str) -> list[str]:
    """The classes of `model` by code."""
    rows = database.rows("SELECT name FROM model_class WHERE model = ? ORDER BY code", [model])
    return [name for (name,) in rows]


def class_codes(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, int]:
    """The code of each class of `model`, in the order of codes."""
    rows = connection.execute("SELECT name, code FROM model_class WHERE model = ? ORDER BY code", [model]).fetchall()
    if not rows:
        raise NotFoundError(f"No model '{model}' in the database. Add it under models: in driftmap.yaml.")
    return dict(rows)


FeatureCodes = dict[FeatureKind, dict[str, int]]


def feature_codes(connection: duckdb.DuckDBPyConnection, model: str) -> FeatureCodes:
    """The features that `model` has (or once had) by kind, with their place in the lists, from 1."""
    codes: FeatureCodes = {"numeric": {}, "categorical": {}}
    for kind, name, code in connection.execute(
        "SELECT kind, name, code FROM model_feature WHERE model = ? ORDER BY kind, code", [model]
    ).fetchall():
        codes[kind][name] = code
    return codes


def versions(database: Database, model: str) -> list[str]:
    """The versions of `model` that predictions have come from, oldest first."""
    sql = "SELECT version FROM model_version WHERE model = ? ORDER BY first_seen, version"
    return [version for (version,) in database.rows(sql, [model])]
