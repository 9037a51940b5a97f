"""Rows and columns in the browser: children that change while their views are still being built are shown too."""

from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import CustomJS

# BokehJS builds the views of a new layout bit by bit and listens to their models only when all are there, so that
# children which arrive in between are never shown; and builds that overlap make two views of the same child.
# Here builds wait for each other, and a layout that is drawn asks for the children that it lacks.
SCRIPT = """
const {prototype} = Bokeh.require("models/layouts/flex_box").FlexBoxView
if (!prototype.driftmapBuilt) {
  prototype.driftmapBuilt = Promise.resolve()
  const {build_child_views, render} = prototype
  prototype.build_child_views = function() {
    const built = this.driftmapBuilt.then(() => build_child_views.call(this))
    this.driftmapBuilt = built.catch(() => {})
    return built
  }
  prototype.render = function() {
    render.call(this)
    if (this.child_models.some(child => !this._child_views.has(child))) this.update_children()
  }
}
"""


def show_late_children(document: Document) -> None:
    """Mend the layouts of the page that `document` is shown on, before it can be told of a change."""
    document.js_on_event(DocumentReady, CustomJS(code=SCRIPT))
