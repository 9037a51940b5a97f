"""Explore in a real browser: what is drawn, and that map and charts narrow each other."""

import re
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from app.views.figures import accuracy
from monitoring.accuracy import overall
from monitoring.tally import tally
from storage.queries import Filter, outcomes
from tests.ui.conftest import Served, Visit, settle
from tests.ui.world import CLASSES

pytestmark = pytest.mark.ui


def opened(visit: Visit, served: Served, query: str = "") -> Page:
    visit.page.goto(served.url + query)
    expect(figure(visit.page, "accuracy")).to_be_visible()
    expect(visit.page.locator(".bk-Figure")).to_have_count(5)
    expect(visit.page).to_have_url(re.compile("model=crops"))
    settle(visit.page)
    return visit.page


def figure(page: Page, name: str, column: int = 0):
    return page.locator(f'tr[data-figure="{name}"] td').nth(column)


def keys(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html.replace("<br>", " ").replace("&ensp;", " ")).split())


def expected(served: Served, **filters: object) -> str:
    found = outcomes(served.workspace.database, Filter("crops", **filters))
    return plain(accuracy(tally(found, len(CLASSES))))


def map_of(page: Page) -> dict[str, float]:
    box = page.locator(".bk-Figure").first.bounding_box()
    assert box is not None
    return box


def drag(page: Page, box: dict[str, float], start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from `start` to `end`, shares of the box's width and height."""
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move((at[0][0] + at[1][0]) / 2, (at[0][1] + at[1][1]) / 2, steps=4)
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()


def test_the_first_look_is_complete(visit: Visit, served: Served) -> None:
    page = opened(visit, served)
    expect(figure(page, "accuracy")).to_have_text(expected(served), use_inner_text=True)
    assert keys(page) == {"model": "crops"}


def test_a_box_changes_the_figures_to_those_of_a_direct_query(visit: Visit, served: Served) -> None:
    page = opened(visit, served)
    page.get_by_title("Box Select").first.click()
    drag(page, map_of(page), (0.45, 0.6), (0.62, 0.85))
    page.wait_for_url(re.compile("box="))
    bounds = tuple(float(edge) for edge in keys(page)["box"].split(","))
    truth = overall(tally(outcomes(served.workspace.database, Filter("crops", bounds=bounds)), len(CLASSES)).confusion)
    assert 20 < truth.n < 14_000
    expect(figure(page, "accuracy")).to_have_text(expected(served, bounds=bounds), use_inner_text=True)
    expect(figure(page, "accuracy", 1)).to_contain_text("n ")


def test_a_zoom_changes_the_figures_and_reload_keeps_the_view(visit: Visit, served: Served) -> None:
    page = opened(visit, served)
    box = map_of(page)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    for _ in range(4):
        page.mouse.wheel(0, -240)
    page.wait_for_url(re.compile("view="))
    page.wait_for_timeout(800)
    view = keys(page)["view"]
    narrowed = expected(served, bounds=tuple(float(edge) for edge in view.split(",")))
    expect(figure(page, "accuracy")).to_have_text(narrowed, use_inner_text=True)
    page.reload()
    expect(figure(page, "accuracy")).to_have_text(narrowed, use_inner_text=True)
    assert keys(page)["view"] == view


def test_brushing_confidence_changes_the_figures(visit: Visit, served: Served) -> None:
    page = opened(visit, served)
    box = page.locator(".bk-Figure").nth(3).bounding_box()
    assert box is not None
    drag(page, box, (0.5, 0.3), (0.72, 0.5))
    page.wait_for_url(re.compile("confidence="))
    low, high = (float(edge) for edge in keys(page)["confidence"].split(","))
    assert 0 < low < high < 1
    expect(figure(page, "accuracy")).to_have_text(expected(served, confidence=(low, high)), use_inner_text=True)


def test_an_address_opens_region_and_window(visit: Visit, served: Served) -> None:
    page = opened(visit, served, "?model=crops&start=2026-03-09&end=2026-03-23&region=d10&layer=density")
    window = {"start": datetime(2026, 3, 9), "end": datetime(2026, 3, 23)}
    expect(figure(page, "accuracy")).to_have_text(expected(served, region="d10", **window), use_inner_text=True)
    assert keys(page)["region"] == "d10"


def test_an_address_with_wrong_values_opens_the_rest(visit: Visit, served: Served) -> None:
    page = opened(visit, served, "?model=crops&box=1,2&layer=nothing&start=soon&region=d10")
    expect(figure(page, "accuracy")).to_have_text(expected(served, region="d10"), use_inner_text=True)


def test_light_and_dark_is_remembered(visit: Visit, served: Served) -> None:
    page = opened(visit, served)
    page.get_by_label("Toggle theme").click()
    expect(page.locator(".mui-dark").first).to_be_visible()
    page.reload()
    expect(page.locator(".mui-dark").first).to_be_visible()
    expect(figure(page, "accuracy")).to_be_visible()
