"""Links inside the dashboard say all that is shown, and open it."""

from datetime import date
from urllib.parse import parse_qsl

from app.linked import link, open_address
from app.selection import Selection, as_text


def test_a_link_keeps_what_is_shown_and_changes_what_it_names() -> None:
    shown = Selection(model="crops", page="regions", start=date(2026, 4, 6), end=date(2026, 4, 13), region="d1")
    keys = dict(parse_qsl(link(shown, region="d2 & co").removeprefix("?")))
    assert keys == as_text(shown) | {"region": "d2 & co"}
    assert shown.region == "d1"


def test_opening_a_link_gives_up_what_it_leaves_out_but_not_the_model() -> None:
    shown = Selection(model="crops", page="regions", region="d1", confidence=(0.2, 0.4))
    open_address(shown, "?page=drift&start=2026-04-06&end=2026-04-13")
    assert as_text(shown) == {"model": "crops", "page": "drift", "start": "2026-04-06", "end": "2026-04-13"}
