"""From the columns of a file to typed columns, and a reason for every row that cannot be used."""

from dataclasses import dataclass
from typing import Literal

from storage.catalog import FeatureCodes, feature_column
from storage.database import quote
from storage.errors import InvalidFileError
from storage.models import Model

NUMERIC_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "UTINYINT",
                 "USMALLINT", "UINTEGER", "UBIGINT", "BOOLEAN")  # fmt: skip
EXACT = {
    "DOUBLE": (
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "BOOLEAN",
    ),
    "FLOAT": ("TINYINT", "SMALLINT", "FLOAT", "UTINYINT", "USMALLINT", "BOOLEAN"),
}
MOST_NATS = 1000  # far more than any number of classes has
FIRST_YEAR, LAST_YEAR = 1900, 2201  # the last no longer


@dataclass(frozen=True, slots=True)
class Typed:
    """One typed column: how it is computed from the raw ones, and when (as SQL) it makes a row refused."""

    name: str
    expression: str
    refusals: tuple[tuple[str, str], ...] = ()

    @property
    def absent(self) -> bool:
        """Whether the file says nothing of it."""
        return self.expression.startswith("CAST(NULL AS ")


def raw(column: str) -> str:
    """The quoted name under which a file's own column is staged, so that no typed column can hide it."""
    return quote(f"raw:{column}")


class Layout:
    """The columns of one file, read as predictions or labels of a model."""

    def __init__(self, model: Model, columns: dict[str, str], has_geometry: bool, source: str) -> None:
        self.model = model
        self.columns = columns  # name → DuckDB type
        self.has_geometry = has_geometry
        self.source = source
        self.named = model.columns.model_fields_set
        self.used: list[str] = []

    def has(self, column: str) -> bool:
        return column in self.columns

    def require(self, column: str, purpose: str) -> str:
        """`column`, or InvalidFileError where the file lacks it."""
        if not self.has(column):
            known = ", ".join(name for name in self.columns if not name.startswith("__"))
            raise InvalidFileError(
                f"{self.source}: no column '{column}' ({purpose}). The file has: {known}. "
                f"Name the right one under models.{self.model.name}.columns."
            )
        return self._use(column)

    def optional(self, key: str, purpose: str) -> str | None:
        """The column configured as `key`: needed where the configuration names it, else used where it is there."""
        column: str = getattr(self.model.columns, key)
        if key in self.named and key not in ("label", "labelled"):
            return self.require(column, purpose)
        return self._use(column) if self.has(column) else None

    def _use(self, column: str) -> str:
        if column not in self.used:
            self.used.append(column)
        return column

    def text(self, column: str) -> str:
        return f"nullif(trim(CAST({raw(column)} AS VARCHAR)), '')"

    def number(self, column: str, name: str | None = None, kind: Literal["DOUBLE", "FLOAT"] = "DOUBLE") -> Typed:
        if self.columns[column] in EXACT[kind]:  # nothing of it can be of a wrong type
            return Typed(name or column, f"CAST({raw(column)} AS {kind})")
        given = self.text(column) if self._is_text(column) else raw(column)
        expression = f"TRY_CAST({given} AS DOUBLE)"
        if kind == "FLOAT":  # by way of DOUBLE, so that text and numbers come out alike
            expression = f"TRY_CAST({expression} AS FLOAT)"
        wrong = f"{given} IS NOT NULL AND {expression} IS NULL"
        return Typed(name or column, expression, ((f"wrong type: {column}", wrong),))

    def time(self, column: str, name: str, precision: str = "TIMESTAMP") -> Typed:
        kind = self.columns[column]
        if kind.startswith(NUMERIC_TYPES):
            expression = "CAST(NULL AS TIMESTAMP)"
        elif self._is_text(column):
            expression = f"TRY_CAST({self.text(column)} AS TIMESTAMPTZ)::TIMESTAMP"
        else:
            expression = f"TRY_CAST({raw(column)} AS TIMESTAMP)"
        return Typed(
            name,
            f"CASE WHEN {expression} >= TIMESTAMP '{FIRST_YEAR}-01-01' "
            f"AND {expression} < TIMESTAMP '{LAST_YEAR}-01-01' THEN CAST({expression} AS {precision}) END",
        )

    def _is_text(self, column: str) -> bool:
        return self.columns[column] == "VARCHAR" or self.columns[column].startswith("ENUM")


def class_code(layout: Layout, column: str, codes: dict[str, int]) -> str:
    """SQL for the code of the class in `column`; NULL where the class is unknown."""
    branches = " ".join(f"WHEN {literal(name)} THEN {code}" for name, code in codes.items())
    return f"CAST(CASE {layout.text(column)} {branches} END AS SMALLINT)"


def prediction_columns(layout: Layout, codes: dict[str, int], features: FeatureCodes) -> list[Typed]:
    """The typed columns of a predictions file. Raises InvalidFileError where a needed column is missing.

    `codes` are the class codes of the model; `features` its feature codes by kind.
    """
    model, columns = layout.model, layout.model.columns
    typed = [
        Typed("id", layout.text(layout.require(columns.id, "the id of a prediction")), (("id missing", "id IS NULL"),)),
        _with(layout.time(layout.require(columns.time, "its time"), "predicted_at", "TIMESTAMP_MS"), "time unreadable",
              "predicted_at IS NULL"),
    ]  # fmt: skip
    typed += _position(layout)
    typed += _probabilities(layout, codes)
    version = layout.optional("version", "the version of the model")
    default = literal(model.version)
    typed.append(Typed("version", f"coalesce({layout.text(version)}, {default})" if version else default))
    typed += [
        _measure(layout, "entropy", "FLOAT"),
        _measure(layout, "mutual_information", "FLOAT"),
        _measure(layout, "area", "DOUBLE"),
    ]
    typed += _features(layout, features)
    label = layout.optional("label", "the label")
    typed.append(
        Typed(
            "label",
            class_code(layout, label, codes),
            (("unknown class", f"label IS NULL AND {layout.text(label)} IS NOT NULL"),),
        )
        if label
        else Typed("label", "CAST(NULL AS SMALLINT)")
    )
    labelled = layout.optional("labelled", "when the label was known")
    typed.append(layout.time(labelled, "labelled_at") if labelled else Typed("labelled_at", "CAST(NULL AS TIMESTAMP)"))
    return typed


def _position(layout: Layout) -> list[Typed]:
    if layout.has_geometry:
        lon, lat = layout.require("__lon", "the geometry"), layout.require("__lat", "the geometry")
        return [Typed("lon", raw(lon)), Typed("lat", raw(lat))]
    columns = layout.model.columns
    return [
        layout.number(layout.require(columns.lon, "the longitude"), "lon"),
        layout.number(layout.require(columns.lat, "the latitude"), "lat"),
    ]


def _probabilities(layout: Layout, codes: dict[str, int]) -> list[Typed]:
    """Predicted class, confidence and probabilities, each derived from the last where the file has only that."""
    columns = layout.model.columns
    names = {name: columns.probability(name) for name in layout.model.classes}
    given = "probabilities" in layout.named or any(layout.has(column) for column in names.values())
    typed = []
    if given:
        numbers = {}
        for name, column in names.items():
            layout.require(column, f"the probability of class '{name}'")
            numbers[codes[name]] = layout.number(column, kind="FLOAT")
        listed = [numbers[code].expression if code in numbers else "0" for code in range(len(codes))]
        shares = f"[{', '.join(listed)}]"
        typed.append(
            Typed(
                "probabilities",
                f"CASE WHEN {' AND '.join(f'{part.expression} IS NULL' for part in numbers.values())} "
                f"THEN NULL ELSE CAST({shares} AS FLOAT[]) END",
                (
                    *(refusal for part in numbers.values() for refusal in part.refusals),
                    (
                        "probabilities do not sum to 1",
                        """probabilities IS NOT NULL AND (coalesce(list_min(probabilities), 0) < 0
                        OR list_count(probabilities) < len(probabilities)
                        OR NOT abs(list_sum(probabilities) - 1) <= 0.01)""",
                    ),
                ),
            )
        )
    else:
        typed.append(Typed("probabilities", "CAST(NULL AS FLOAT[])"))
    derived = "list_position(probabilities, list_max(probabilities)) - 1"
    if layout.has(columns.predicted) or not given:
        column = layout.require(columns.predicted, "the predicted class")
        typed.append(
            Typed(
                "predicted",
                class_code(layout, column, codes),
                (
                    ("class missing", f"predicted IS NULL AND {layout.text(column)} IS NULL"),
                    ("unknown class", "predicted IS NULL"),
                ),
            )
        )
    else:
        typed.append(Typed("predicted", f"CAST({derived} AS SMALLINT)", (("class missing", "predicted IS NULL"),)))
    confidence = layout.optional("confidence", "the confidence")
    outside = ("confidence outside 0–1", "confidence IS NOT NULL AND NOT confidence BETWEEN 0 AND 1")
    if confidence:
        number = layout.number(confidence, "confidence")
        typed.append(
            Typed(
                "confidence",
                f"coalesce({number.expression}, CAST(list_max(probabilities) AS DOUBLE))",
                (*number.refusals, outside),
            )
        )
    else:
        typed.append(Typed("confidence", "CAST(list_max(probabilities) AS DOUBLE)", (outside,)))
    return typed


def _measure(layout: Layout, key: str, kind: Literal["DOUBLE", "FLOAT"]) -> Typed:
    name = "area_m2" if key == "area" else key
    column = layout.optional(key, name)
    if column:
        number = layout.number(column, name, kind)
        # What cannot be a number of nats or square metres counts as missing: one would spoil the sums of its day.
        sane = f"abs({number.expression}) < {MOST_NATS}" if kind == "FLOAT" else f"isfinite({number.expression})"
        return Typed(name, f"CASE WHEN {sane} THEN {number.expression} END", number.refusals)
    if key == "area" and layout.has_geometry:
        return Typed(name, f"CAST({raw(layout.require('__area_m2', 'the geometry'))} AS DOUBLE)")
    if key == "entropy":
        return Typed(
            name,
            """CAST(-list_sum(list_transform(probabilities, lambda p: CASE WHEN p > 0 THEN p * ln(p) ELSE 0 END))
            AS FLOAT)""",
        )
    return Typed(name, f"CAST(NULL AS {kind})")


def _features(layout: Layout, features: FeatureCodes) -> list[Typed]:
    wanted = layout.model.features
    typed = []
    for kind, codes in features.items():
        for name, code in codes.items():
            column = feature_column(kind, code)
            if wanted.get(name) != kind:  # once a feature of this model, no longer configured
                typed.append(Typed(column, f"CAST(NULL AS {'FLOAT' if kind == 'numeric' else 'VARCHAR'})"))
                continue
            layout.require(name, "a feature")
            if kind == "numeric":
                typed.append(layout.number(name, column, "FLOAT"))
            else:
                typed.append(Typed(column, layout.text(name)))
    return typed


def label_columns(layout: Layout, codes: dict[str, int]) -> list[Typed]:
    """The typed columns of a labels file. Raises InvalidFileError where a needed column is missing."""
    columns = layout.model.columns
    label = layout.require(columns.label, "the label")
    labelled = layout.optional("labelled", "when the label was known")
    when = layout.time(labelled, "labelled_at") if labelled else Typed("labelled_at", "CAST(NULL AS TIMESTAMP)")
    if labelled:
        when = _with(when, "time unreadable", f"{layout.text(labelled)} IS NOT NULL AND labelled_at IS NULL")
    return [
        Typed("id", layout.text(layout.require(columns.id, "the id of a prediction")), (("id missing", "id IS NULL"),)),
        Typed(
            "label",
            class_code(layout, label, codes),
            (("class missing", f"{layout.text(label)} IS NULL"), ("unknown class", "label IS NULL")),
        ),
        when,
    ]


def reason(typed: list[Typed]) -> str:
    """SQL for the first reason to refuse a row, NULL where there is none."""
    refusals = [refusal for column in typed for refusal in column.refusals]
    # A value of the wrong type makes later checks fail too; it is the reason to name.
    refusals.sort(key=lambda refusal: not refusal[0].startswith("wrong type"))
    return f"CASE {' '.join(f'WHEN {test} THEN {literal(name)}' for name, test in refusals)} END"


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _with(column: Typed, name: str, test: str) -> Typed:
    return Typed(column.name, column.expression, (*column.refusals, (name, test)))
