"""Colours and options that all charts share. Backgrounds, axes and text follow the page's theme by themselves."""

from typing import Any

import holoviews as hv
import numpy as np
from bokeh.models import BoxSelectTool
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

# The selection, what it is compared with, and guide lines: legible on light and on dark.
ACCENT = "#3a8fc7"
REST = "#8d949c"
GUIDE = "#8d949c"

CLASS_COLOURS = (
    "#4c8fc9", "#e08a3c", "#5aa469", "#b06fb0", "#c9b037", "#4fb3b0", "#a5725a", "#d977a5", "#7d8ad6", "#8c9a5b",
    "#c46a6a", "#6fb6e8", "#b8860b", "#669999", "#9e5ad1", "#7f7f7f", "#3f7f5f", "#d1a37a", "#5b7083", "#c2c25a",
)  # fmt: skip


def class_colours(classes: int) -> list[str]:
    """One colour a class, by code; from the start again beyond twenty."""
    return [CLASS_COLOURS[i % len(CLASS_COLOURS)] for i in range(classes)]


# Anchors of a scale on which high stands out from the background, in either theme.
LIGHT_RAMP = ("#e3e8ee", "#b9c6df", "#9391c6", "#8a52aa", "#5d0c62")
DARK_RAMP = ("#2c333d", "#49557c", "#7e63b4", "#c97bcf", "#ffe1ff")


def ramp(dark: bool) -> list[str]:
    """Low to high of a figure where high stands out, in 64 steps."""
    anchors = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in (DARK_RAMP if dark else LIGHT_RAMP)])
    places = np.linspace(0, 1, len(anchors))
    mixed = [np.interp(np.linspace(0, 1, 64), places, anchors[:, channel]) for channel in range(3)]
    return [
        "#{:02x}{:02x}{:02x}".format(*(round(float(part)) for part in colour)) for colour in zip(*mixed, strict=True)
    ]


def plain_ramp() -> list[str]:
    """Low to high of a figure where both ends matter."""
    return list(Viridis256[10:250])


def quiet(plot: Any, element: Any) -> None:
    """Small type and no toolbar logo, as a chart in a narrow column wants it. A HoloViews hook."""
    shown: figure = plot.state
    shown.toolbar.logo = None
    shown.toolbar.autohide = True
    for axis in (*shown.xaxis, *shown.yaxis):
        axis.axis_label_text_font_size = "11px"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_standoff = 4
        axis.minor_tick_line_color = None
    for legend in shown.legend:
        legend.label_text_font_size = "11px"
        legend.spacing = 2
        legend.padding = 4
        legend.glyph_width = 14
    shown.title.text_font_size = "12px"
    shown.title.text_font_style = "bold"
    shown.min_border_right = 12
    shown.min_border_top = 6


def brushable(plot: Any, element: Any) -> None:
    """Dragging brushes a range. A HoloViews hook."""
    toolbar = plot.state.toolbar
    toolbar.active_drag = next((tool for tool in toolbar.tools if isinstance(tool, BoxSelectTool)), None)


def chart(elements: list[hv.Element], *, height: int, brush: bool = False, **options: Any) -> hv.Overlay:
    """One chart of `elements`, the first at the back, as wide as there is room and `height` pixels high.

    `brush`: dragging selects a range along x.
    """
    for element in elements:
        element.opts(default_tools=[])
    if brush:
        elements[0].opts(tools=["xbox_select"])
    hooks = [quiet, brushable] if brush else [quiet]
    return hv.Overlay(elements).opts(
        hv.opts.Overlay(responsive=True, height=height, toolbar=None, show_legend=False, hooks=hooks, **options)
    )


# What `chart` sets, for a chart that is put together by hand.
CHART = {"responsive": True, "hooks": [quiet], "toolbar": None}
