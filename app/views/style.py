"""Colours and options that all charts share. Backgrounds, axes and text follow the page's theme by themselves."""

from typing import Any

from bokeh.palettes import Inferno256, Viridis256
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


def ramp(dark: bool) -> list[str]:
    """Low to high of a figure where high stands out: far from the background in either theme."""
    return list(Inferno256[70:250]) if dark else list(Inferno256[40:245])[::-1]


def plain_ramp() -> list[str]:
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


CHART = {"responsive": True, "hooks": [quiet], "toolbar": None, "default_tools": [], "active_tools": []}
BRUSHED = {**CHART, "tools": ["xbox_select"], "active_tools": ["xbox_select"]}
