"""The map and the charts of Explore follow the Selection, coarse cells first where fine ones take time."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bokeh.document import Document

from app.context import Context, Theme
from app.pages import explore_map
from app.pages.explore_charts import Charts
from app.pages.explore_ground import Grounds
from app.pages.explore_map import PIXELS, Map
from app.selection import Selection
from app.views.layers import LAYERS, fitting_level, raster
from app.workspace import Workspace
from monitoring.configuration import Configuration
from monitoring.tally import tally
from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_table
from storage.models import Model
from storage.queries import Filter, class_cells, outcomes
from tests.app.small import run_apart
from tests.ui.world import CLASSES, START, predictions

MODEL = Model(name="crops", classes=CLASSES, features={"ndvi": "numeric", "rain": "numeric", "sensor": "categorical"})
ROWS = 4000


class WatchedMap(Map):
    """Remembers the levels of the cells that it drew."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.levels: list[int] = []

    def show(self, *what: Any) -> None:
        self.levels.append(what[3].level)
        super().show(*what)


@pytest.fixture
def database() -> Iterator[Database]:
    with Database.open(":memory:") as database:
        register_model(database, MODEL)
        ingest_table(database, MODEL, predictions(ROWS), "predictions")
        yield database


@pytest.fixture
def context(database: Database) -> Context:
    return Context(Workspace(Configuration(models={}), database), Selection(model="crops", layer="density"), Theme())


def rendered(map_: Map, charts: Charts | None = None) -> None:
    """As in a browser: every pane has its Bokeh models."""
    document = Document()
    for pane in (map_.pane, *(charts.panes.values() if charts else ())):
        document.add_root(pane.get_root(document))


def renderer(map_: Map, part: int) -> dict[str, Any]:
    return dict(map_.figure.renderers[part].data_source.data)


CELLS, POINTS, BOX = 1, 5, 6  # land, cells, borders, two kinds of outlines, points, box


def test_every_layer_shows_the_cells_in_sight(context: Context, database: Database) -> None:
    map_ = Map(context, Grounds(database))

    async def look() -> None:
        await map_.refresh()
        rendered(map_)
        look_ = map_.ground.look(None) if map_.ground else (0.0, 0.0, 0.0, 0.0)
        for layer in LAYERS:
            context.selection.param.update(layer=layer, view=look_)
            await map_.refresh()
            assert renderer(map_, CELLS)["rows"][0].sum() == ROWS
            mapper = map_.figure.renderers[CELLS].glyph.color_mapper
            assert (mapper.low, mapper.high) == LAYERS[layer].limits(len(CLASSES))

    run_apart(look())


def test_the_class_layer_shows_what_most_rows_of_a_cell_are(context: Context, database: Database) -> None:
    map_ = Map(context, Grounds(database))
    context.selection.layer = "predicted"

    async def look() -> None:
        await map_.refresh()
        rendered(map_)
        await map_.refresh()

    run_apart(look())
    table = class_cells(database, Filter("crops"), 8)
    shown = renderer(map_, CELLS)["image"][0]
    assert set(np.unique(shown[np.isfinite(shown)])) <= set(range(len(CLASSES)))
    assert raster(table, 8, len(CLASSES)).classes.sum() == ROWS  # type: ignore[union-attr]


def test_coarse_cells_are_drawn_before_fine_ones(
    context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_map, "quick_level", lambda database, filter_, level: level - 3)
    map_ = WatchedMap(context, Grounds(database))
    run_apart(map_.refresh())
    coarse, fine = map_.levels
    assert coarse == fitting_level(map_.ground.look(None), PIXELS) - 3 if map_.ground else None
    assert coarse < fine


def test_fine_cells_are_left_out_when_something_else_is_asked_meanwhile(
    context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_map, "quick_level", lambda database, filter_, level: level - 3)
    map_ = WatchedMap(context, Grounds(database))

    async def look() -> None:
        refreshing = asyncio.create_task(map_.refresh())
        while not map_.levels:
            await asyncio.sleep(0.001)
        context.selection.layer = "confidence"
        await refreshing
        assert len(map_.levels) == 1
        await map_.refresh()
        assert len(map_.levels) == 3

    run_apart(look())


@pytest.mark.parametrize("layer", ["density", "predicted"])
def test_few_predictions_are_drawn_one_by_one(context: Context, database: Database, layer: str) -> None:
    map_ = Map(context, Grounds(database))
    context.selection.layer = layer

    async def look() -> None:
        await map_.refresh()
        rendered(map_)
        assert np.isnan(renderer(map_, POINTS)["x"]).all()
        context.selection.classes = ["rice"]
        await map_.refresh()
        assert 0 < len(renderer(map_, POINTS)["x"]) < ROWS / 2
        assert not renderer(map_, CELLS)["rows"][0].any()
        context.selection.classes = []
        await map_.refresh()
        assert np.isnan(renderer(map_, POINTS)["x"]).all()

    run_apart(look())


def test_a_box_is_drawn_and_given_up(context: Context, database: Database) -> None:
    map_ = Map(context, Grounds(database))

    async def look() -> None:
        await map_.refresh()
        rendered(map_)
        context.selection.box = (7.2e6, 4.7e6, 7.3e6, 4.8e6)
        await map_.refresh()
        assert renderer(map_, BOX)["right"] - renderer(map_, BOX)["left"] > 0
        context.selection.box = None
        await map_.refresh()
        assert len(renderer(map_, BOX)["left"]) == 0

    run_apart(look())


def test_the_whole_is_read_again_once_there_is_more_of_it(context: Context, database: Database) -> None:
    charts = Charts(context, Grounds(database))
    context.selection.view = (7.2e6, 4.7e6, 7.3e6, 4.8e6)
    first = charts.read()
    context.selection.view = (7.1e6, 4.7e6, 7.3e6, 4.8e6)
    assert charts.read().whole is first.whole
    more = predictions(100, seed=8)
    later = pa.array([START + timedelta(days=1)] * 100)
    new = more.set_column(0, "id", pa.array([f"t{row}" for row in range(100)])).set_column(1, "time", later)
    ingest_table(database, MODEL, new, "more")
    again = charts.read()
    assert (int(first.whole.n), int(again.whole.n)) == (ROWS, ROWS + 100)
    context.selection.start = START.date()
    context.selection.end = START.date() + timedelta(days=7)
    week = Filter("crops", start=START, end=START + timedelta(days=7))
    assert charts.read().whole.n == tally(outcomes(database, week), len(CLASSES)).n
