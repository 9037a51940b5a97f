"""Runs in a real browser: batches with their refused rows, runs with their messages, coverage."""

import csv
import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.numbers import count
from storage.batches import batches, rejected_reasons, rejected_rows
from storage.findings import runs
from storage.queries import Filter, outcomes_by_day
from tests.ui.conftest import Served, Visit
from tests.ui.watched import FAILURE, REFUSED, REFUSED_FILE, SCRIPT

pytestmark = pytest.mark.ui


def opened(visit: Visit, served: Served) -> Page:
    visit.page.goto(f"{served.url}?page=runs")
    expect(visit.page.locator(".dm-list tr[data-key]").first).to_be_visible()
    return visit.page


def line(page: Page, key: str) -> Locator:
    return page.locator(f'.dm-list tr[data-key="{key}"]')


def refused(page: Page, served: Served) -> str:
    """The id of the batch that was refused, after a click on it."""
    batch = next(each.id for each in batches(served.workspace.database, "crops") if each.refused)
    line(page, batch).click()
    expect(page.locator(".dm-pairs").first).to_be_visible()
    return batch


def test_batches_say_what_became_of_their_rows(look: Visit, watched: Served) -> None:
    page, known = opened(look, watched), batches(watched.workspace.database, "crops")
    assert {each.source for each in known} == {REFUSED_FILE, "story"}
    for batch in known:
        numbers = (batch.rows, batch.accepted, batch.replaced, batch.unchanged)
        cells = line(page, batch.id).locator("td")
        assert [cells.nth(3 + i).inner_text().strip() for i in range(4)] == [count(each) for each in numbers]
        assert count(batch.refused) in cells.nth(7).inner_text()
        assert cells.nth(8).inner_text().strip() == count(batch.outside_regions)


def test_refused_rows_come_page_by_page_with_their_reasons(look: Visit, watched: Served) -> None:
    page, database = opened(look, watched), watched.workspace.database
    batch = refused(page, watched)
    reasons = rejected_reasons(database, batch)
    assert sum(reasons.values()) == REFUSED
    for reason, n in reasons.items():
        expect(page.get_by_role("row", name=f"{reason} {count(n)}", exact=True)).to_be_visible()
    expect(page.locator(".dm-pairs")).to_have_count(20)
    expect(page.locator(".dm-place").first).to_have_text("1")
    expect(page.get_by_text(f"1–20 of {REFUSED}")).to_be_visible()
    page.get_by_label("Next page").last.click()
    expect(page.get_by_text(f"21–40 of {REFUSED}")).to_be_visible()
    expect(page.locator(".dm-place").first).to_have_text("21")


def test_one_reason_can_be_looked_at(look: Visit, watched: Served) -> None:
    page, database = opened(look, watched), watched.workspace.database
    batch = refused(page, watched)
    rare, n = list(rejected_reasons(database, batch).items())[-1]
    page.get_by_role("combobox", name="Reason").click()
    page.get_by_role("menuitem", name=rare).click()
    expect(page.locator(".dm-pairs")).to_have_count(min(n, 20))
    first = rejected_rows(database, batch, 1, reason=rare)["row"][0]
    expect(page.locator(".dm-place").first).to_have_text(count(first))


def test_all_refused_rows_can_be_downloaded(look: Visit, watched: Served, tmp_path: Path) -> None:
    page, database = opened(look, watched), watched.workspace.database
    kept = rejected_rows(database, refused(page, watched), limit=None)
    found = {}
    for label in ("CSV", "JSON lines"):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        download.value.save_as(tmp_path / label)
        found[label] = (tmp_path / label).read_text(encoding="utf-8")
    table = list(csv.DictReader(found["CSV"].splitlines()))
    lines = [json.loads(line) for line in found["JSON lines"].splitlines()]
    assert [int(row["row"]) for row in table] == [line["row"] for line in lines] == list(kept["row"])
    assert [row["predicted"] for row in table] == [line["content"]["predicted"] for line in lines]
    assert {row["predicted"] for row in table} == {SCRIPT, "wheat"}


def test_markup_in_files_and_rows_is_text(look: Visit, watched: Served) -> None:
    page = opened(look, watched)
    refused(page, watched)
    expect(page.locator(".dm-detail h2")).to_have_text(REFUSED_FILE)
    expect(page.locator(".dm-pairs").first).to_contain_text(SCRIPT)
    assert page.evaluate("window.hacked") is None


def test_runs_are_listed_and_a_failed_one_says_what_to_do(look: Visit, watched: Served) -> None:
    page, known = opened(look, watched), runs(watched.workspace.database, "crops")
    assert len(known) == 7
    failed = known[0]
    expect(line(page, failed.id)).to_contain_text("■ failed")
    expect(line(page, known[1].id)).to_contain_text(f"● done {count(known[1].predictions)}", use_inner_text=True)
    line(page, failed.id).click()
    expect(page.locator(".dm-message")).to_have_text(FAILURE)
    expect(page.locator(".dm-command")).to_have_text("driftmap monitor --model crops --at 2026-05-04")


def test_coverage_says_how_far_labels_have_come(look: Visit, watched: Served) -> None:
    page = opened(look, watched)
    days = outcomes_by_day(watched.workspace.database, Filter("crops"))
    share = days["n_labelled"].sum() / days["n"].sum()
    hint = page.get_by_text("labelled, up to")
    expect(hint).to_contain_text(f"{share:.0%} labelled, up to 2026-04-12, 14 days behind the last prediction")
    expect(page.locator(".bk-Figure")).to_have_count(1)
