"""What storage should hold, kept as plain Python rows, and what its roll-ups should then say, by pandas."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from storage import grid
from storage.models import Model
from storage.periods import Period
from storage.rollups import ROLLUPS

Row = dict[str, Any]

CLASSES = ("wheat", "rice", "it's; DROP TABLE prediction; --")
MODEL = Model(
    name='crops "2026"',
    classes=CLASSES,
    features={"ndvi": "numeric", "'; DROP TABLE prediction; --": "categorical"},
    regions='districts; "x"',
)
SENSOR = "'; DROP TABLE prediction; --"
CONTENT = ("time", "lon", "lat", "predicted", "confidence", "entropy", "area_m2", "ndvi", SENSOR)


def least_rows(rows: float) -> dict[str, dict[Period, float]]:
    """Put in place of `storage.rollups.LEAST_ROWS`, it makes that so few rows a cell are rolled up."""
    return {name: dict.fromkeys(Period, rows) for name in ROLLUPS}


def text(value: Any) -> Any:
    """`value` as the sender of a table would write it into a column of text."""
    return None if value is None else value.isoformat() if isinstance(value, datetime) else str(value)


def table(rows: list[Row]) -> "pd.DataFrame":
    """The rows as a table of text, as a CSV file would hold them."""
    columns = ["id", "version", *CONTENT, "label"]
    return pd.DataFrame([[text(row.get(name)) for name in columns] for row in rows], columns=columns, dtype=object)


@dataclass(frozen=True)
class Square:
    """A region: a square with corners in whole degrees. `parent` is an id."""

    id: str
    west: int
    south: int
    size: int
    parent: str | None = None

    def holds(self, lon: float, lat: float) -> bool:
        return self.west < lon < self.west + self.size and self.south < lat < self.south + self.size


def write_regions(squares: tuple[Square, ...], path: Path) -> Path:
    frame = gpd.GeoDataFrame(
        {
            "region_id": [square.id for square in squares],
            "name": [f"the {square.id}" for square in squares],
            "parent_id": [square.parent for square in squares],
        },
        geometry=[shapely.box(s.west, s.south, s.west + s.size, s.south + s.size) for s in squares],
        crs=4326,
    )
    frame.to_file(path, driver="GeoJSON")
    return path


@dataclass
class Plain:
    """The rows that should be stored, by version and id; and how each file should have been received."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    squares: tuple[Square, ...] = ()

    def ingest(self, rows: list[Row]) -> dict[str, int]:
        """Take the rows in, one after the other. `fault` in a row says why it is to be refused."""
        counts = dict.fromkeys(("accepted", "replaced", "unchanged", "refused"), 0)
        good = [row for row in rows if row.get("fault") is None]
        counts["refused"] = len(rows) - len(good)
        for _, group in itertools.groupby(sorted(good, key=key), key=key):
            sent = list(group)
            before = self.rows.get(key(sent[0]))
            after = before
            for row in sent:
                label = row["label"] if row["label"] is not None else (after or {}).get("label")
                after = {**row, "label": label}
            assert after is not None
            if before is not None and same(before, after):
                counts["unchanged"] += len(sent)
                continue
            counts["accepted" if before is None else "replaced"] += 1
            for row in sent[:-1]:
                as_kept = same({**row, "label": after["label"]}, after) and row["label"] in (None, after["label"])
                counts["unchanged" if as_kept else "replaced"] += 1
            self.rows[key(sent[0])] = after
        return counts

    def label(self, labels: list[Row]) -> dict[str, int]:
        """Take labels in: rows of id and label (None or an unknown class: refused)."""
        counts = dict.fromkeys(("accepted", "replaced", "unchanged", "refused"), 0)
        known = {id_ for _, id_ in self.rows}
        good = [row for row in labels if row["label"] in CLASSES and row["id"] in known]
        counts["refused"] = len(labels) - len(good)
        last = {row["id"]: row["label"] for row in good}
        for row in good:
            stored = [each for (_, id_), each in self.rows.items() if id_ == row["id"]]
            changed = [each for each in stored if each["label"] != last[row["id"]]]
            new = any(each["label"] is None for each in changed)
            counts["accepted" if new else "replaced" if changed else "unchanged"] += 1
        for (_, id_), row in list(self.rows.items()):
            if id_ in last:
                row["label"] = last[id_]
        return counts

    def region(self, row: Row) -> str | None:
        """The id of the deepest square that holds the row."""
        holding = [square for square in self.squares if square.holds(row["lon"], row["lat"])]
        return min(holding, key=lambda square: square.size).id if holding else None

    def frame(self) -> pd.DataFrame:
        """The rows with everything that roll-ups group by. Region as an id; confidence and label may be missing."""
        columns = ["id", "version", *CONTENT, "label", "region", "day", "x", "y"]
        records = []
        for row in self.rows.values():
            x, y = grid.position(*(np.round(np.array([row[axis]]) * 1e7) / 1e7 for axis in ("lon", "lat")))
            place = {"region": self.region(row), "day": row["time"].date(), "x": int(x[0]), "y": int(y[0])}
            records.append({**row, **place})
        frame = pd.DataFrame(records, columns=columns).astype(object)
        frame = frame.where(frame.notna(), None)
        frame["bin"] = [None if c is None else min(int(np.floor(c * 20)), 19) for c in frame["confidence"]]
        frame["entropy"] = [None if e is None else float(np.float32(e)) for e in frame["entropy"]]
        return frame


def key(row: Row) -> tuple[str, str]:
    return row["version"], row["id"]


def same(one: Row, other: Row) -> bool:
    return all(one[name] == other[name] for name in (*CONTENT, "label"))


def plus(values: pd.Series) -> float:
    """The sum, of millionths."""
    return float(sum(np.floor(value * 1e6 + 0.5) for value in values if pd.notna(value))) / 1e6


def sums(group: pd.DataFrame) -> dict[str, float]:
    """The additive sums of some rows."""
    labelled, confident = group["label"].notna(), group["confidence"].notna()
    return {
        "n": len(group),
        "n_labelled": int(labelled.sum()),
        "n_correct": int((group["label"] == group["predicted"])[labelled].sum()),
        "n_confidence": int(confident.sum()),
        "sum_confidence": plus(group["confidence"]),
        "sum_labelled_confidence": plus(group["confidence"][labelled]),
        "sum_confidence2": plus(group["confidence"].map(lambda c: None if c is None else c * c)),
        "n_entropy": int(group["entropy"].notna().sum()),
        "sum_entropy": plus(group["entropy"]),
    }


def grouped(frame: pd.DataFrame, by: list[str], wanted: list[str]) -> dict[tuple[Any, ...], tuple[float, ...]]:
    """The wanted sums by the values of the columns `by`."""
    found = {}
    for values, group in frame.groupby(by, dropna=False):
        total = sums(group)
        found[tuple(plain(value) for value in values)] = tuple(total[name] for name in wanted)
    return found


def stored(frame: pd.DataFrame, by: list[str], wanted: list[str]) -> dict[tuple[Any, ...], tuple[float, ...]]:
    """What the database answered, in the shape of `grouped`."""
    rows = frame[[*by, *wanted]].astype(object).itertuples(index=False)
    return {tuple(plain(value) for value in row[: len(by)]): tuple(row[len(by) :]) for row in rows}


def plain(value: Any) -> Any:
    """Missing as None, whole numbers as int, days as dates: so that keys compare."""
    if value is None or pd.isna(value):
        return None
    if isinstance(value, datetime):
        return value.date()
    return int(value) if isinstance(value, int | float | np.number) else value


def assert_alike(
    found: dict[tuple[Any, ...], tuple[float, ...]], expected: dict[tuple[Any, ...], tuple[float, ...]]
) -> None:
    assert set(found) == set(expected), f"{set(found) - set(expected)} should be {set(expected) - set(found)}"
    for group, values in expected.items():
        np.testing.assert_allclose(
            np.array(found[group], float), np.array(values, float), rtol=1e-9, atol=1e-9, err_msg=str(group)
        )
