"""The layers of the map. To add one: a function from cells to a value each, and a row in LAYERS."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import datashader as ds
import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from bokeh.models import CustomJS
from datashader.transfer_functions import eq_hist

from app.selection import Box
from app.views.style import class_colours, plain_ramp, ramp
from monitoring.accuracy import proportion, ratio
from storage import grid

SUMS = ("n", "n_labelled", "n_correct", "n_confidence", "sum_confidence", "n_entropy", "sum_entropy")
COARSEST = 3  # halvings: a cell is at most 8 times as wide as the finest that the screen could show

Values = npt.NDArray[np.float64]
Images = dict[str, Values]  # by name of a sum: one value a pixel [rows from the south, columns]


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
    """The level whose cells are 3 to 6 screen pixels wide when `view` is `pixels` wide."""
    finest = np.log2(grid.WORLD / (view[2] - view[0]) * pixels / 3)
    return int(np.clip(np.floor(finest), 0, grid.DEPTH))


def legible(cells: pd.DataFrame, level: int, layer: Layer) -> tuple[pd.DataFrame, int]:
    """`cells`, joined into wider ones while they hold too little evidence each, and their level."""
    kinds = ["predicted"] if "predicted" in cells else []
    for step in range(COARSEST + 1):
        evidence = cells.groupby(["x", "y"])[layer.evidence].sum() if kinds else cells[layer.evidence]
        evidence = evidence[evidence > 0]
        if step == COARSEST or level == 0 or not len(evidence) or evidence.median() >= layer.wanted:
            return cells, level
        level -= 1
        cells = cells.assign(x=cells["x"].to_numpy() >> 1, y=cells["y"].to_numpy() >> 1)
        cells = cells.groupby(["x", "y", *kinds], as_index=False)[list(SUMS)].sum()
    return cells, level


def raster(cells: pd.DataFrame, level: int) -> tuple[Images, Box]:
    """The sums of `cells` on a canvas aligned with the cells, one pixel a cell; and its box in metres."""
    size = grid.cell_size(level)
    left, right = int(cells["x"].min()), int(cells["x"].max()) + 1
    top, bottom = int(cells["y"].min()), int(cells["y"].max()) + 1
    # Row 0 of a canvas is its south; cells count from the north.
    points = cells.assign(column=cells["x"] - left + 0.5, row=bottom - cells["y"] - 0.5)
    canvas = ds.Canvas(right - left, bottom - top, x_range=(0, right - left), y_range=(0, bottom - top))
    sums = canvas.points(points, "column", "row", agg=ds.summary(**{name: ds.sum(name) for name in SUMS}))
    images = {name: np.nan_to_num(sums[name].to_numpy().astype(float)) for name in SUMS}
    if "predicted" in points:
        images["predicted"] = _majority(canvas, points)
    half = grid.WORLD / 2
    return images, (left * size - half, half - bottom * size, right * size - half, half - top * size)


def _majority(canvas: ds.Canvas, points: pd.DataFrame) -> Values:
    """The code of the class that most predictions of each pixel have; of equals the first."""
    points = points.assign(predicted=points["predicted"].astype("category"))
    codes = points["predicted"].cat.categories.to_numpy(float)
    by_class: xr.DataArray = canvas.points(points, "column", "row", agg=ds.by("predicted", ds.sum("n")))
    counts = np.nan_to_num(by_class.to_numpy().astype(float))
    return np.where(counts.sum(axis=-1) > 0, codes[counts.argmax(axis=-1)], np.nan)


def layer_image(layer: Layer, cells: pd.DataFrame, level: int, classes: list[str], dark: bool) -> hv.Image:
    """The layer as one image; the sums behind each cell are on hover."""
    if cells.empty:
        images: Images = {name: np.zeros((1, 1)) for name in SUMS} | {"predicted": np.full((1, 1), np.nan)}
        box: Box = (0.0, 0.0, 1.0, 1.0)
    else:
        images, box = raster(cells, level)
    correct = proportion(images["n_correct"], images["n_labelled"])
    shown = layer.value(images)
    bands = {
        "value": np.where(images["n"] > 0, shown, np.nan),
        "rows": images["n"],
        "labelled": images["n_labelled"],
        "accuracy": correct.value,
        "lower": correct.lower,
        "upper": correct.upper,
        "confidence": ratio(images["sum_confidence"], images["n_confidence"]),
        "entropy": ratio(images["sum_entropy"], images["n_entropy"]),
    }
    stack = np.dstack([band[::-1].astype(np.float32) for band in bands.values()])
    low, high = layer.limits(len(classes))
    # Ranges are said, so that a band without a value needs none computed.
    dimensions = [hv.Dimension(name, range=(0, 1)) for name in bands]
    return hv.Image(stack, ["x", "y"], dimensions, bounds=box).opts(
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


def points_of(rows: pd.DataFrame, classes: list[str]) -> hv.Points:
    """Single predictions: filled in the colour of their class, ringed in red-brown where they are wrong."""
    colours = dict(zip(classes, class_colours(len(classes)), strict=True))
    known = rows["label"].notna()
    wrong = known & (rows["label"] != rows["predicted"])
    table = pd.DataFrame(
        {
            "x": rows["x"].astype(float), "y": rows["y"].astype(float), "id": rows["id"].astype(str),
            "predicted": rows["predicted"].astype(str), "label": rows["label"].fillna("not yet").astype(str),
            "confidence": rows["confidence"].astype(float),
            "time": [f"{moment:%Y-%m-%d %H:%M}" for moment in pd.to_datetime(rows["predicted_at"])],
            "colour": [colours.get(name, "#888888") for name in rows["predicted"]],
            "ring": np.where(wrong, "#d9363e", "#ffffff"), "width": np.where(wrong, 2.2, 0.6),
        }
    )  # fmt: skip
    return hv.Points(table, ["x", "y"], [name for name in table if name not in ("x", "y")]).opts(
        color="colour", line_color="ring", line_width="width", size=9 if len(rows) <= 300 else 6, apply_ranges=False,
        nonselection_alpha=1, selection_alpha=1,
        hover_tooltips=[
            ("id", "@id"), ("predicted", "@predicted"), ("label", "@label"),
            ("confidence", "@confidence{0.000}"), ("time (UTC)", "@time"),
        ],
    )  # fmt: skip


def legend(layer: Layer, classes: list[str], dark: bool, *, shown: int, single: bool) -> str:
    """What the colours mean, as HTML. `single`: single predictions are drawn, in the colours of their class."""
    if shown == 0:
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
