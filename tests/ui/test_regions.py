"""Regions in a real browser: the ranking, the map, and the page of one region."""

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from app.numbers import count, interval, number
from app.views.basemap import to_mercator
from app.views.places import level_of, places_of
from monitoring.accuracy import overall
from monitoring.links import view_link
from monitoring.tally import Tally, tally
from storage.findings import findings
from storage.queries import Filter, cells, outcomes
from storage.records import Window
from storage.regions import region_geometries
from tests.ui.conftest import Served, Visit, settle, tap
from tests.ui.drifted import week
from tests.ui.world import CLASSES, FAILING

pytestmark = pytest.mark.ui
NAME = "District 2.1"
LABELLED = week(5)


def opened(visit: Visit, served: Served, query: str = "") -> Page:
    visit.page.goto(f"{served.url}?page=regions{query}")
    return visit.page


def keys(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def row(page: Page, region: str) -> Locator:
    return page.locator(f'tr[data-region="{region}"]')


def rows(page: Page) -> list[str]:
    return [str(one.get_attribute("data-region")) for one in page.locator("tr[data-region]").all()]


def asked(served: Served, window: Window, region: str | None) -> Tally:
    wanted = Filter("crops", start=window.start, end=window.end, region=region)
    return tally(outcomes(served.workspace.database, wanted), len(CLASSES))


def accuracy_of(served: Served, window: Window, region: str) -> tuple[str, str, str]:
    """Value, interval and n of a direct query, as they are written."""
    found = overall(asked(served, window, region).confusion)
    return number(float(found.value)), interval(float(found.lower), float(found.upper)), count(int(found.n))


def test_regions_are_ranked_with_the_figures_of_a_direct_query(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted)
    expect(page.locator("tr[data-region]")).to_have_count(16)
    assert rows(page)[0] == FAILING
    for region in (FAILING, "d33"):
        for text in accuracy_of(drifted, LABELLED, region):
            expect(row(page, region)).to_contain_text(text)
    expect(row(page, FAILING)).to_contain_text("■")
    expect(row(page, FAILING)).to_contain_text("ndvi")
    expect(page.get_by_text("Accuracy of 6–12 Apr 2026, drift of 13–19 Apr 2026.")).to_be_visible()


def test_the_table_sorts_and_finds(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted)
    page.get_by_role("columnheader", name="Predictions").click()
    numbers = [int(one.inner_text().replace(",", "")) for one in page.locator("tr[data-region] td:last-child").all()]
    assert numbers == sorted(numbers, reverse=True)
    page.get_by_label("Find").fill("province 3")
    expect(page.locator("tr[data-region]")).to_have_count(4)
    page.get_by_label("Find").fill("nowhere")
    expect(page.get_by_text("No region matches")).to_be_visible()


def test_a_row_opens_the_region_and_reload_and_back_keep_their_word(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted)
    row(page, FAILING).click()
    page.wait_for_url(re.compile(f"region={FAILING}"))
    expect(page.locator(".dm-name")).to_contain_text(NAME)
    value, bounds, n = accuracy_of(drifted, LABELLED, FAILING)
    said = f"Accuracy {value} ({bounds}, n {n}) in 6–12 Apr 2026"
    expect(page.locator(".dm-linked")).to_contain_text(said)
    page.reload()
    expect(page.locator(".dm-linked").first).to_contain_text(said)
    page.go_back()
    expect(page.locator("tr[data-region]")).to_have_count(16)
    assert "region" not in keys(page)
    page.go_forward()
    expect(page.locator(".dm-name")).to_contain_text(NAME)


def test_a_region_on_the_map_opens_its_page(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted)
    expect(page.locator(".bk-Figure canvas").first).to_be_visible()
    settle(page)
    (spot,) = to_mercator(np.array([[65.5, 40.7]]))
    tap(page, "gap", *map(float, spot))
    page.wait_for_url(re.compile("region=d23"))
    expect(page.locator(".dm-name")).to_contain_text("District 3.4")


def test_the_worst_places_are_those_of_the_map_cells(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted, f"&region={FAILING}")
    database = drifted.workspace.database
    shapes = region_geometries(database, "districts").set_index("id")
    xmin, ymin, xmax, ymax = shapes.loc[FAILING].geometry.bounds
    box = to_mercator(np.array([[xmin, ymin], [xmax, ymax]])).ravel()
    wanted = Filter("crops", start=LABELLED.start, end=LABELLED.end, region=FAILING)
    level = level_of(tuple(box), asked(drifted, LABELLED, FAILING).n_labelled)
    worst = places_of(cells(database, wanted, level), level)[0]
    places = page.locator(".dm-table", has_text="Error rate").locator("tbody tr").first
    expect(places).to_contain_text(f"{number(worst.rate)}", use_inner_text=True)
    expect(places.locator("td").nth(1)).to_have_text(str(worst.errors))
    expect(places.locator("td").nth(2)).to_have_text(str(worst.n))
    places.get_by_text("Explore").click()
    page.wait_for_url(re.compile("view="))
    assert keys(page)["region"] == FAILING
    assert keys(page).get("page", "explore") == "explore"


def test_drift_of_a_region_shows_both_distributions(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted, f"&region={FAILING}")
    reasons = page.locator(".dm-reasons")
    expect(reasons).to_contain_text("more than usual")
    expect(page.get_by_text(f"{NAME}, ndvi")).to_be_visible()
    expect(page.locator(".bk-Figure")).to_have_count(6)
    settle(page)
    tap(page, "usual", 0.01, -1.0)
    expect(page.get_by_text(f"{NAME}, ndvi")).to_have_count(0)
    expect(page.get_by_text(re.compile(f"{NAME}, (rain|sensor|predicted|confidence)"))).to_be_visible()


def test_the_link_of_an_alert_shows_its_region_and_window(seen: Visit, drifted: Served) -> None:
    window = week(5)
    url = view_link(drifted.url, "regions", "crops", version="1", window=window, region=FAILING)
    seen.page.goto(url)
    page = seen.page
    expect(page.locator(".dm-name")).to_contain_text(f"{NAME} critical", use_inner_text=True)
    expect(page.get_by_text("days 6–12 Apr 2026")).to_be_visible()
    drift = findings(drifted.workspace.database, "crops", region=FAILING, metric="drift:ndvi", end=window.end)[-1]
    expect(page.locator(".dm-reasons")).to_contain_text(number(drift.value))
    expect(page.locator(".dm-alert a")).to_have_count(3)
    page.get_by_text("show all days").click()
    expect(page.get_by_text("days 6–12 Apr 2026")).to_have_count(0)
    assert "start" not in keys(page)


def test_a_region_that_is_not_there_and_days_without_a_judgement(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted, "&region=<b>x")
    expect(page.get_by_text("No such region")).to_be_visible()
    page.get_by_text("All regions").click()
    expect(page.locator("tr[data-region]")).to_have_count(16)
    page.goto(f"{drifted.url}?page=regions&start=2026-03-03&end=2026-03-05")
    expect(page.get_by_text("Nothing judged.")).to_be_visible()


def test_next_and_previous_go_by_urgency_and_a_province_lists_its_districts(seen: Visit, drifted: Served) -> None:
    page = opened(seen, drifted, f"&region={FAILING}")
    page.locator(".dm-path a", has_text="›").click()
    expect(page.get_by_text("2 of 16 by urgency")).to_be_visible()
    page.locator(".dm-path a", has_text="Province").click()
    expect(page.locator(".dm-name")).to_contain_text("Province")
    expect(page.locator(".dm-table", has_text="Strongest drift").locator("tbody tr")).to_have_count(4)
