"""The layers of the map. To add one: a function from cells to a value each, and a row in LAYERS."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd
from bokeh.models import CustomJS
from datashader.transfer_functions import eq_hist

from app.selection import Box
from app.views.live import Columns, Content, Scale
from app.views.style import class_colours, plain_ramp, ramp
from monitoring.accuracy import proportion, ratio
from storage import grid
from storage.looks import MULTIPLE, Raster

SUMS = ("n", "n_labelled", "n_correct", "n_confidence", "sum_confidence", "n_entropy", "sum_entropy")
COARSEST = MULTIPLE.bit_length() - 1  # halvings: a cell is at most 8 times as wide as the finest on a screen

Values = npt.NDArray[np.float64]
Images = dict[str, Values]  # by name of a sum: one value a cell [rows from the north, columns]


@dataclass(frozen=True)
class Layer:
    """What the map shows: `value` of a cell, on a fixed scale `limits`.

    `evidence` is the sum of which half of the cells should hold `wanted`; cells are made as coarse as it takes.
    """

    key: str
    label: str
    value: Callable[[Images], Values]
    limits: Callable[[int], tuple[float, float]]
    colours: Callable[[bool, int], list[str]]
    ends: tuple[str, str] | None
    evidence: str = "n"
    wanted: float = 1.5


def _density(images: Images) -> Values:
    n = images["n"]
    if not (n > 0).any():
        return np.full(n.shape, np.nan)
    equalised, _ = eq_hist(n, mask=n <= 0)
    return np.asarray(equalised, float)


LAYERS = {
    layer.key: layer
    for layer in (
        Layer(
            "errors", "Error rate",
            lambda images: ratio(images["n_labelled"] - images["n_correct"], images["n_labelled"]),
            lambda classes: (0.0, 0.6), lambda dark, classes: ramp(dark), ("0", "0.6 and more"),
            "n_labelled", 4.0,
        ),
        Layer(
            "confidence", "Confidence",
            lambda images: ratio(images["sum_confidence"], images["n_confidence"]),
            lambda classes: (0.4, 1.0), lambda dark, classes: plain_ramp(), ("0.4 and less", "1"), wanted=2.0,
        ),
        Layer(
            "predicted", "Predicted class",
            lambda images: images["predicted"],
            lambda classes: (-0.5, classes - 0.5), lambda dark, classes: class_colours(classes), None,
        ),
        Layer(
            "uncertainty", "Uncertainty",
            lambda images: ratio(images["sum_entropy"], images["n_entropy"]),
            lambda classes: (0.0, float(np.log(classes))), lambda dark, classes: ramp(dark), ("0", "ln K nats"),
            wanted=2.0,
        ),
        Layer(
            "density", "Density", _density,
            lambda classes: (0.0, 1.0), lambda dark, classes: ramp(dark), ("few", "many"),
        ),
    )
}  # fmt: skip


def fitting_level(view: Box, pixels: int) -> int:
    """The level whose cells are 3 to 6 screen pixels wide when `view` is `pixels` wide.

    An address may ask for a view that no screen has the shape of: its cells are as many as those of one four times as
    high as it is wide.
    """
    width = max(view[2] - view[0], (view[3] - view[1]) / 4)
    finest = np.log2(grid.WORLD / width * pixels / 3)
    return int(np.clip(np.floor(finest), 0, grid.DEPTH))


def legible(fine: Raster, layer: Layer) -> Raster:
    """`fine`, its cells joined into wider ones while they hold too little evidence each."""
    for _ in range(COARSEST):
        evidence = fine.sums[layer.evidence]
        evidence = evidence[evidence > 0]
        if fine.level == 0 or not len(evidence) or np.median(evidence) >= layer.wanted:
            break
        fine = _halved(fine)
    return fine


def _halved(fine: Raster) -> Raster:
    """Four cells in one."""

    def joined(values: Values) -> Values:
        rows = values[..., ::2, :] + values[..., 1::2, :]
        return np.asarray(rows[..., ::2] + rows[..., 1::2])

    sums = {name: joined(values) for name, values in fine.sums.items()}
    classes = None if fine.classes is None else joined(fine.classes)
    return Raster(fine.level - 1, fine.left // 2, fine.top // 2, sums, classes)


def _images(cells: Raster) -> Images:
    """The sums, and the code of the class that most predictions of each cell have; of equals the first."""
    if cells.classes is None:
        return cells.sums
    return cells.sums | {"predicted": np.where(cells.sums["n"] > 0, cells.classes.argmax(axis=0), np.nan)}


def layer_columns(layer: Layer, cells: Raster) -> Columns:
    """The Bokeh columns of the layer's image: the value and what is said on hover, [rows from the south, columns]."""
    images = _images(cells)
    n, labelled = images["n"], images["n_labelled"]
    correct = proportion(images["n_correct"], labelled)
    bands = {
        "image": np.where(n > 0, layer.value(images), np.nan),
        "rows": n,
        "labelled": labelled,
        "accuracy": correct.value,
        "lower": correct.lower,
        "upper": correct.upper,
        "confidence": ratio(images["sum_confidence"], images["n_confidence"]),
        "entropy": ratio(images["sum_entropy"], images["n_entropy"]),
    }
    west, south, east, north = cells.box
    return {"x": [west], "y": [south], "dw": [east - west], "dh": [north - south]} | {
        name: [band[::-1].astype(np.float32)] for name, band in bands.items()
    }


def layer_image(layer: Layer, cells: Raster, classes: list[str], dark: bool) -> hv.Image:
    """The layer as one image; the sums behind each cell are on hover."""
    bands = {name: band[0] for name, band in layer_columns(layer, cells).items() if name not in ("x", "y", "dw", "dh")}
    stack = np.dstack([band[::-1] for band in bands.values()])
    low, high = layer.limits(len(classes))
    # Ranges are said, so that a band without a value needs none computed.
    dimensions = [hv.Dimension("value" if name == "image" else name, range=(0, 1)) for name in bands]
    return hv.Image(stack, ["x", "y"], dimensions, bounds=cells.box).opts(
        cmap=layer.colours(dark, len(classes)),
        clim=(low, high),
        alpha=0.92,
        colorbar=False,
        apply_ranges=False,
        hooks=[_hover_where_there_are_rows],
        hover_tooltips=[
            ("accuracy", "@accuracy{0.000}  @lower{0.00}–@upper{0.00}"),
            ("labelled", "@labelled{0,0} of @rows{0,0}"),
            ("confidence", "@confidence{0.000}"),
            ("entropy (nats)", "@entropy{0.000}"),
        ],
        clipping_colors={"NaN": (0, 0, 0, 0)},
    )


SOME_ROWS = """
export default (args, tool, {value: n}) => n > 0
"""


def _hover_where_there_are_rows(plot: object, element: hv.Image) -> None:
    hover = plot.handles.get("hover")  # type: ignore[attr-defined]
    if hover is not None and not hover.filters:
        hover.filters = {"@rows": CustomJS(args={}, code=SOME_ROWS)}


def points_columns(rows: pd.DataFrame | None, classes: list[str]) -> Columns:
    """The Bokeh columns of single predictions, of which there may be none.

    Without any there are two that lie nowhere: from columns that are empty or all alike HoloViews would guess
    that colours are numbers, or the same for all.
    """
    if rows is None or rows.empty:
        nowhere = np.full(2, np.nan)
        texts = {name: ["", ""] for name in ("id", "predicted", "label", "time")}
        return {"x": nowhere, "y": nowhere, **texts, "confidence": nowhere} | _styles(
            ["#000000", "#ffffff"], ["#ffffff", "#000000"], [1.0, 2.0], [9.0, 6.0]
        )
    colours = dict(zip(classes, class_colours(len(classes)), strict=True))
    predicted, label = rows["predicted"].astype(str).tolist(), rows["label"].fillna("").astype(str).tolist()
    wrong = [bool(known) and known != said for known, said in zip(label, predicted, strict=True)]
    return {
        "x": rows["x"].to_numpy(float),
        "y": rows["y"].to_numpy(float),
        "id": rows["id"].astype(str).tolist(),
        "predicted": predicted,
        "label": [known or "not yet" for known in label],
        "time": [f"{moment:%Y-%m-%d %H:%M}" for moment in rows["predicted_at"]],
        "confidence": rows["confidence"].to_numpy(float),
    } | _styles(
        [colours.get(name, "#888888") for name in predicted],
        ["#d9363e" if each else "#ffffff" for each in wrong],
        [2.2 if each else 0.6 for each in wrong],
        [9.0 if len(rows) <= 300 else 6.0] * len(rows),
    )


def _styles(colours: list[str], rings: list[str], widths: list[float], sizes: list[float]) -> Columns:
    # The latter three are what HoloViews calls the columns it makes of the former.
    return {
        "colour": colours, "ring": rings, "width": widths, "size": sizes,
        "color": colours, "line_color": rings, "line_width": widths,
    }  # fmt: skip


def points_of(rows: pd.DataFrame | None, classes: list[str]) -> hv.Points:
    """Single predictions: filled in the colour of their class, ringed in red-brown where they are wrong."""
    columns = points_columns(rows, classes)
    details = [name for name in columns if name not in ("x", "y", "color", "line_color", "line_width")]
    return hv.Points(pd.DataFrame(columns), ["x", "y"], details).opts(
        color="colour", line_color="ring", line_width="width", size="size", apply_ranges=False,
        nonselection_alpha=1, selection_alpha=1,
        hover_tooltips=[
            ("id", "@id"), ("predicted", "@predicted"), ("label", "@label"),
            ("confidence", "@confidence{0.000}"), ("time (UTC)", "@time"),
        ],
    )  # fmt: skip


def layer_content(layer: Layer, cells: Raster, classes: list[str], dark: bool) -> Content:
    """What `layer_image` draws, as columns."""
    scale = Scale(layer.colours(dark, len(classes)), *layer.limits(len(classes)))
    return Content((layer_columns(layer, cells),), scale=scale)


def points_content(rows: pd.DataFrame | None, classes: list[str]) -> Content:
    """What `points_of` draws, as columns."""
    return Content((points_columns(rows, classes),))


def legend(layer: Layer, classes: list[str], dark: bool, *, shown: bool, single: bool) -> str:
    """What the colours mean, as HTML. `single`: single predictions are drawn, in the colours of their class."""
    if not shown:
        return '<div class="dm-legend">No predictions in sight that pass the filters.</div>'
    if single:
        layer = LAYERS["predicted"]
    colours = layer.colours(dark, len(classes))
    if layer.ends is None:
        chips = "".join(
            f'<span class="dm-chip"><i style="background:{colour}"></i>{escape(name)}</span>'
            for name, colour in zip(classes, colours, strict=True)
        )
        wrong = '<span class="dm-chip"><i class="dm-ring"></i>wrong</span>' if single else ""
        return f'<div class="dm-legend"><b>{layer.label}</b>{chips}{wrong}</div>'
    stops = ",".join(colours[:: max(1, len(colours) // 16)])
    low, high = layer.ends
    if layer.key == "uncertainty":
        high = f"{np.log(len(classes)):.2f} nats (ln {len(classes)})"
    return (
        f'<div class="dm-legend"><b>{layer.label}</b><span>{low}</span>'
        f'<i class="dm-ramp" style="background:linear-gradient(to right,{stops})"></i><span>{high}</span></div>'
    )
