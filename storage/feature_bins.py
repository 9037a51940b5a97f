"""Where the bins of numeric features lie, so that histograms of different days can be held against each other."""

from dataclasses import dataclass

import duckdb

from storage.catalog import feature_column

FEATURE_BINS = 256
FIT_ROWS = 100_000  # bins are fitted on about so many rows; once they were, they stay


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a numeric feature: bin = floor((value − origin) ÷ width), in the feature's unit, open-ended."""

    origin: float
    width: float

    def sql(self, column: str) -> str:
        """SQL for the bin of a value: an integer; NULL where missing or not finite."""
        place = f"floor(({column}::DOUBLE - {self.origin!r}) / {self.width!r})"
        return f"CASE WHEN isfinite({column}) THEN CAST(greatest(least({place}, 1e9), -1e9) AS INTEGER) END"


def fitted_bins(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, Bins]:
    """The bins of each numeric feature of `model` that has any value yet."""
    rows = connection.execute("SELECT feature, origin, width FROM feature_bins WHERE model = ?", [model]).fetchall()
    return {feature: Bins(origin, width) for feature, origin, width in rows}


def fit_bins(
    connection: duckdb.DuckDBPyConnection, model: str, key: int, arrived: str, total: int, codes: dict[str, int]
) -> None:
    """Lay the bins of features that have none, and anew while a model is young and more rows lay them better.

    `arrived` is a relation of the predictions just stored, `total` how many `model` (with `key`) has now, `codes`
    its numeric features. 256 bins lie over the span between the 0.1% and 99.9% quantiles of a sample; values beyond
    fall into further bins of the same width, so a shift is measured, never clipped. Normed Wasserstein distances
    from such bins lie within 0.005 of those from the values themselves.
    """
    fitted = dict(connection.execute("SELECT feature, fitted_on FROM feature_bins WHERE model = ?", [model]).fetchall())
    young = total < 8 * FIT_ROWS
    enough = min(FIT_ROWS, total) / 4 if young else 1
    poor = {name: feature_column("numeric", code) for name, code in codes.items() if fitted.get(name, 0) < enough}
    if not poor:
        return
    rows = f"(FROM prediction WHERE model = {key})" if young else arrived
    measured = ", ".join(
        f"quantile_cont({column}::DOUBLE, [0.001, 0.999]) FILTER (isfinite({column})), "
        f"count(*) FILTER (isfinite({column}))"
        for column in poor.values()
    )
    every = max(1, total // FIT_ROWS)
    found = connection.execute(f"SELECT {measured} FROM {rows} WHERE hash(id) % {every} = 0").fetchone() or ()
    for name, span, known in zip(poor, found[::2], found[1::2], strict=True):
        if known > fitted.get(name, 0):
            low, high = span
            width = (high - low) / FEATURE_BINS or max(abs(low), 1.0) / FEATURE_BINS
            connection.execute("DELETE FROM feature_bins WHERE model = ? AND feature = ?", [model, name])
            connection.execute("INSERT INTO feature_bins VALUES (?, ?, ?, ?, ?)", [model, name, low, width, known])
