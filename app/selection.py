"""What is looked at: the only state that views share, and its mirror in the address."""

import math
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import parse_qsl, urlencode

import panel as pn
import param
from panel.io.location import Location

from storage.records import Window

PAGES = ("explore", "regions", "drift", "alerts", "runs")
LAYERS = ("errors", "confidence", "predicted", "uncertainty", "density")

Box = tuple[float, float, float, float]

# The half side of the Web Mercator square, in metres.
WORLD = 20037508.342789244


class Selection(param.Parameterized):
    """What the dashboard shows. Boxes are (xmin, ymin, xmax, ymax) in metres of EPSG:3857."""

    page = param.Selector(default="explore", objects=list(PAGES), doc="The page that is open.")
    model = param.String(default=None, allow_None=True, doc="The model's name; None: no model is known.")
    version = param.String(default=None, allow_None=True, doc="The model's version; None: all versions.")
    start = param.CalendarDate(default=None, allow_None=True, doc="First day, UTC; None: from the first on.")
    end = param.CalendarDate(default=None, allow_None=True, doc="Day after the last, UTC; None: to the last.")
    region = param.String(default=None, allow_None=True, doc="A region's id; None: the whole.")
    layer = param.Selector(default="errors", objects=list(LAYERS), doc="What the map shows.")
    classes = param.List(default=[], item_type=str, doc="Predicted classes to keep; empty: all.")
    confidence = param.NumericTuple(default=None, length=2, allow_None=True, doc="Confidence from, to (0–1).")
    box = param.NumericTuple(default=None, length=4, allow_None=True, doc="The box that is selected, metres.")
    view = param.NumericTuple(default=None, length=4, allow_None=True, doc="The part of the map in sight, metres.")
    alert = param.String(default=None, allow_None=True, doc="The id of the alert that is open.")

    @property
    def window(self) -> Window | None:
        """The chosen days, half-open, or None where an end is open."""
        if self.start is None or self.end is None:
            return None
        return Window(_midnight(self.start), _midnight(self.end))

    def narrow(self, bounds: Box | None) -> None:
        """Keep only the box `bounds`; None gives the box up."""
        self.box = bounds

    def reset(self) -> None:
        """Give up every filter, and keep page, model, version, window and layer."""
        self.param.update(region=None, classes=[], confidence=None, box=None, view=None)


def read_text(keys: dict[str, str]) -> dict[str, object]:
    """The values of a Selection that the keys of an address say.

    A key that is missing or says nothing usable is left out, so the default holds.
    """
    values: dict[str, object] = {}
    for name, parse in PARSERS.items():
        if name in keys:
            try:
                values[name] = parse(keys[name])
            except ValueError:
                continue
    start, end = values.get("start"), values.get("end")
    if isinstance(start, date) and isinstance(end, date) and end <= start:
        del values["start"], values["end"]
    return values


def as_text(selection: Selection) -> dict[str, str]:
    """The keys of an address that say what `selection` holds, without those at their default."""
    keys = {}
    for name, write in WRITERS.items():
        value = getattr(selection, name)
        if value is not None and value != [] and value != selection.param[name].default:
            keys[name] = write(value)
    return keys


def address(selection: Selection) -> str:
    """The part of the address from the question mark on that opens what `selection` holds."""
    return "?" + urlencode(as_text(selection), safe=",:") if as_text(selection) else ""


def bind_to_address(selection: Selection, location: Location) -> None:
    """Open what the address says, and keep `selection` and the address the same from now on.

    What an address leaves open is as it is in `selection` now. Not Location.sync: that drops every value
    of an address in which one is wrong, and reads a version '3' as a number.
    """

    fallback = {name: getattr(selection, name) for name in PARSERS}
    state = {"loaded": False}

    def read(search: str) -> None:
        selection.param.update(**fallback | read_text(dict(parse_qsl(search.removeprefix("?")))))

    def write(*_: object) -> None:
        # What is written before the browser has the page never reaches its address.
        text = address(selection)
        if state["loaded"] and _keys(text) != _keys(location.search):
            location.search = text

    def loaded() -> None:
        state["loaded"] = True
        write()

    read(location.search or "")
    location.param.watch(lambda event: read(event.new), "search")
    selection.param.watch(write, list(PARSERS))
    pn.state.onload(loaded)


def _keys(search: str | None) -> list[tuple[str, str]]:
    return parse_qsl((search or "").removeprefix("?"))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return parse


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


def _numbers(text: str, count: int) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise ValueError(text)
    return numbers


def _confidence(text: str) -> tuple[float, ...]:
    low, high = _numbers(text, 2)
    if not 0 <= low < high <= 1:
        raise ValueError(text)
    return low, high


def _box(text: str) -> tuple[float, ...]:
    xmin, ymin, xmax, ymax = _numbers(text, 4)
    if not (xmin < xmax and ymin < ymax) or max(abs(xmin), abs(ymin), abs(xmax), abs(ymax)) > 4 * WORLD:
        raise ValueError(text)
    return xmin, ymin, xmax, ymax


def _classes(text: str) -> list[str]:
    return [name for name, _ in parse_qsl("&".join(f"{part}=x" for part in text.split(",") if part))]


def _write_classes(names: list[str]) -> str:
    # A comma inside a class name would split it, so each name is escaped by itself.
    return ",".join(urlencode({name: ""})[:-1] for name in names)


def _write_box(box: Box) -> str:
    return ",".join(f"{metres:.0f}" for metres in box)


PARSERS: dict[str, Callable[[str], object]] = {
    "page": _one_of(PAGES),
    "model": _name,
    "version": _name,
    "start": date.fromisoformat,
    "end": date.fromisoformat,
    "region": _name,
    "layer": _one_of(LAYERS),
    "classes": _classes,
    "confidence": _confidence,
    "box": _box,
    "view": _box,
    "alert": _name,
}

WRITERS: dict[str, Callable] = {
    **dict.fromkeys(("page", "model", "version", "region", "layer", "alert"), str),
    "start": date.isoformat,
    "end": date.isoformat,
    "classes": _write_classes,
    "confidence": lambda pair: ",".join(f"{number:.4g}" for number in pair),
    "box": _write_box,
    "view": _write_box,
}
