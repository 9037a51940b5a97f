"""Additive roll-ups, kept in the same transaction as the rows they sum.

Whatever changes is written as a difference: what a row was is subtracted, what it is now is added. The tables
therefore only grow by small rows, and a reader always sums (Gray et al. 1997, Data Cube: distributive aggregates).
"""

from collections.abc import Iterable

import duckdb

from storage.catalog import FeatureCodes
from storage.database import quote
from storage.grid import DEPTH
from storage.models import FeatureKind
from storage.validation import feature_column, literal

BINS = 20  # of confidence
FEATURE_BINS = 256
FIT_ROWS = 20_000  # once bins were fitted on so many values they stay
CELL_LEVELS = 3  # stored levels: base, base - 2, base - 4

# Without the CASE, least() would pass over a missing confidence and answer the last bin.
CONFIDENCE_BIN = (
    f"CASE WHEN confidence IS NOT NULL THEN CAST(least(floor(confidence * {BINS}), {BINS - 1}) AS TINYINT) END"
)


def cell_levels(base: int) -> list[int]:
    """The stored levels of the cell pyramid, the finest (`base`) first. Levels between are sums of a finer one."""
    return [level for level in range(base, base - 2 * CELL_LEVELS, -2) if level >= 0]


def write_differences(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    changes: str,
    base: int,
    features: FeatureCodes,
) -> None:
    """Add the rows of the relation `changes` to the roll-ups of `model`.

    `changes` holds prediction rows with `sign` 1 (is now) or -1 (was), features in columns of their own
    (see `feature_column`). `features` are the feature codes by kind; none where no feature changed.
    """
    write_region_differences(connection, changes)
    write_cell_differences(connection, changes, base)
    write_feature_differences(connection, model, changes, features)


def write_region_differences(connection: duckdb.DuckDBPyConnection, changes: str) -> None:
    connection.execute(f"""
        INSERT INTO region_rollup
        SELECT model, version, predicted_at::DATE AS day, region, predicted, label, {CONFIDENCE_BIN} AS bin,
            sum(sign),
            coalesce(sum(sign * confidence), 0), coalesce(sum(sign * confidence * confidence), 0),
            coalesce(sum(sign) FILTER (entropy IS NOT NULL), 0), coalesce(sum(sign * entropy::DOUBLE), 0),
            coalesce(sum(sign) FILTER (area_m2 IS NOT NULL), 0), coalesce(sum(sign * area_m2), 0)
        FROM {changes} GROUP BY ALL ORDER BY day, region
    """)


def write_cell_differences(connection: duckdb.DuckDBPyConnection, changes: str, base: int) -> None:
    sums = """
        sum(n) AS n, sum(n_labelled) AS n_labelled, sum(n_correct) AS n_correct,
        sum(n_confidence) AS n_confidence, sum(sum_confidence) AS sum_confidence,
        sum(n_entropy) AS n_entropy, sum(sum_entropy) AS sum_entropy
    """
    coarser = cell_levels(base)[1:]
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE cell_difference AS
        SELECT model, version, predicted_at::DATE AS day, {base}::TINYINT AS level,
            x >> {DEPTH - base} AS x, y >> {DEPTH - base} AS y, predicted,
            sum(sign) AS n,
            coalesce(sum(sign) FILTER (label IS NOT NULL), 0) AS n_labelled,
            coalesce(sum(sign) FILTER (label = predicted), 0) AS n_correct,
            coalesce(sum(sign) FILTER (confidence IS NOT NULL), 0) AS n_confidence,
            coalesce(sum(sign * confidence), 0) AS sum_confidence,
            coalesce(sum(sign) FILTER (entropy IS NOT NULL), 0) AS n_entropy,
            coalesce(sum(sign * entropy::DOUBLE), 0) AS sum_entropy
        FROM {changes} GROUP BY ALL
    """)
    for level in coarser:
        connection.execute(f"""
            INSERT INTO cell_rollup
            SELECT model, version, day, {level}, x >> {base - level} AS cx, y >> {base - level} AS cy, predicted, {sums}
            FROM cell_difference GROUP BY ALL ORDER BY day, cy, cx
        """)
    connection.execute("INSERT INTO cell_rollup SELECT * FROM cell_difference ORDER BY day, y, x")
    connection.execute("DROP TABLE cell_difference")


def write_feature_differences(
    connection: duckdb.DuckDBPyConnection, model: str, changes: str, features: FeatureCodes
) -> None:
    bins = feature_bins(connection, model)
    for kind, codes in features.items():
        for name, code in codes.items():
            column = feature_column(kind, code)
            if kind == "numeric":
                binned, category = bin_expression(column, bins.get(name)), "NULL::VARCHAR"
            else:
                binned, category = "NULL::INTEGER", column
            connection.execute(f"""
                INSERT INTO feature_rollup
                SELECT model, version, predicted_at::DATE AS day, region, {literal(name)}, {binned} AS bin,
                    {category} AS category, sum(sign) AS n
                FROM {changes} GROUP BY ALL HAVING n <> 0 ORDER BY day, region
            """)


def bin_expression(column: str, bins: tuple[float, float] | None) -> str:
    """SQL for the bin of a numeric feature: an open-ended integer; NULL where missing or not finite."""
    if bins is None:
        return "NULL::INTEGER"
    origin, width = bins
    place = f"floor(({column}::DOUBLE - {origin!r}) / {width!r})"
    return f"CASE WHEN isfinite({column}) THEN CAST(greatest(least({place}, 1e9), -1e9) AS INTEGER) END"


def feature_bins(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, tuple[float, float]]:
    """(origin, width) of the bins of each numeric feature of `model` that has any value yet."""
    rows = connection.execute("SELECT feature, origin, width FROM feature_bins WHERE model = ?", [model]).fetchall()
    return {feature: (origin, width) for feature, origin, width in rows}


def fit_bins(connection: duckdb.DuckDBPyConnection, model: str, source: str, codes: dict[str, int]) -> None:
    """Lay the bins of numeric features anew where more rows would lay them better.

    256 bins over the span between the 0.1% and 99.9% quantiles of `source`; values beyond fall into further bins
    of the same width, so a shift is measured, never clipped. Normed Wasserstein distances from such bins lie
    within 0.005 of those from the values themselves.
    """
    for name, code in codes.items():
        column = feature_column("numeric", code)
        low, high, count = connection.execute(f"""
            SELECT quantile_cont({column}::DOUBLE, 0.001), quantile_cont({column}::DOUBLE, 0.999), count(*)
            FROM {source} WHERE isfinite({column})
        """).fetchone() or (None, None, 0)
        if not count:
            continue
        width = (high - low) / FEATURE_BINS or max(abs(low), 1.0) / FEATURE_BINS
        connection.execute("DELETE FROM feature_bins WHERE model = ? AND feature = ?", [model, name])
        connection.execute("INSERT INTO feature_bins VALUES (?, ?, ?, ?, ?)", [model, name, low, width, count])


def features_to_fit(connection: duckdb.DuckDBPyConnection, model: str, codes: dict[str, int]) -> dict[str, int]:
    """The numeric features (with codes) that have no bins yet."""
    fitted = feature_bins(connection, model)
    return {name: code for name, code in codes.items() if name not in fitted}


def features_to_refit(connection: duckdb.DuckDBPyConnection, model: str, codes: dict[str, int]) -> dict[str, int]:
    """The numeric features (with codes) whose bins were fitted on few values, now that there are four times as many."""
    poor = connection.execute(
        """SELECT feature FROM feature_bins JOIN feature_rollup USING (model, feature)
        WHERE model = ? AND fitted_on < ? AND bin IS NOT NULL
        GROUP BY feature, fitted_on HAVING sum(n) >= 4 * fitted_on""",
        [model, FIT_ROWS],
    ).fetchall()
    return {name: codes[name] for (name,) in poor if name in codes}


def unpacked(features: FeatureCodes) -> str:
    """SQL select list that puts the feature lists of `prediction` back into columns of their own."""
    return "".join(
        f", {kind}_features[{code}] AS {feature_column(kind, code)}"
        for kind, codes in features.items()
        for code in codes.values()
    )


def packed(features: FeatureCodes, kind: FeatureKind) -> str:
    """SQL for the list of the features of `kind`, from columns of their own."""
    columns = ", ".join(quote(feature_column(kind, code)) for code in sorted(features[kind].values()))
    return f"[{columns}]" if columns else "NULL"


def rebuild(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    base: int,
    features: FeatureCodes,
    tables: Iterable[str] = ("region_rollup", "cell_rollup", "feature_rollup"),
) -> None:
    """Make the named roll-ups of `model` anew from its rows."""
    tables = tuple(tables)
    changes = f"(SELECT *, 1 AS sign {unpacked(features)} FROM prediction WHERE model = {literal(model)})"
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE model = ?", [model])
    if "region_rollup" in tables:
        write_region_differences(connection, changes)
    if "cell_rollup" in tables:
        write_cell_differences(connection, changes, base)
    if "feature_rollup" in tables:
        write_feature_differences(connection, model, changes, features)
