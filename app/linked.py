"""HTML whose links change the Selection in place, and whose tables sort."""

from typing import Any
from urllib.parse import parse_qsl

import panel as pn
import param

from app.context import Context
from app.selection import PARSERS, Selection, address, read_text
from app.states import STYLE

SCRIPT = """
export function render({model, el}) {
  const box = document.createElement("div")
  box.className = "dm-linked"
  el.append(box)
  let order = null

  function sort() {
    if (order == null) return
    for (const table of box.querySelectorAll("table")) {
      const head = table.querySelectorAll("th")[order.column]
      const body = table.tBodies[0]
      if (head == null || !head.matches("[data-sort]") || body == null) continue
      const value = row => row.cells[order.column].dataset.value ?? row.cells[order.column].textContent
      const empty = text => text === "" ? 1 : 0
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)]
        const numbers = head.dataset.sort === "number"
        const by = numbers ? Number(x) - Number(y) : x.localeCompare(y)
        return empty(x) - empty(y) || (order.down ? -by : by)
      })
      body.append(...rows)
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort")
      head.setAttribute("aria-sort", order.down ? "descending" : "ascending")
    }
  }

  function draw() {
    box.innerHTML = model.html
    sort()
  }

  function act(event) {
    const head = event.target.closest("th[data-sort]")
    if (head != null) {
      const column = head.cellIndex
      order = {column, down: order?.column === column ? !order.down : head.dataset.first === "down"}
      sort()
      return
    }
    const link = event.target.closest("a[href^='?']") ?? event.target.closest("[data-href]")
    if (link == null || event.ctrlKey || event.metaKey || event.shiftKey) return
    event.preventDefault()
    model.send_msg(link.getAttribute("href") ?? link.dataset.href)
  }

  box.addEventListener("click", act)
  box.addEventListener("keydown", event => { if (event.key === "Enter" && event.target.matches("th")) act(event) })
  model.on("html", draw)
  draw()
}
"""


class Linked(pn.custom.JSComponent):
    """HTML in the look of the dashboard. A click on a link that starts with '?' opens it without a new page.

    The same holds for a row with `data-href`. A head with `data-sort` ('text' or 'number') sorts its table by
    the `data-value` of each cell, or by its text; `data-first="down"` starts with the largest.
    """

    html = param.String(default="")

    _esm = SCRIPT
    _stylesheets = [STYLE]  # noqa: RUF012

    def __init__(self, context: Context, html: str = "", **layout: Any) -> None:
        self._selection = context.selection
        super().__init__(html=html, **({"sizing_mode": "stretch_width"} | layout))

    def _handle_msg(self, message: Any) -> None:
        open_address(self._selection, str(message))


def open_address(selection: Selection, search: str) -> None:
    """Show what the part of an address from the question mark on says, and the default for what it leaves open."""
    defaults = {name: selection.param[name].default for name in PARSERS if name != "model"}
    selection.param.update(**defaults | read_text(dict(parse_qsl(search.removeprefix("?")))))


def link(selection: Selection, **changes: Any) -> str:
    """The address of what `selection` shows, with `changes`."""
    values = {name: getattr(selection, name) for name in PARSERS}
    return address(Selection(**values | changes))
