"""What a page gets while its layouts are still being built is shown, too: in a browser that builds slowly."""

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Served, Visit
from tests.ui.watched import REFUSED_FILE

pytestmark = pytest.mark.ui

BUILD_SLOWLY = """() => {
  const {prototype} = Bokeh.require("models/layouts/flex_box").FlexBoxView
  const {lazy_initialize} = prototype
  prototype.lazy_initialize = async function() {
    await lazy_initialize.call(this)
    await new Promise(done => setTimeout(done, 150))
  }
}"""


def slow(visit: Visit, served: Served, start: str) -> Page:
    """The page `start`, from where all that is opened is built slowly."""
    visit.page.goto(f"{served.url}?page={start}")
    expect(visit.page.locator(".dm-rail")).to_be_visible()
    visit.page.wait_for_function("() => Bokeh.documents.every(each => each.is_idle)")
    visit.page.evaluate(BUILD_SLOWLY)
    return visit.page


def test_every_chart_of_a_page_is_shown_once(seen: Visit, drifted: Served) -> None:
    page = slow(seen, drifted, "alerts")
    for name, charts in (("Runs", 1), ("Drift", 2), ("Regions", 1), ("Explore", 5)):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator(".bk-Figure")).to_have_count(charts)
        expect(page.locator(".MuiSkeleton-root")).to_have_count(0)


def test_refused_rows_are_shown(seen: Visit, drifted: Served) -> None:
    page = slow(seen, drifted, "runs")
    page.locator(".dm-list tr", has_text=REFUSED_FILE).click()
    expect(page.locator(".dm-pairs")).to_have_count(20)
