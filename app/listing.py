"""A list whose rows can be chosen with the mouse or the keyboard, and the turning of its pages."""

from collections.abc import Callable, Coroutine, Iterable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param
from panel.custom import JSComponent

from app.numbers import count
from app.states import STYLE, markup

CHOOSE = """
export function render({model}) {
  const place = document.createElement('div')
  place.className = 'dm-list'
  const rows = () => [...place.querySelectorAll('[data-key]')]
  const mark = () => rows().forEach(row => row.setAttribute('aria-selected', row.dataset.key === model.chosen))
  const draw = () => { place.innerHTML = model.table; mark() }
  place.addEventListener('click', event => {
    const row = event.target.closest('[data-key]')
    if (row) model.chosen = row.dataset.key
  })
  place.addEventListener('keydown', event => {
    const row = event.target.closest('[data-key]')
    if (!row) return
    if (event.key === 'Enter' || event.key === ' ') model.chosen = row.dataset.key
    else if (event.key === 'ArrowDown') row.nextElementSibling?.focus()
    else if (event.key === 'ArrowUp') row.previousElementSibling?.focus()
    else return
    event.preventDefault()
  })
  model.on('table', draw)
  model.on('chosen', mark)
  draw()
  return place
}
"""


class Listing(JSComponent):
    """A table of HTML, of which rows that have a key can be chosen."""

    table = param.String(default="", doc="What `table` returned. Everything from outside in it is escaped.")
    chosen = param.String(default="", doc="The key of the chosen row; empty: none.")

    _esm = CHOOSE
    _stylesheets = [STYLE]  # noqa: RUF012

    def __init__(self, **params: Any) -> None:
        super().__init__(**({"sizing_mode": "stretch_width", "margin": 0} | params))


def table(headings: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    """A table of HTML from (text, CSS class) of each column and what `row` returned."""
    head = "".join(f'<th class="{kind}">{escape(text)}</th>' for text, kind in headings)
    return f'<table role="grid"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def row(key: str, cells: Iterable[tuple[str, str]]) -> str:
    """A row that can be chosen, from (HTML, CSS class) of each cell."""
    parts = "".join(f'<td class="{kind}">{html}</td>' for html, kind in cells)
    return f'<tr data-key="{escape(key)}" tabindex="0">{parts}</tr>'


class Pager:
    """Buttons to the page before and after; `turn` shows the rows from `start` on."""

    def __init__(self, size: int, turn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.size = size
        self.start = 0
        self.turn = turn
        self.back = pmui.IconButton(icon="chevron_left", size="small", description="Previous page", margin=0)
        self.forth = pmui.IconButton(icon="chevron_right", size="small", description="Next page", margin=0)
        self.words = markup("", sizing_mode=None, margin=(7, 4))
        self.view = pn.Row(self.back, self.words, self.forth, margin=(0, 4), visible=False)
        self.back.on_click(lambda _: self.move(-self.size))
        self.forth.on_click(lambda _: self.move(self.size))

    def move(self, steps: int) -> None:
        self.start = max(0, self.start + steps)
        pn.state.execute(self.turn)

    def show(self, shown: int, more: bool, total: int | None = None) -> None:
        """Say which rows are shown; hidden where one page holds them all."""
        self.view.visible = more or self.start > 0
        self.back.disabled = self.start == 0
        self.forth.disabled = not more
        of = f" of {count(total)}" if total is not None else ""
        self.words.object = f"{count(self.start + min(1, shown))}–{count(self.start + shown)}{of}"
