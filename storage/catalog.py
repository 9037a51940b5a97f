"""The monitored models: registered from the configuration, known by name."""

import duckdb

from storage.database import Database
from storage.errors import DriftmapError, NotFoundError
from storage.keys import key_of
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
            "INSERT INTO model VALUES (?, ?, ?, ?, now()::TIMESTAMP)",
            [model.name, _new_key(connection, model.name), _text(model), model.regions],
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
                sql_type = "FLOAT" if kind == "numeric" else "VARCHAR"
                column = feature_column(kind, len(names))
                connection.execute(f"ALTER TABLE prediction ADD COLUMN IF NOT EXISTS {column} {sql_type}")


def feature_column(kind: str, code: int) -> str:
    """The column of `prediction` that holds a feature."""
    return f"{kind}_{code}"


def _new_key(connection: duckdb.DuckDBPyConnection, model: str) -> int:
    key = key_of(model)
    other = connection.execute("SELECT name FROM model WHERE key = ?", [key]).fetchone()
    if other:
        raise DriftmapError(f"Models '{model}' and '{other[0]}' cannot be told apart. Rename one.")
    return key


def version_keys(connection: duckdb.DuckDBPyConnection, model: str, rows: str) -> dict[str, int]:
    """The keys of the versions in the relation `rows` of predictions; new ones are put down as known."""
    known = dict(connection.execute("SELECT version, key FROM model_version WHERE model = ?", [model]).fetchall())
    found = connection.execute(
        f"SELECT version, min(predicted_at) FROM {rows} GROUP BY version ORDER BY 2, 1"
    ).fetchall()
    for version, first in found:
        if version not in known:
            known[version] = key_of(version)
            other = [name for name, key in known.items() if key == known[version] and name != version]
            if other:
                raise DriftmapError(
                    f"Versions '{version}' and '{other[0]}' of {model} cannot be told apart. Rename one."
                )
            connection.execute("INSERT INTO model_version VALUES (?, ?, ?, ?)", [model, version, known[version], first])
    return {version: known[version] for version, _ in found}


def _text(model: Model) -> str:
    return model.model_dump_json()


def registered_models(database: Database) -> list[Model]:
    """Every registered model, by name."""
    rows = database.rows("SELECT specification FROM model ORDER BY name")
    return [Model.model_validate_json(text) for (text,) in rows]


def stored_model(database: Database, name: str) -> Model:
    """The registered model `name`. Raises NotFoundError."""
    rows = database.remembered(
        ("specification", name), lambda: database.rows("SELECT specification FROM model WHERE name = ?", [name])
    )
    if not rows:
        known = ", ".join(model.name for model in registered_models(database)) or "none yet"
        raise NotFoundError(f"No model '{name}'. Known: {known}. Add it under models: in driftmap.yaml.")
    return Model.model_validate_json(rows[0][0])


def class_names(database: Database, model: str) -> list[str]:
    """The classes of `model` by code."""
    rows = database.remembered(
        ("classes", model), lambda: database.rows("SELECT name FROM model_class WHERE model = ? ORDER BY code", [model])
    )
    return [name for (name,) in rows]


def class_codes(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, int]:
    """The code of each class of `model`, in the order of codes."""
    rows = connection.execute("SELECT name, code FROM model_class WHERE model = ? ORDER BY code", [model]).fetchall()
    if not rows:
        raise NotFoundError(f"No model '{model}' in the database. Add it under models: in driftmap.yaml.")
    return dict(rows)


def model_key(connection: duckdb.DuckDBPyConnection, model: str) -> int:
    """What stands for `model` in the large tables. Raises NotFoundError."""
    row = connection.execute("SELECT key FROM model WHERE name = ?", [model]).fetchone()
    if row is None:
        raise NotFoundError(f"No model '{model}' in the database. Add it under models: in driftmap.yaml.")
    return int(row[0])


FeatureCodes = dict[FeatureKind, dict[str, int]]


def feature_codes(connection: duckdb.DuckDBPyConnection, model: str) -> FeatureCodes:
    """The features that `model` has (or once had) by kind, with the number of their column, from 1."""
    codes: FeatureCodes = {"numeric": {}, "categorical": {}}
    for kind, name, code in connection.execute(
        "SELECT kind, name, code FROM model_feature WHERE model = ? ORDER BY kind, code", [model]
    ).fetchall():
        codes[kind][name] = code
    return codes


def feature_columns(features: FeatureCodes) -> list[str]:
    """The columns of `prediction` that hold `features`."""
    return [feature_column(kind, code) for kind, codes in features.items() for code in codes.values()]


def versions(database: Database, model: str) -> list[str]:
    """The versions of `model` that predictions have come from, oldest first."""
    sql = "SELECT version FROM model_version WHERE model = ? ORDER BY first_seen, version"
    return [version for (version,) in database.rows(sql, [model])]
