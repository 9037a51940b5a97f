"""The seeded world that every benchmark measures in: 300 regions, clusters and background, 90 days, 60% labelled.

A day is made by itself, from the seed and its number alone: so a hundred million rows never lie in memory, and the
same day comes out whatever else is made. The map has patches of a few kilometres of one class, with 20% noise.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb
import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from storage.models import Model

START = datetime(2026, 1, 1)
DAYS = 90
CLASSES = ("cotton", "wheat", "rice", "orchard", "alfalfa", "fallow")
CLUSTERS, BACKGROUND, LABELLED = 200, 0.2, 0.6
WEST, SOUTH, WIDTH, HEIGHT = 60.0, 36.0, 12.0, 8.0  # degrees
COLUMNS, ROWS = 20, 15  # of regions
PATCH, NOISE = (0.055, 0.045), 0.2  # a patch of one class, about 5 km wide
PART_ROWS = 10_000_000  # rows in a file, about
GROUP_ROWS = 1_000_000  # rows held in memory, about

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """`rows` predictions with `features` numeric features; written once into a folder of `cache`."""

    rows: int
    seed: int = 1
    features: int = 4
    cache: Path = Path("build/benchmarks")

    @property
    def model(self) -> Model:
        return Model(name="crops", classes=CLASSES, features=self.feature_kinds, regions="districts")

    @property
    def feature_kinds(self) -> dict:
        return {f"band_{number}": "numeric" for number in range(self.features)}

    @cached_property
    def centres(self) -> Floats:
        generator = np.random.default_rng(self.seed)
        return generator.uniform((WEST, SOUTH), (WEST + WIDTH, SOUTH + HEIGHT), (CLUSTERS, 2))

    def first(self, day: int) -> int:
        """The number of the first row of `day`."""
        return day * (self.rows // DAYS) + min(day, self.rows % DAYS)

    def day(self, day: int, rows: int | None = None) -> pa.Table:
        """The predictions of one day in order of time, as many as fall on it, or `rows`; day 90 follows the last."""
        count = self.first(day + 1) - self.first(day) if rows is None else rows
        generator = np.random.default_rng([self.seed, day])
        seconds = np.sort(generator.integers(0, 86_400, count))
        lon, lat = self._places(generator, count)
        predicted = patches(lon, lat, self.seed)
        noisy = generator.random(count, np.float32) < NOISE
        predicted[noisy] = generator.integers(0, len(CLASSES), int(noisy.sum()))
        confidence = np.round(generator.beta(6, 2, count), 4)
        right = generator.random(count) < confidence
        label = np.where(right, predicted, generator.integers(0, len(CLASSES), count))
        unlabelled = generator.random(count, np.float32) >= LABELLED
        names = pa.array(CLASSES)
        first = self.first(day)
        columns = {
            "id": pc.binary_join_element_wise(
                "field", pa.array(np.arange(first, first + count)).cast(pa.string()), "-"
            ),
            "time": np.datetime64(START + timedelta(days=day), "ms") + seconds * np.timedelta64(1000, "ms"),
            "lon": lon,
            "lat": lat,
            "predicted": names.take(pa.array(predicted)),
            "confidence": confidence,
            "entropy": (1.8 * (1 - confidence)).astype(np.float32),
            "label": names.take(pa.array(label, mask=unlabelled)),
        }
        for number, name in enumerate(self.feature_kinds):
            values = generator.standard_normal(count, np.float32) * np.float32(0.1 + number / 50) + np.float32(0.4)
            columns[name] = np.round(values, 4)
        return pa.table(columns)

    def _places(self, generator: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        centre = generator.integers(0, CLUSTERS, count)
        spread = generator.random(count, np.float32) < BACKGROUND
        found = []
        for axis, (low, size) in enumerate(((WEST, WIDTH), (SOUTH, HEIGHT))):
            place = self.centres[:, axis][centre] + 0.12 * generator.standard_normal(count)
            place[spread] = generator.uniform(low, low + size, int(spread.sum()))
            found.append(np.round(place, 7))
        return found[0], found[1]

    def groups(self, days: range) -> Iterator[pa.Table]:
        """The predictions of `days`, a few days at a time."""
        held: list[pa.Table] = []
        for day in days:
            held.append(self.day(day))
            if sum(table.num_rows for table in held) >= GROUP_ROWS or day == days[-1]:
                yield pa.concat_tables(held)
                held = []

    @property
    def folder(self) -> Path:
        return self.cache / f"rows-{self.rows}-features-{self.features}-seed-{self.seed}"

    def parts(self) -> list[Path]:
        """The Parquet files (zstd) of the predictions in order of time, of whole days; written where they are not."""
        if not self.folder.is_dir():
            files = -(-self.rows // PART_ROWS)
            making = self.folder.with_name(self.folder.name + ".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            for number in range(files):
                days = range(DAYS * number // files, DAYS * (number + 1) // files)
                write(self.groups(days), making / f"part-{number:03}.parquet")
            write_regions(making / "regions.geojson")
            making.rename(self.folder)
        return sorted(self.folder.glob("part-*.parquet"))

    @property
    def regions(self) -> Path:
        self.parts()
        return self.folder / "regions.geojson"

    def next_day(self, rows: int, folder: Path) -> Path:
        """A Parquet file of `rows` predictions of the day after the last."""
        path = folder / "next-day.parquet"
        write(iter([self.day(DAYS, rows)]), path)
        return path

    def late_labels(self, count: int, folder: Path) -> Path:
        """A Parquet file of labels for `count` predictions of any day that have none, or for all such."""
        path = folder / "late-labels.parquet"
        share = min(1.0, 1.02 * count / max(self.rows * (1 - LABELLED), 1))
        classes = ", ".join(f"'{name}'" for name in CLASSES)
        with duckdb.connect() as connection:
            connection.execute(f"""
                COPY (
                    SELECT id, CASE WHEN hash(id || 'right') % 10000 < confidence * 10000 THEN predicted
                        ELSE [{classes}][(hash(id || 'other') % {len(CLASSES)})::INTEGER + 1] END AS label
                    FROM read_parquet({[str(part) for part in self.parts()]})
                    WHERE label IS NULL AND hash(id) % 1000000 < {share * 1_000_000} LIMIT {count}
                ) TO '{path}' (COMPRESSION zstd)
            """)
        return path


def write(tables: Iterator[pa.Table], path: Path) -> None:
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def patches(lon: Floats, lat: Floats, seed: int) -> npt.NDArray[np.int64]:
    """The class (0 to 5) of the patch that each place lies in: patches with wavy borders, in no order."""
    column = np.floor((lon + 0.03 * np.sin(lat * 40)) / PATCH[0]).astype(np.int64)
    row = np.floor((lat + 0.03 * np.sin(lon * 30)) / PATCH[1]).astype(np.int64)
    mixed = (column * 73_856_093) ^ (row * 19_349_663) ^ (seed * 83_492_791)
    return ((mixed * 2_654_435_761 & 0xFFFFFFFF) >> 13) % len(CLASSES)


def write_regions(path: Path) -> None:
    """300 districts with wavy borders that neighbours share, of 80 vertices each, as GeoJSON."""
    t = np.linspace(0, 1, 21)[:-1]
    width, height = WIDTH / COLUMNS, HEIGHT / ROWS

    def wave(place: Floats) -> Floats:
        return 0.1 * np.sin(2 * np.pi * place) * np.sin(7 * np.pi * place)

    shapes = []
    for number in range(COLUMNS * ROWS):
        column, row = number % COLUMNS, number // COLUMNS
        sides = [
            (column + t, row + wave(t)),
            (column + 1 + wave(t), row + t),
            (column + 1 - t, row + 1 + wave(1 - t)),
            (column + wave(1 - t), row + 1 - t),
        ]
        x, y = (np.concatenate([side[axis] for side in sides]) for axis in (0, 1))
        shapes.append(shapely.make_valid(shapely.Polygon(np.column_stack([WEST + x * width, SOUTH + y * height]))))
    names = [f"d{number}" for number in range(len(shapes))]
    gpd.GeoDataFrame({"region_id": names, "name": names}, geometry=shapes, crs=4326).to_file(path, driver="GeoJSON")
