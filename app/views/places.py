"""Where in a region the errors are, as map cells."""

from dataclasses import dataclass

import holoviews as hv
import numpy as np
import pandas as pd

from app.selection import Box
from app.views import mercator
from app.views.choropleth import scaled
from monitoring.accuracy import proportion
from storage import grid

LIMITS = (0.0, 0.6)  # of the error rate, as on the page Explore


@dataclass(frozen=True)
class Place:
    """One cell of the map: its box in EPSG:3857 metres, labelled predictions, errors, their share (95% Wilson)."""

    box: Box
    n: int
    errors: int
    rate: float
    lower: float
    upper: float


def level_of(view: Box, n_labelled: int) -> int:
    """The level at which a region in `view` with so many labels has some ten of them a cell."""
    across = float(np.clip(np.sqrt(n_labelled / 10), 2, 16))
    width = max(view[2] - view[0], view[3] - view[1])
    return int(np.clip(np.round(np.log2(grid.WORLD / width * across)), 0, grid.DEPTH))


def places_of(cells: pd.DataFrame, level: int) -> list[Place]:
    """The cells (as `storage.queries.cells` returns them) that have labels, the most errors first."""
    known = cells[cells["n_labelled"] > 0]
    errors = known["n_labelled"] - known["n_correct"]
    share = proportion(errors, known["n_labelled"])
    size = 1 << (grid.DEPTH - level)
    xmin, ymax = grid.to_metres(known["x"].to_numpy() * size, known["y"].to_numpy() * size)
    width = grid.cell_size(level)
    found = [
        Place((float(x), float(y) - width, float(x) + width, float(y)), int(n), int(wrong), *map(float, figures))
        for x, y, n, wrong, *figures in zip(
            xmin, ymax, known["n_labelled"], errors, share.value, share.lower, share.upper, strict=True
        )
    ]
    return sorted(found, key=lambda place: (-place.errors, -place.rate, place.box))


def place_cells(places: list[Place], numbered: int, dark: bool) -> hv.Overlay:
    """The cells filled by error rate, the first `numbered` with their number."""
    table = pd.DataFrame(
        [
            (*place.box, scaled(place.rate, LIMITS, dark), place.rate, place.lower, place.upper, place.errors, place.n)
            for place in places
        ],
        columns=["x0", "y0", "x1", "y1", "colour", "rate", "lower", "upper", "errors", "n"],
    )
    hover = [("error rate", "@rate{0.000}  @lower{0.00}–@upper{0.00}"), ("errors", "@errors{0,0} of @n{0,0}")]
    first = places[:numbered]
    numbers = (
        [(place.box[0] + place.box[2]) / 2 for place in first],
        [(place.box[1] + place.box[3]) / 2 for place in first],
        [str(number) for number in range(1, len(first) + 1)],
    )
    rates = np.array([place.rate for place in first])
    return hv.Overlay(
        [
            hv.Rectangles(table, ["x0", "y0", "x1", "y1"], list(table.columns[4:])).opts(
                color="colour", line_alpha=0, alpha=0.92, hover_tooltips=hover, apply_ranges=False
            ),
            mercator.Labels((*numbers, [_ink(rate, dark) for rate in rates]), ["x", "y"], ["number", "ink"]).opts(
                text_font_size="11px", text_color="ink", apply_ranges=False
            ),
        ]
    )


def _ink(rate: float, dark: bool) -> str:
    """A colour that is legible on that of `rate`."""
    strong = rate > 0.25
    return "#14171b" if strong == dark else "#ffffff"
