"""The browser's Back and Forward: what they lead to is shown, as Panel by itself only changes the address."""

from typing import Any

import panel as pn
from panel.io.location import Location

SCRIPT = """
export function render({model}) {
  // Panel pushes an address that it is told of, even where the browser is at that address already.
  if (!window.driftmapHistory) {
    window.driftmapHistory = true
    const push = history.pushState.bind(history)
    history.pushState = (state, title, url) => {
      if (new URL(url, location.href).href !== location.href) push(state, title, url)
    }
  }
  const moved = () => model.send_msg(location.search)
  window.addEventListener("popstate", moved)
  model.on("remove", () => window.removeEventListener("popstate", moved))
}
"""


class History(pn.custom.JSComponent):
    """Nothing to see: it tells `location` where Back and Forward have led."""

    _esm = SCRIPT

    def __init__(self, location: Location) -> None:
        self._location = location
        super().__init__(width=0, height=0, margin=0)

    def _handle_msg(self, message: Any) -> None:
        self._location.search = str(message)
