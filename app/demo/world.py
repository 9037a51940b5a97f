"""The demo's world: sixteen weeks of predictions over an invented country, with a failure planted in it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.demo.classifier import train_classifier
from app.demo.landscape import CLASSES, FEATURES, MEAN, SPREAD, Fields, Landscape
from app.demo.territory import Territory

START = datetime(2026, 1, 5)
WEEK = timedelta(days=7)
FAILURE_WEEK = 11
REFERENCE_WEEKS = 8
LABEL_LAG_WEEKS = 2
LABELLED = 0.6
TRAINING_ROWS = 60_000  # at most; no more than there are predictions

# The season: one cycle in eight weeks, the second one milder; amplitudes in spreads of the feature.
SEASON = {"ndvi_early": 0.16, "ndvi_peak": 0.14, "ndvi_late": -0.16, "evi_peak": 0.12, "swir1": -0.12, "vh": 0.12}
SECOND_CYCLE = 0.65

# The sensor shift: gain, and offset in standard deviations of the feature in its district.
SENSOR = {"red": (1.10, 1.15), "nir": (0.92, -1.15), "swir1": (1.06, 1.10), "ndvi_peak": (0.94, -1.10)}
CONCEPT_DROP = 0.36

CONFIGURATION = """\
# An invented country, its crop classifier, and a failure from week 11 on (truth.json says where).
database: driftmap.duckdb
regions:
  districts: {{path: regions.geojson, id: region_id, name: name, parent: parent_id}}
models:
  crops:
    task: classification
    classes: [{classes}]
    features:
{features}
    regions: districts
    reference: {{from: {start}, to: {end}}}
    window: 7d
    schedule: null
    scoring: {{program: model.pt2, tables: "features/*.parquet"}}
"""


@dataclass(frozen=True, slots=True)
class Week:
    """One week, half-open: its feature table, its labels, and the midnight (UTC) the labels arrive."""

    number: int
    start: datetime
    end: datetime
    features: Path
    labels: Path
    labels_arrive: datetime


@dataclass(frozen=True, slots=True)
class Truth:
    """What was planted: region ids by kind, their parents, and the week (from 1) it began."""

    week: int
    sensor: tuple[str, ...]
    concept: tuple[str, ...]
    ancestors: tuple[str, ...]

    @property
    def planted(self) -> tuple[str, ...]:
        return self.sensor + self.concept


@dataclass(frozen=True, slots=True)
class World:
    folder: Path
    configuration: Path
    weeks: tuple[Week, ...]
    truth: Truth


def build_world(
    folder: Path,
    seed: int = 20260105,
    rows: int = 200_000,
    weeks: int = 16,
    progress: Callable[[str, float], None] | None = None,
) -> World:
    """The world written to `folder`, the same for the same arguments: regions, model, features, labels, truth.

    `progress` is told what is being made, and the share that is done. Raises MissingDependencyError
    without torch.
    """
    tell = progress or (lambda stage, share: None)
    rng = np.random.default_rng(seed)
    for name in ("features", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tell("regions", 0.0)
    territory = Territory(rng)
    territory.write(folder / "regions.geojson")
    landscape = Landscape(rng, territory)
    tell("fields", 0.1)
    fields = landscape.fields(rng, rows)
    truth, swaps = plant(rng, territory, fields)
    tell("classifier", 0.3)
    training = landscape.fields(rng, min(TRAINING_ROWS, rows))
    moment = rng.uniform(0, REFERENCE_WEEKS, len(training.label))
    train_classifier(folder / "model.pt2", physical(training.looks, moment), training.label, len(CLASSES), seed % 2**31)
    tell("weeks", 0.8)
    moment = rng.uniform(0, weeks, rows)
    values = physical(fields.looks, moment)
    failing = moment >= FAILURE_WEEK - 1
    shift_sensor(values, fields, failing, [d.id in truth.sensor for d in territory.districts])
    label = swap_classes(rng, fields, failing, swaps)
    written = write_weeks(rng, folder, weeks, territory, fields, moment, values, label)
    (folder / "truth.json").write_text(
        json.dumps({**asdict(truth), "planted": truth.planted}, indent=2) + "\n", encoding="utf-8"
    )
    configuration = folder / "driftmap.yaml"
    configuration.write_text(configuration_text(), encoding="utf-8")
    tell("done", 1.0)
    return World(folder, configuration, written, truth)


def physical(looks: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Features in their own units, season included; `moment` in weeks since the start."""
    strength = np.sin(2 * np.pi * moment / 8) * np.where(moment < 8, 1.0, SECOND_CYCLE)
    seasonal = looks.copy()
    for name, amplitude in SEASON.items():
        seasonal[:, FEATURES.index(name)] += amplitude * strength
    return MEAN + SPREAD * seasonal


def plant(
    rng: np.random.Generator, territory: Territory, fields: Fields
) -> tuple[Truth, dict[int, tuple[int, int, float]]]:
    """Where it fails: three districts of two provinces, and two districts of two others.

    Also, per district index of a concept change: the two classes that change places, and for which share
    of the farms. Districts with many fields are chosen, and for a concept change those where two classes
    cover much of the land.
    """
    count = np.bincount(fields.district, minlength=len(territory.districts))
    eligible = count >= np.median(count)
    shares = np.zeros((len(count), len(CLASSES)))
    np.add.at(shares, (fields.district, fields.label), 1)
    shares /= count[:, None]
    two = np.sort(shares, axis=1)[:, -2:].sum(axis=1)
    varied = shares.max(axis=1) < 0.75

    def pick(province: str, allowed: np.ndarray, number: int) -> list[int]:
        here = [k for k, d in enumerate(territory.districts) if d.province == province and allowed[k]]
        return sorted(rng.choice(here, number, replace=False).tolist()) if len(here) >= number else []

    provinces = [p.id for p in territory.provinces]
    while True:
        first, second, third, fourth = rng.permutation(provinces)[:4].tolist()
        sensor = pick(first, eligible & varied, 2) + pick(second, eligible & varied, 1)
        concept = pick(third, eligible & (two > 0.55), 1) + pick(fourth, eligible & (two > 0.55), 1)
        if len(sensor) == 3 and len(concept) == 2:
            break
    swaps = {}
    for k in concept:
        a, b = np.argsort(shares[k])[-2:].tolist()
        swaps[k] = (a, b, min(0.95, CONCEPT_DROP / 0.85 / float(two[k])))
    ids = [d.id for d in territory.districts]
    ancestors = sorted({territory.districts[k].province for k in sensor + concept})
    truth = Truth(FAILURE_WEEK, tuple(ids[k] for k in sensor), tuple(ids[k] for k in concept), tuple(ancestors))
    return truth, swaps


def shift_sensor(values: np.ndarray, fields: Fields, failing: np.ndarray, shifted: list[bool]) -> None:
    """Gain and offset on the features of SENSOR, in place, in the districts marked in `shifted`."""
    for k in np.flatnonzero(shifted):
        here = fields.district == k
        for name, (gain, offset) in SENSOR.items():
            column = FEATURES.index(name)
            centre, spread = values[here, column].mean(), values[here, column].std()
            rows = here & failing
            values[rows, column] = centre + gain * (values[rows, column] - centre) + offset * spread


def swap_classes(
    rng: np.random.Generator, fields: Fields, failing: np.ndarray, swaps: dict[int, tuple[int, int, float]]
) -> np.ndarray:
    """Label codes, where from the failure on two classes have changed places on a share of the farms."""
    label = fields.label.copy()
    draw = rng.random(int(fields.farm.max()) + 1)[fields.farm]
    for k, (a, b, share) in swaps.items():
        rows = (fields.district == k) & failing & (draw < share)
        label[rows & (fields.label == a)] = b
        label[rows & (fields.label == b)] = a
    return label


def write_weeks(
    rng: np.random.Generator,
    folder: Path,
    weeks: int,
    territory: Territory,
    fields: Fields,
    moment: np.ndarray,
    values: np.ndarray,
    label: np.ndarray,
) -> tuple[Week, ...]:
    degrees = territory.warp.degrees(fields.points)
    area = rng.lognormal(np.log(42_000), 0.7, len(moment)).round()
    labelled = rng.random(len(moment)) < LABELLED
    names = np.array(CLASSES)
    written = []
    for number in range(1, weeks + 1):
        rows = np.flatnonzero((moment >= number - 1) & (moment < number))
        rows = rows[np.argsort(moment[rows])]
        start = START + (number - 1) * WEEK
        ids = [f"w{number:02d}-{k:05d}" for k in range(1, len(rows) + 1)]
        seconds = (moment[rows] * WEEK.total_seconds()).astype("timedelta64[s]")
        columns: dict[str, object] = {
            "id": ids,
            "time": np.datetime64(START, "s") + seconds,
            "lon": degrees[rows, 0],
            "lat": degrees[rows, 1],
        }
        columns |= {name: values[rows, k].astype(np.float32) for k, name in enumerate(FEATURES)}
        columns["area_m2"] = area[rows]
        week = Week(
            number,
            start,
            start + WEEK,
            folder / "features" / f"week_{number:02d}.parquet",
            folder / "labels" / f"week_{number:02d}.parquet",
            start + LABEL_LAG_WEEKS * WEEK,
        )
        pq.write_table(pa.table(columns), week.features, compression="zstd")
        known = labelled[rows]
        labels = {"id": pa.array(ids).filter(pa.array(known)), "label": names[label[rows[known]]]}
        pq.write_table(pa.table(labels), week.labels, compression="zstd")
        written.append(week)
    return tuple(written)


def configuration_text() -> str:
    return CONFIGURATION.format(
        classes=", ".join(CLASSES),
        features="\n".join(f"      {name}: numeric" for name in FEATURES),
        start=START.date(),
        end=(START + REFERENCE_WEEKS * WEEK - timedelta(days=1)).date(),
    )
