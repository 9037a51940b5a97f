from datetime import date, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panel.io.location import Location

from app.selection import PARSERS, Selection, address, bind_to_address, read_text
from storage.records import Window

FULL = {
    "page": "regions",
    "model": "crops & more",
    "version": "3",
    "start": date(2018, 5, 1),
    "end": date(2018, 7, 1),
    "region": "UZ-FA",
    "layer": "density",
    "classes": ["wheat", "rice, paddy", "50% other"],
    "confidence": (0.5, 0.95),
    "box": (7900000.0, 4900000.0, 8000000.0, 4950000.0),
    "view": (7800000.0, 4800000.0, 8100000.0, 5000000.0),
}


def reread(selection: Selection) -> Selection:
    location = Location(search=address(selection))
    again = Selection()
    bind_to_address(again, location)
    return again


def test_an_address_opens_what_was_looked_at() -> None:
    selection = Selection(**FULL)
    again = reread(selection)
    assert {name: getattr(again, name) for name in FULL} == FULL
    assert again.window == Window(datetime(2018, 5, 1), datetime(2018, 7, 1))


def test_what_is_at_its_default_is_not_in_the_address() -> None:
    assert address(Selection()) == ""
    assert address(Selection(model="crops")) == "?model=crops"


@pytest.mark.parametrize(
    "wrong",
    ["page=nowhere", "start=tomorrow", "layer=", "confidence=0.9,0.1", "confidence=a,b", "confidence=nan,1",
     "box=1,2,3", "box=3,3,1,1", "view=inf,0,1,1", "view=1e300,0,1e301,1", "start=2018-07-01&end=2018-05-01",
     "version=%20", "classes=", "%ff=%00"],
)  # fmt: skip
def test_a_wrong_value_leaves_its_default_and_the_rest_as_it_is(wrong: str) -> None:
    selection = Selection()
    bind_to_address(selection, Location(search=f"?model=crops&{wrong}&region=A"))
    assert (selection.model, selection.region) == ("crops", "A")
    for name, _ in parse_qsl(wrong):
        if name in PARSERS:
            assert getattr(selection, name) == selection.param[name].default


def test_the_address_follows_the_selection_and_the_selection_the_address() -> None:
    selection, location = Selection(), Location(search="?model=crops")
    bind_to_address(selection, location)
    selection.region = "A"
    assert location.search == "?model=crops&region=A"
    location.search = "?model=crops&page=drift"
    assert (selection.page, selection.region) == ("drift", None)


def test_reset_keeps_model_window_and_layer() -> None:
    selection = Selection(**FULL)
    selection.reset()
    assert (selection.region, selection.classes, selection.confidence, selection.box) == (
        None,
        [],
        None,
        None,
    )
    assert (selection.model, selection.layer, selection.start) == (
        "crops & more",
        "density",
        date(2018, 5, 1),
    )


@given(st.dictionaries(st.sampled_from(list(PARSERS)), st.text(max_size=30)))
def test_no_text_in_an_address_raises(keys: dict[str, str]) -> None:
    Selection(**read_text(keys))


@given(st.lists(st.text(min_size=1, max_size=10).filter(lambda name: name.strip()), unique=True, max_size=4))
def test_class_names_of_any_kind_survive(names: list[str]) -> None:
    assert reread(Selection(classes=names)).classes == names
