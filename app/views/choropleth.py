"""Regions filled by verdict, or by a figure."""

from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import holoviews as hv
import numpy as np
import numpy.typing as npt
import shapely

from app.numbers import MARKS, VERDICT_COLOURS
from app.selection import Box
from app.views import mercator
from app.views.basemap import GREY, to_mercator
from app.views.style import ramp
from storage.records import Verdict

UNKNOWN = "#8a8f98"
MARKED = (Verdict.WARNING, Verdict.CRITICAL)


@dataclass(frozen=True)
class Shapes:
    """The polygons of regions in EPSG:3857 metres, by id."""

    by_id: dict[str, Any]

    @property
    def box(self) -> Box:
        """What holds them all."""
        xmin, ymin, xmax, ymax = shapely.total_bounds(np.array(list(self.by_id.values()), dtype=object))
        return float(xmin), float(ymin), float(xmax), float(ymax)


def shapes_of(regions: gpd.GeoDataFrame, ids: list[str], pixels: int = 700) -> Shapes:
    """The polygons of the regions `ids` (EPSG:4326 in `regions`), thinned for a map `pixels` wide."""
    wanted = regions.set_index("id").loc[ids]
    metres = shapely.transform(wanted.geometry.to_numpy(), to_mercator)
    xmin, ymin, xmax, ymax = shapely.total_bounds(metres)
    thin = shapely.simplify(metres, max(xmax - xmin, ymax - ymin) / pixels / 2)
    return Shapes(dict(zip(ids, thin, strict=True)))


@dataclass(frozen=True)
class Filling:
    """How one region is shown: its colour, its verdict, and lines of text on hover."""

    region: str
    name: str
    colour: str
    verdict: Verdict
    accuracy: str
    gap: str
    drift: str


def scaled(value: float | None, limits: tuple[float, float], dark: bool) -> str:
    """The colour of `value` on the ramp between `limits`, which may run downward; grey where there is none."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    colours = ramp(dark)
    share = (value - limits[0]) / (limits[1] - limits[0])
    return colours[int(np.clip(share, 0, 1) * (len(colours) - 1))]


def choropleth(shapes: Shapes, fillings: list[Filling], *, marked: bool) -> tuple[hv.Polygons, hv.Labels, list[str]]:
    """The regions, where `marked` a mark on each that is warning or critical, and the region of each polygon."""
    parts: list[dict[Any, Any]] = []
    owners: list[str] = []
    for each in fillings:
        for part in shapely.get_parts(shapes.by_id[each.region]):
            if isinstance(part, shapely.Polygon) and not part.is_empty:
                parts.append(_polygon(part) | {
                    "name": each.name, "colour": each.colour, "accuracy": each.accuracy, "gap": each.gap,
                    "drift": each.drift, "verdict": f"{MARKS[each.verdict]} {each.verdict.value}",
                })  # fmt: skip
                owners.append(each.region)
    tooltips = [
        ("", "@name"), ("", "@verdict"), ("accuracy", "@accuracy"), ("overconfidence", "@gap"), ("drift", "@drift"),
    ]  # fmt: skip
    columns = ["colour", "name", "verdict", "accuracy", "gap", "drift"]
    polygons = mercator.Polygons(parts, ["x", "y"], columns).opts(
        color="colour", fill_alpha=0.75, line_color=GREY, line_width=0.8, apply_ranges=False,
        selection_alpha=0.75, nonselection_alpha=0.75, hover_line_color="#ffffff",
        hover_tooltips=tooltips, tools=["tap"],
    )  # fmt: skip
    bad = [each for each in fillings if marked and each.verdict in MARKED]
    places = _inside(np.array([shapes.by_id[each.region] for each in bad], dtype=object))
    marks = mercator.Labels(
        (places[:, 0], places[:, 1], [MARKS[each.verdict] for each in bad]), ["x", "y"], "mark"
    ).opts(text_font_size="12px", text_color="#ffffff", apply_ranges=False)
    return polygons, marks, owners


def _polygon(part: shapely.Polygon) -> dict[Any, Any]:
    holes = [np.asarray(hole.coords) for hole in part.interiors]
    return {("x", "y"): np.asarray(part.exterior.coords), "holes": [holes]}


def _inside(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """A point in each, [n, 2]."""
    if not len(geometries):
        return np.empty((0, 2))
    return shapely.get_coordinates(shapely.point_on_surface(geometries))


def verdict_legend() -> str:
    """What shapes and colours of verdicts mean, as HTML."""
    chips = "".join(
        f'<span class="dm-chip"><span style="color:{VERDICT_COLOURS[verdict]}">{MARKS[verdict]}</span>'
        f"{verdict.value}</span>"
        for verdict in (Verdict.CRITICAL, Verdict.WARNING, Verdict.OK, Verdict.INSUFFICIENT)
    )
    return f'<div class="dm-legend">{chips}</div>'


def ramp_legend(label: str, low: str, high: str, dark: bool) -> str:
    """What the colours of a ramp mean, as HTML; grey: not judged."""
    stops = ",".join(ramp(dark)[::4])
    return (
        f'<div class="dm-legend"><b>{label}</b><span>{low}</span>'
        f'<i class="dm-ramp" style="background:linear-gradient(to right,{stops})"></i><span>{high}</span>'
        f'<span class="dm-chip"><i style="background:{UNKNOWN}"></i>not judged</span></div>'
    )
