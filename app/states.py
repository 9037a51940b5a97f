"""What stands in a view's place when it has nothing to show: waiting, empty, failed."""

import logging
import shlex
import uuid
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui

from storage.errors import DriftmapError

STYLE = (Path(__file__).parent / "assets" / "style.css").read_text(encoding="utf-8")

log = logging.getLogger(__name__)


def markup(text: str, **layout: Any) -> pn.pane.HTML:
    """HTML in the look of the dashboard."""
    return pn.pane.HTML(text, stylesheets=[STYLE], **({"sizing_mode": "stretch_width"} | layout))


def waiting(height: int = 120) -> pn.viewable.Viewable:
    """Stands where a view is about to be."""
    return pmui.Skeleton(height=height, sizing_mode="stretch_width", variant="rounded")


def empty_state(title: str, text: str = "", *below: pn.viewable.Viewable) -> pn.Column:
    """Says that there is nothing to show, and what to do about it."""
    words = f'<div class="dm-empty"><h2>{escape(title)}</h2><p>{escape(text)}</p></div>'
    return pn.Column(markup(words), *below, sizing_mode="stretch_width")


def error_card(error: Exception) -> pmui.Alert:
    """Says in one line what went wrong; what driftmap did not expect gets a reference for the log."""
    if isinstance(error, DriftmapError):
        return pmui.Alert(title=str(error), severity="error", sizing_mode="stretch_width")
    reference = uuid.uuid4().hex[:8]
    log.error("reference %s: %r", reference, error)
    return pmui.Alert(
        title=f"This view failed ({type(error).__name__}). The server's log says more under {reference}.",
        severity="error",
        sizing_mode="stretch_width",
    )


def first_steps(model: str, api_url: str = "http://localhost:8000") -> pn.Column:
    """Three ways to send the first predictions of `model`, to copy."""
    ways = {
        "A file": f"driftmap ingest predictions.parquet --model {shlex.quote(model)}",
        "A folder": f"driftmap ingest predictions/ --model {shlex.quote(model)}",
        "HTTP": f"curl -H 'Content-Type: text/csv' --data-binary @predictions.csv "
        f"{api_url}/models/{quote(model)}/predictions",
    }
    copy = "navigator.clipboard.writeText(this.previousSibling.textContent);this.textContent='Copied'"
    button = f'<button type="button" class="dm-copy" onclick="{copy}">Copy</button>'
    rows = "".join(f"<dt>{name}</dt><dd><code>{escape(command)}</code>{button}</dd>" for name, command in ways.items())
    return empty_state(
        "No predictions yet",
        f"Send the first predictions of {model} in one of three ways.",
        markup(f'<dl class="dm-steps">{rows}</dl>'),
    )
