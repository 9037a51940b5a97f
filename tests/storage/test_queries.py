"""Every query gives what a plain computation over the rows gives, whether roll-ups answer it or rows."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from storage import grid, queries, rollups
from storage.catalog import register_model
from storage.database import Database
from storage.errors import NotFoundError
from storage.ingest import ingest_table
from storage.labels import label_table
from storage.models import Model
from storage.queries import Filter
from storage.regions import load_regions, region_set
from tests.storage.plain import Square, assert_alike, grouped, least_rows, stored, write_regions

CLASSES = ("wheat", "rice", "fallow")
MODEL = Model(name="crops", classes=CLASSES, features={"ndvi": "numeric"}, regions="districts")
SQUARES = (Square("north", 60, 40, 4), Square("a", 60, 40, 2, "north"), Square("b", 62, 42, 2, "north"))
DAYS = [datetime(2026, 3, 1) + timedelta(days=day) for day in range(6)]


def rows(count: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"s{number}" for number in range(count)],
            "version": generator.choice(["1", "2"], count),
            "time": pd.Timestamp(DAYS[0]) + pd.to_timedelta(generator.integers(0, 5 * 86_400, count), unit="s"),
            "lon": generator.uniform(59.5, 65, count),
            "lat": generator.uniform(39.5, 44.5, count),
            "predicted": generator.choice(CLASSES, count),
            "confidence": generator.uniform(0, 1, count),
            "entropy": generator.uniform(0, 1, count).astype(np.float32),
            "ndvi": generator.normal(0, 1, count),
        }
    )
    frame.loc[generator.uniform(size=count) < 0.1, "confidence"] = None
    return frame


@pytest.fixture(scope="module", params=[None, 5, 0.05], ids=["rows", "some roll-ups", "many roll-ups"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, pd.DataFrame]]:
    """A database after ingest, replacement and late labels; and the rows it should hold."""
    folder = tmp_path_factory.mktemp("queries")
    with pytest.MonkeyPatch.context() as patched, Database.open(str(folder / "driftmap.duckdb")) as database:
        if request.param is not None:
            patched.setattr(rollups, "LEAST_ROWS", least_rows(request.param))
            patched.setattr(rollups, "LEAST_PERIODS", 0)
        load_regions(database, "districts", write_regions(SQUARES, folder / "regions.geojson"))
        register_model(database, MODEL)
        first, second = rows(1500, 1), rows(1000, 2)
        ingest_table(database, MODEL, pa.Table.from_pandas(first), "first")
        ingest_table(database, MODEL, pa.Table.from_pandas(second), "second")
        generator = np.random.default_rng(3)
        labels = pd.DataFrame({"id": first["id"][::2], "label": generator.choice(CLASSES, 750)})
        label_table(database, MODEL, pa.Table.from_pandas(labels), "labels")
        frame = pd.concat([first, second]).drop_duplicates(["version", "id"], keep="last")
        frame = frame.merge(labels, on="id", how="left")
        x, y = grid.position(*(np.round(frame[axis].to_numpy() * 1e7) / 1e7 for axis in ("lon", "lat")))
        region = []
        for lon, lat in zip(frame["lon"], frame["lat"], strict=True):
            holding = [square for square in SQUARES if square.holds(lon, lat)]
            region.append(min(holding, key=lambda square: square.size).id if holding else None)
        bins = np.minimum(np.floor(frame["confidence"] * 20), 19)
        frame = frame.assign(x=x, y=y, region=region, bin=bins, day=frame["time"].dt.date, area_m2=None)
        frame["label"] = frame["label"].astype(object).where(frame["label"].notna(), None)
        yield database, frame.reset_index(drop=True)


filters = st.fixed_dictionaries(
    {
        "version": st.sampled_from([None, "1", "2", "3"]),
        "start": st.sampled_from([None, *DAYS]),
        "end": st.sampled_from([None, *DAYS]),
        "region": st.sampled_from([None, "north", "a", "b"]),
        "classes": st.sets(st.sampled_from([*CLASSES, "unheard of"]), max_size=3).map(tuple),
    }
)
confidences = st.sampled_from([None, (0.0, 1.0), (0.25, 0.5), (0.9, 1.0), (0.5, 0.5)])
boxes = st.none() | st.tuples(st.floats(59, 62), st.floats(39, 42), st.floats(62, 66), st.floats(42, 45))


def chosen(frame: pd.DataFrame, filter_: Filter) -> pd.DataFrame:
    """The rows that a filter means, but for its bounds."""
    keep = pd.Series(data=True, index=frame.index)
    if filter_.version is not None:
        keep &= frame["version"] == filter_.version
    if filter_.start is not None:
        keep &= frame["time"] >= filter_.start
    if filter_.end is not None:
        keep &= frame["time"] < filter_.end
    if filter_.region is not None:
        keep &= frame["region"].isin(["north", "a", "b"] if filter_.region == "north" else [filter_.region])
    if filter_.classes:
        keep &= frame["predicted"].isin(filter_.classes)
    if filter_.confidence is not None:
        low, high = filter_.confidence
        keep &= (frame["confidence"] >= low) & (frame["confidence"] < (high if high < 1 else 2))
    return frame[keep]


def within(frame: pd.DataFrame, cells: tuple[int, int, int, int, int]) -> pd.DataFrame:
    """The rows in some cells: level; x first, y first, x last, y last."""
    level, x0, y0, x1, y1 = cells
    x, y = (frame[axis] // (1 << (grid.DEPTH - level)) for axis in ("x", "y"))
    return frame[x.between(x0, x1) & y.between(y0, y1)]


def inside(frame: pd.DataFrame, bounds: grid.Bounds | None) -> pd.DataFrame:
    """The rows in the cells that a box stands for."""
    return frame if bounds is None else within(frame, grid.snapped(bounds))


def metres(box: tuple[float, float, float, float] | None) -> grid.Bounds | None:
    if box is None:
        return None
    x, y = grid.position(np.array([box[0], box[2]]), np.array([box[1], box[3]]))
    (xmin, xmax), (ymin, ymax) = grid.to_metres(x, y)
    return float(xmin), float(ymin), float(xmax), float(ymax)


quick = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@quick
@given(part=filters, confidence=confidences, box=boxes)
def test_outcomes_are_what_a_plain_computation_gives(filled, part: dict, confidence, box) -> None:
    database, frame = filled
    filter_ = Filter("crops", **part, confidence=confidence, bounds=metres(box))
    expected = inside(chosen(frame, filter_), filter_.bounds)
    assert queries.count(database, filter_) == len(expected)
    keys = {region.key: region.id for region in region_set(database, "districts").regions}

    def named(outcomes: pd.DataFrame) -> pd.DataFrame:
        for column in ("predicted", "label"):
            outcomes[column] = [None if pd.isna(code) else CLASSES[int(code)] for code in outcomes[column]]
        return outcomes.rename(columns={"confidence_bin": "bin"})

    sums = ["n", "sum_confidence", "sum_confidence2"]
    by = ["predicted", "label", "bin"]
    assert_alike(stored(named(queries.outcomes(database, filter_)), by, sums), grouped(expected, by, sums))
    found = named(queries.outcomes_by_region(database, filter_))
    found["region"] = [keys.get(key) for key in found["region"]]
    assert_alike(stored(found, ["region", *by], sums), grouped(expected, ["region", *by], sums))
    sums = list(rollups.DAY_SUMS)
    assert_alike(stored(queries.outcomes_by_day(database, filter_), ["day"], sums), grouped(expected, ["day"], sums))


@quick
@given(part=filters, confidence=confidences, box=boxes, level=st.integers(0, 18) | st.just(grid.DEPTH))
def test_cells_are_what_a_plain_computation_gives_at_every_level(
    filled, part: dict, confidence, box, level: int
) -> None:
    database, frame = filled
    filter_ = Filter("crops", **part, confidence=confidence, bounds=metres(box))
    assert queries.quick_level(database, filter_, level) == level  # few rows are always quick
    width = 1 << (grid.DEPTH - level)
    expected = chosen(frame, filter_)
    if filter_.bounds is not None:
        expected = within(expected, (level, *(edge // width for edge in grid.from_metres(filter_.bounds))))
    expected = expected.assign(x=expected["x"] // width, y=expected["y"] // width)
    sums = list(rollups.CELL_SUMS)
    assert_alike(stored(queries.cells(database, filter_, level), ["x", "y"], sums), grouped(expected, ["x", "y"], sums))
    found = queries.class_cells(database, filter_, level)
    assert_alike(stored(found, ["x", "y"], sums), grouped(expected, ["x", "y"], sums))
    for code, name in enumerate(CLASSES):
        of_class = found.loc[found[f"n_{code}"] > 0, ["x", "y", f"n_{code}"]].rename(columns={f"n_{code}": "n"})
        theirs = grouped(expected[expected["predicted"] == name], ["x", "y"], ["n"])
        assert_alike(stored(of_class, ["x", "y"], ["n"]), theirs)


@quick
@given(part=filters, limit=st.integers(1, 50), offset=st.integers(0, 30), box=boxes)
def test_single_predictions_come_page_by_page_in_order_of_time(
    filled, part: dict, limit: int, offset: int, box
) -> None:
    database, frame = filled
    filter_ = Filter("crops", **part, bounds=metres(box))
    expected = inside(chosen(frame, filter_), filter_.bounds).sort_values(["time", "id", "version"])
    expected = expected.iloc[offset : offset + limit]
    found = queries.predictions(database, filter_, limit, offset)
    assert list(zip(found["id"], found["version"], strict=True)) == list(
        zip(expected["id"], expected["version"], strict=True)
    )
    assert found["predicted"].tolist() == expected["predicted"].tolist()
    assert found["label"].fillna("").tolist() == expected["label"].fillna("").tolist()


def test_extents_hold_every_prediction(filled) -> None:
    database, frame = filled
    bounds = queries.extent(database, "crops")
    assert bounds is not None
    x, y = grid.to_metres(frame["x"].to_numpy(), frame["y"].to_numpy())
    assert bounds[0] <= x.min() <= x.max() <= bounds[2]
    assert bounds[1] <= y.min() <= y.max() <= bounds[3]
    window = queries.time_extent(database, "crops")
    assert window is not None
    assert (window.start, window.end) == (DAYS[0], DAYS[5])


def test_histograms_by_period_add_up_to_the_whole(filled) -> None:
    database, frame = filled
    filter_ = Filter("crops", start=DAYS[0], end=DAYS[5])
    whole = queries.feature_histogram(database, filter_, "ndvi")
    periods = queries.feature_histogram(database, filter_, "ndvi", 2)
    assert sorted(periods["period"].unique()) == [0, 1, 2]
    together = periods.groupby(["region", "bin"])["n"].sum().to_dict()
    assert together == whole.set_index(["region", "bin"])["n"].to_dict()
    assert whole["n"].sum() == len(frame)
    shares = queries.outcome_histogram(database, filter_, "predicted").groupby("category")["n"].sum()
    assert shares.to_dict() == frame["predicted"].map(CLASSES.index).astype(str).value_counts().to_dict()
    confidence = queries.outcome_histogram(database, filter_, "confidence").groupby("bin", dropna=False)["n"].sum()
    assert confidence[confidence.index.notna()].to_dict() == frame["bin"].value_counts().to_dict()


def test_a_sample_is_the_same_every_time_and_another_with_another_seed(filled) -> None:
    database, frame = filled
    drawn = [queries.sample(database, Filter("crops"), 100, seed) for seed in (1, 1, 2)]
    pd.testing.assert_frame_equal(drawn[0], drawn[1])
    assert not drawn[0].equals(drawn[2])
    assert len(queries.sample(database, Filter("crops"), 10**6, 1)) == len(frame)


def test_a_model_without_predictions_answers_nothing(filled) -> None:
    database, _ = filled
    assert queries.extent(database, "unheard of") is None
    assert queries.time_extent(database, "unheard of") is None
    assert queries.count(database, Filter("unheard of")) == 0
    for query in (queries.outcomes, queries.outcomes_by_day, queries.outcomes_by_region):
        assert query(database, Filter("unheard of")).empty
    assert queries.cells(database, Filter("unheard of"), 3).empty


def test_an_unknown_region_is_named(filled) -> None:
    database, _ = filled
    with pytest.raises(NotFoundError, match="No region 'c'"):
        queries.outcomes(database, Filter("crops", region="c"))
