"""The map and the charts of Explore follow the Selection, coarse cells first where fine ones take time."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bokeh.document import Document

from app.context import Context, Theme
from app.pages import explore_looks
from app.pages.explore_charts import Charts
from app.pages.explore_looks import PIXELS, Asked, Looks, Picture, Sums
from app.pages.explore_map import Map
from app.selection import Box, Selection
from app.views.layers import LAYERS, fitting_level
from app.workspace import Workspace
from monitoring.configuration import Configuration
from monitoring.tally import tally
from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_table
from storage.looks import look
from storage.models import Model
from storage.queries import Filter, outcomes
from tests.app.small import run_apart
from tests.ui.world import CLASSES, START, predictions

MODEL = Model(name="crops", classes=CLASSES, features={"ndvi": "numeric", "rain": "numeric", "sensor": "categorical"})
ROWS = 4000


class WatchedMap(Map):
    """Remembers the levels of the cells that it drew."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.levels: list[int] = []

    def show(self, found: Picture) -> None:
        self.levels.append(found.cells.level)
        super().show(found)


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


def test_every_layer_shows_the_cells_in_sight(context: Context) -> None:
    map_ = Map(context, Looks(context))

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
    map_ = Map(context, Looks(context))
    context.selection.layer = "predicted"

    async def look() -> None:
        await map_.refresh()
        rendered(map_)
        await map_.refresh()

    run_apart(look())
    shown = renderer(map_, CELLS)["image"][0]
    assert set(np.unique(shown[np.isfinite(shown)])) <= set(range(len(CLASSES)))


def test_coarse_cells_are_drawn_before_fine_ones(
    context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_looks, "quick_level", lambda database, filter_, level: level - 3)
    map_ = WatchedMap(context, Looks(context))
    run_apart(map_.refresh())
    coarse, fine = map_.levels
    assert coarse == fitting_level(map_.ground.look(None), PIXELS) - 3 if map_.ground else None
    assert coarse < fine


def test_fine_cells_are_left_out_when_something_else_is_asked_meanwhile(
    context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_looks, "quick_level", lambda database, filter_, level: level - 3)
    map_ = WatchedMap(context, Looks(context))

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
    map_ = Map(context, Looks(context))
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
    map_ = Map(context, Looks(context))

    async def look() -> None:
        await map_.refresh()
        rendered(map_)
        context.selection.box = (7.2e6, 4.7e6, 7.3e6, 4.8e6)
        await map_.refresh()
        assert renderer(map_, BOX)["right"][0] - renderer(map_, BOX)["left"][0] > 0
        context.selection.box = None
        await map_.refresh()
        assert len(renderer(map_, BOX)["left"]) == 0

    run_apart(look())


def sums(looks: Looks) -> Sums:
    """What the charts are drawn from."""
    return looks.read(Asked.by(looks.selection))[1]


def test_the_whole_is_read_again_once_there_is_more_of_it(context: Context, database: Database) -> None:
    looks = Looks(context)
    context.selection.view = (7.2e6, 4.7e6, 7.3e6, 4.8e6)
    first = sums(looks)
    context.selection.view = (7.1e6, 4.7e6, 7.3e6, 4.8e6)
    assert sums(looks).whole is first.whole
    more = predictions(100, seed=8)
    later = pa.array([START + timedelta(days=1)] * 100)
    new = more.set_column(0, "id", pa.array([f"t{row}" for row in range(100)])).set_column(1, "time", later)
    ingest_table(database, MODEL, new, "more")
    again = sums(looks)
    assert (int(first.whole.n), int(again.whole.n)) == (ROWS, ROWS + 100)
    context.selection.start = START.date()
    context.selection.end = START.date() + timedelta(days=7)
    week = Filter("crops", start=START, end=START + timedelta(days=7))
    assert sums(looks).whole.n == tally(outcomes(database, week), len(CLASSES)).n


@pytest.mark.parametrize("box", [None, (7.2e6, 4.7e6, 7.3e6, 4.8e6)])
@pytest.mark.parametrize("confidence", [None, (0.5, 0.8), (0.33, 0.77)])
def test_the_charts_say_what_is_selected_whatever_is_brushed(
    context: Context, database: Database, box: Box | None, confidence: tuple[float, float] | None
) -> None:
    context.selection.param.update(box=box, confidence=confidence, classes=["rice", "wheat"])
    found = sums(Looks(context))
    selected = Filter("crops", classes=("rice", "wheat"), confidence=confidence, bounds=box)
    for part, filter_ in ((found.selected, selected), (found.spread, replace(selected, confidence=None))):
        plain = tally(outcomes(database, filter_), len(CLASSES))
        for name in ("confusion", "predicted", "rows", "labelled", "correct", "sum_labelled"):
            np.testing.assert_allclose(getattr(part, name), getattr(plain, name), rtol=1e-12)
    assert found.days["n"].sum() == found.selected.n


def test_map_and_charts_are_read_together_and_what_is_known_is_not_read_again(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def watched(database: Database, model: str, **questions: Any) -> Any:
        asked.append(set(questions))
        return look(database, model, **questions)

    monkeypatch.setattr(explore_looks, "look", watched)
    looks = Looks(context)
    context.selection.view = (7.1e6, 4.7e6, 7.3e6, 4.8e6)

    async def both() -> None:
        map_, charts = await asyncio.gather(looks.now(), looks.now())
        assert map_ is charts

    run_apart(both())
    context.selection.layer = "confidence"
    run_apart(both())
    assert asked == [{"cells", "outcomes", "days"}]
    context.selection.layer = "predicted"
    run_apart(both())
    assert asked[1:] == [{"cells"}]
