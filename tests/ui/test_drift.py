"""Drift in a real browser: the heatmap, both distributions of a cell, and Evidently's report."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from app.numbers import number
from app.views.drift_heatmap import Grid, grid_of
from storage.findings import findings
from tests.ui.conftest import Served, Visit, settle, tap
from tests.ui.drifted import week
from tests.ui.world import FAILING

pytestmark = pytest.mark.ui
DISTRICTS = [f"d{province}{district}" for province in range(4) for district in range(4)]


def opened(visit: Visit, served: Served, query: str = "") -> Page:
    visit.page.goto(f"{served.url}?page=drift{query}")
    expect(visit.page.locator(".dm-reasons")).to_be_visible()
    expect(visit.page.locator(".bk-Figure")).to_have_count(2)
    settle(visit.page)
    return visit.page


def keys(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def shown(served: Served, number: int) -> Grid:
    window = week(number)
    found = findings(served.workspace.database, "crops", metric="drift:*", start=window.start, end=window.end)
    return grid_of(found, DISTRICTS)


def test_the_worst_cell_is_shown_first_with_its_reasons(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted)
    finding = shown(drifted, 6).cells[FAILING, "drift:ndvi"]
    expect(page.get_by_text("District 2.1, ndvi")).to_be_visible()
    for text in (number(finding.value), number(finding.details["usual"]), f"n {finding.n}"):
        expect(page.locator(".dm-reasons")).to_contain_text(text)
    expect(page.get_by_text("1 critical, 0 warning")).to_be_visible()
    page.get_by_text("District 2.1 in full").click()
    expect(page.locator(".dm-name")).to_contain_text("District 2.1")
    page.go_back()
    expect(page.get_by_text("1 critical, 0 warning")).to_be_visible()


def test_a_click_on_a_cell_shows_its_distributions(seen: Visit, drifted: Served) -> None:
    page, grid = opened(seen, drifted), shown(drifted, 6)
    place = grid.place("d22", "drift:sensor")
    assert place is not None
    tap(page, "figure", place[1], -place[0])
    expect(page.get_by_text("District 3.3, sensor")).to_be_visible()
    expect(page.locator(".dm-reasons")).to_contain_text(number(grid.cells["d22", "drift:sensor"].value))
    expect(page.locator(".bk-Figure")).to_have_count(2)
    page.wait_for_url(re.compile("region=d22"))
    page.reload()
    expect(page.get_by_text(re.compile(r"District 3\.3, "))).to_be_visible()


def test_another_window_can_be_chosen(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted, f"&region={FAILING}")
    page.get_by_label("Window").click()
    page.get_by_role("menuitem", name="6–12 Apr 2026").click()
    finding = shown(drifted, 5).cells[FAILING, "drift:ndvi"]
    expect(page.locator(".dm-reasons")).to_contain_text(number(finding.value))
    page.get_by_label("Level").click()
    page.get_by_role("menuitem", name="1 (4)").click()
    expect(page.get_by_text("of 20 pairs")).to_be_visible()


def test_evidently_opens_on_demand_in_a_frame_apart(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted)
    expect(page.get_by_text(re.compile(r"of 5 columns drifted"))).to_be_visible()
    assert page.locator("iframe").count() == 0
    address = page.get_by_text("in a new tab").get_attribute("href")
    answer = page.request.get(drifted.url + str(address))
    assert answer.status == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    assert page.request.get(f"{drifted.url}report?run=nothing").status == 404
    page.get_by_role("button", name="Open Evidently report").click()
    frame = page.locator("iframe.dm-report")
    expect(frame).to_be_visible()
    expect(frame.content_frame.locator("body")).to_contain_text("ndvi")


def test_days_without_a_judgement_say_so(seen: Visit, drifted: Served) -> None:
    seen.page.goto(f"{drifted.url}?page=drift&start=2026-03-03&end=2026-03-05")
    expect(seen.page.get_by_text("No drift judged within these days")).to_be_visible()
