"""Alerts in a real browser: the list, its filters, the evidence beside it, and the way to the view."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from app.numbers import figure_text, number
from storage.alerts import alerts
from storage.database import Database
from storage.findings import findings
from storage.records import Alert
from tests.ui.conftest import Served, Visit
from tests.ui.watched import SCRIPT

pytestmark = pytest.mark.ui


def opened(visit: Visit, served: Served, query: str = "") -> Page:
    visit.page.goto(f"{served.url}?page=alerts{query}")
    expect(visit.page.get_by_role("button", name="Open", exact=True)).to_be_visible()
    return visit.page


def lines(page: Page) -> Locator:
    return page.locator(".dm-list tr[data-key]")


def line(page: Page, alert: Alert) -> Locator:
    return page.locator(f'.dm-list tr[data-key="{alert.id}"]')


def keys(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def shown_ids(page: Page) -> list[str]:
    return [str(one.get_attribute("data-key")) for one in lines(page).all()]


def test_open_alerts_are_listed_with_the_figures_of_the_store(look: Visit, watched: Served) -> None:
    page, known = opened(look, watched), alerts(watched.workspace.database, "open")
    expect(lines(page)).to_have_count(len(known))
    assert shown_ids(page) == [alert.id for alert in known]
    for alert in known:
        text = " ".join(figure_text(alert.value, alert.lower, alert.upper, alert.n).split())
        expect(line(page, alert)).to_contain_text(text, use_inner_text=True)
        expect(line(page, alert)).to_contain_text(number(alert.reference))
        expect(line(page, alert)).to_contain_text("Province 2")
        expect(line(page, alert)).to_contain_text("■")


def test_filters_narrow_the_list(look: Visit, watched: Served) -> None:
    page, database = opened(look, watched), watched.workspace.database
    page.get_by_role("button", name="Closed", exact=True).click()
    expect(lines(page)).to_have_count(len(alerts(database, "closed")))
    expect(lines(page).first).to_contain_text("closed 2026-04-13")
    page.get_by_role("button", name="All", exact=True).click()
    expect(lines(page)).to_have_count(len(alerts(database)))
    page.get_by_label("Search").fill("province 3 accuracy")
    expected = [each for each in alerts(database) if each.region in ("d20", "p2")]
    expect(lines(page)).to_have_count(len(expected))
    page.get_by_label("Search").fill("nowhere")
    expect(page.get_by_text("No alert matches")).to_be_visible()


def test_a_click_shows_the_evidence_and_is_in_the_address(look: Visit, watched: Served) -> None:
    page, alert = opened(look, watched), alerts(watched.workspace.database, "open")[0]
    line(page, alert).click()
    expect(page.locator(".dm-message")).to_have_text(alert.message)
    expect(page.locator(".dm-timeline li")).to_have_count(2)
    expect(page.locator(".dm-timeline li").last).to_contain_text("opened 2026-04-06 00:00 UTC, monitor")
    expect(page.get_by_role("cell", name="ops")).to_be_visible()
    expect(page.locator(".bk-Figure")).to_have_count(1)
    assert keys(page)["alert"] == alert.id
    assert line(page, alert).get_attribute("aria-selected") == "true"
    page.reload()
    expect(page.locator(".dm-message")).to_have_text(alert.message)
    page.get_by_label("Close", exact=True).click()
    page.wait_for_url(lambda url: "alert=" not in url)


def test_what_could_not_be_delivered_says_why(look: Visit, watched: Served) -> None:
    database = watched.workspace.database
    tried = tried_alert(database)
    page = opened(look, watched, f"&alert={tried}")
    expect(page.locator(".dm-plain")).to_contain_text("A Connection error occurred")


def test_a_closed_alert_in_the_address_is_in_the_list(look: Visit, watched: Served) -> None:
    alert = alerts(watched.workspace.database, "closed")[0]
    page = opened(look, watched, f"&alert={alert.id}")
    expect(line(page, alert)).to_have_attribute("aria-selected", "true")
    expect(page.locator(".dm-timeline li").first).to_contain_text("closed 2026-04-13")


def test_an_unknown_alert_is_said_to_be(look: Visit, watched: Served) -> None:
    page = opened(look, watched, "&alert=nonsense")
    expect(page.get_by_text("No such alert")).to_be_visible()


def test_open_the_view_leads_to_what_the_alert_links_to(look: Visit, watched: Served) -> None:
    alert = alerts(watched.workspace.database, "open")[0]
    page = opened(look, watched, f"&alert={alert.id}&classes=rice")
    page.evaluate("window.kept = true")
    page.get_by_role("button", name="Open the view").click()
    page.wait_for_url(re.compile("page=regions"))
    assert keys(page) == {name: values[0] for name, values in parse_qs(urlsplit(alert.url).query).items()}
    assert page.evaluate("window.kept")


def test_markup_in_a_region_name_is_text(look: Visit, watched: Served) -> None:
    alert = alerts(watched.workspace.database, "open")[0]
    assert alert.region_name == SCRIPT
    page = opened(look, watched, f"&alert={alert.id}")
    expect(line(page, alert)).to_contain_text(SCRIPT)
    expect(page.locator(".dm-detail h2")).to_contain_text(SCRIPT)
    assert page.evaluate("window.hacked") is None


def test_rows_are_chosen_with_the_keyboard(look: Visit, watched: Served) -> None:
    page, known = opened(look, watched), alerts(watched.workspace.database, "open")
    line(page, known[0]).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"alert={known[1].id}"))


def test_the_trend_shows_every_judged_window(watched: Served) -> None:
    alert = alerts(watched.workspace.database, "open")[0]
    judged = findings(watched.workspace.database, "crops", region=alert.region, metric=alert.metric)
    assert len(judged) == 6


def tried_alert(database: Database) -> str:
    return str(database.rows("SELECT alert FROM delivery WHERE attempts = 1")[0][0])
