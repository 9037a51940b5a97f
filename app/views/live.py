"""Plots that HoloViews draws once, and that are kept up to date by writing to the columns of their glyphs.

To draw again takes HoloViews some hundred times as long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import holoviews as hv
import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.models import GlyphRenderer, Image
from bokeh.plotting import figure

Columns = dict[str, Any]  # what a Bokeh data source holds: a sequence for each name, all of one length
EDGES_OF_BARS = ["left", "bottom", "right", "top"]
FEW = 64  # numbers of a column
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """The colours of the first glyph, from a value of `low` to one of `high`."""

    colours: list[str]
    low: float
    high: float


@dataclass(frozen=True)
class Content:
    """The columns of glyphs, the first at the back; the ranges of axes and the colours where they follow them."""

    glyphs: tuple[Columns, ...]
    x: tuple[Any, Any] | None = None
    y: tuple[float, float] | None = None
    scale: Scale | None = None


def band(x: npt.NDArray[Any], lower: Floats, upper: Floats) -> Columns:
    """The columns of the area between two curves: its outline."""
    return {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([upper, lower[::-1]])}


class Live:
    """An element or overlay that `draw` makes at first; later its glyphs get the columns of `content`.

    Both are called with the same `sums`, and make as many glyphs, in the same order. `dynamic` is to be shown.
    Where HoloViews is slow with what there is to draw, `bare` are sums of nothing, which it draws at first.
    """

    def __init__(
        self,
        draw: Callable[..., hv.Element],
        content: Callable[..., Content],
        *sums: Any,
        bare: tuple[Any, ...] | None = None,
    ) -> None:
        self._draw, self._content, self._bare = draw, content, bare
        self._pipe = hv.streams.Pipe(data=sums)
        self._shown: Content | None = None  # what was written since HoloViews last drew
        self._figure: figure | None = None
        self._renderers: dict[int, GlyphRenderer] = {}
        # Not memoised: HoloViews would take what `show` replaced for what is shown.
        self.dynamic = hv.DynamicMap(hv.Callable(self._first, memoize=False), streams=[self._pipe])

    def _first(self, data: tuple[Any, ...]) -> hv.Element:
        self._shown = None if self._bare is None else self._content(*data)
        made = self._draw(*(data if self._bare is None else self._bare))
        for place, element in enumerate(made.values() if isinstance(made, hv.Overlay) else [made]):
            hooks = hv.Store.lookup_options("bokeh", element, "plot").kwargs.get("hooks", [])
            element.opts(hooks=[*hooks, partial(self._drawn, place)])
        return made

    def _drawn(self, place: int, plot: Any, element: Any) -> None:
        self._figure, self._renderers[place] = plot.state, plot.handles["glyph_renderer"]
        # A page that is opened again is drawn from the last element, which is older than what was shown since.
        if self._shown is not None:
            self._write(self._shown, place)

    def show(self, *sums: Any) -> None:
        """Show `sums`."""
        self._pipe.update(data=sums)
        self._shown = content = self._content(*sums)
        if self._figure is not None:
            with pn.io.unlocked():
                for place in range(len(content.glyphs)):
                    self._write(content, place)

    def _write(self, content: Content, place: int) -> None:
        renderer = self._renderers[place]
        columns = {name: _small_as_list(column) for name, column in content.glyphs[place].items()}
        if not _alike(dict(renderer.data_source.data), columns):
            renderer.data_source.data = columns
        assert self._figure is not None
        for axis, edges in ((self._figure.x_range, content.x), (self._figure.y_range, content.y)):
            if edges is not None:
                axis.update(start=edges[0], end=edges[1])
        if content.scale is not None and place == 0:
            glyph, scale = renderer.glyph, content.scale
            mapper = glyph.color_mapper if isinstance(glyph, Image) else glyph.fill_color.transform
            if (mapper.palette, mapper.low, mapper.high) != (scale.colours, scale.low, scale.high):
                mapper.update(palette=scale.colours, low=scale.low, high=scale.high)


def _small_as_list(column: Any) -> Any:
    """A short array of numbers as a list: every array is two messages to the browser, all lists go in one."""
    short = isinstance(column, np.ndarray) and column.size <= FEW and column.dtype.kind in "fiu"
    return column.tolist() if short else column


def _alike(one: Any, other: Any) -> bool:
    """Whether columns, or parts of them, hold the same, of the same type."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape
        return same and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(column, other[name]) for name, column in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and one != one and other != other
    return both_nan or (not isinstance(one, np.ndarray) and not isinstance(other, np.ndarray) and bool(one == other))
