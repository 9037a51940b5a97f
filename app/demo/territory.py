"""An invented country: irregular districts in provinces, whose shared edges are exactly shared."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from scipy.spatial import cKDTree
from shapely.geometry import MultiPoint, Polygon
from shapely.geometry.base import BaseGeometry

# Inland, far from any coast or national border, so that the base map under it looks natural.
CENTRE_LON, CENTRE_LAT = 68.0, 48.4
KM_PER_DEGREE = 111.32
HALF_WIDTH, HALF_HEIGHT = 250.0, 165.0  # km
DISTRICTS, PROVINCES = 54, 6

# fmt: off
ONSETS = [
    "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z",
    "br", "dr", "gr", "kr", "tr", "sk", "st", "th", "sh",
]
VOWELS = ["a", "e", "i", "o", "u", "a", "e", "o", "ai", "ei"]
CODAS = ["", "", "", "n", "r", "l", "s", "m", "th", "nd", "rn"]
ENDINGS = ["a", "en", "or", "is", "um", "ath", "el", "ova", "mar", "holm", "dell", "wick"]
# fmt: on


@dataclass(frozen=True, slots=True)
class District:
    """A region of level 2. The polygon is in degrees."""

    id: str
    name: str
    province: str
    polygon: BaseGeometry


@dataclass(frozen=True, slots=True)
class Province:
    """A region of level 1."""

    id: str
    name: str
    polygon: BaseGeometry


class Warp:
    """A smooth, one-to-one displacement of the plane (km): straight edges in, natural borders out.

    It is one-to-one because its slope stays below 1. So whatever touches before touches after.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        waves = []
        for wavelength, strength in ((170.0, 0.05), (60.0, 0.05), (22.0, 0.06), (9.0, 0.06)):
            angle = rng.uniform(0, 2 * np.pi, 14)
            length = 2 * np.pi / (wavelength * rng.uniform(0.75, 1.3, 14))
            turn = rng.uniform(0, 2 * np.pi, 14)
            amplitude = strength * wavelength / np.sqrt(14)
            phase = rng.uniform(0, 2 * np.pi, 14)
            waves.append(
                np.column_stack(
                    [
                        length * np.cos(angle),
                        length * np.sin(angle),
                        phase,
                        amplitude * np.cos(turn),
                        amplitude * np.sin(turn),
                    ]
                )
            )
        self.waves = np.vstack(waves)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Where the plain points [n, 2] (km) end up, in km."""
        moved = points.astype(float)
        for kx, ky, phase, ax, ay in self.waves:
            swing = np.cos(points[:, 0] * kx + points[:, 1] * ky + phase)
            moved[:, 0] += ax * swing
            moved[:, 1] += ay * swing
        return moved

    def degrees(self, points: np.ndarray) -> np.ndarray:
        """Longitude and latitude [n, 2] of the plain points [n, 2] (km)."""
        moved = self(points)
        lat = CENTRE_LAT + moved[:, 1] / KM_PER_DEGREE
        lon = CENTRE_LON + moved[:, 0] / (KM_PER_DEGREE * np.cos(np.radians(CENTRE_LAT)))
        return np.column_stack([lon, lat])


class Territory:
    """The country: made on a plain plane (km) with straight edges, shown warped."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.warp = Warp(rng)
        self.outline = outline(rng)
        self.seeds = spread(rng, self.outline)
        nearest_province = cluster(rng, self.seeds, PROVINCES)
        polygons = warped_cells(self.seeds, self.outline, self.warp)
        names = invented_names(rng, DISTRICTS + PROVINCES)
        order = np.lexsort((self.seeds[:, 0], nearest_province))
        ranks = np.unique(nearest_province[order], return_inverse=True)[1]
        self.seeds = self.seeds[order]
        numbers: dict[int, int] = {}
        districts = []
        for place, rank in zip(order, ranks, strict=True):
            numbers[rank] = numbers.get(rank, 0) + 1
            province = f"P{rank + 1}"
            districts.append(District(f"{province}-{numbers[rank]:02d}", names[place], province, polygons[place]))
        self.districts = tuple(districts)
        self.provinces = tuple(
            Province(
                f"P{rank + 1}",
                names[DISTRICTS + rank],
                shapely.union_all([d.polygon for d in districts if d.province == f"P{rank + 1}"]),
            )
            for rank in range(PROVINCES)
        )

    def district_of(self, points: np.ndarray) -> np.ndarray:
        """The index of the district that holds each of the plain points [n, 2] (km)."""
        return cKDTree(self.seeds).query(points)[1]

    def inside(self, points: np.ndarray) -> np.ndarray:
        return shapely.contains_xy(self.outline, points[:, 0], points[:, 1])

    def write(self, path: Path) -> None:
        """GeoJSON with region_id, name, parent_id; provinces first."""

        def feature(id: str, name: str, parent: str | None, polygon: BaseGeometry) -> dict[str, object]:
            return {
                "type": "Feature",
                "properties": {"region_id": id, "name": name, "parent_id": parent},
                "geometry": json.loads(shapely.to_geojson(polygon)),
            }

        features = [feature(p.id, p.name, None, p.polygon) for p in self.provinces]
        features += [feature(d.id, d.name, d.province, d.polygon) for d in self.districts]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def outline(rng: np.random.Generator) -> Polygon:
    """A rounded, lopsided country on the plain plane (km)."""
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 60):
        radius += 0.24 / order**1.15 * rng.uniform(0.2, 1) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return Polygon(np.column_stack([HALF_WIDTH * radius * np.cos(angle), HALF_HEIGHT * radius * np.sin(angle)]))


def uniform_points(rng: np.random.Generator, polygon: Polygon, count: int) -> np.ndarray:
    left, bottom, right, top = polygon.bounds
    points = rng.uniform((left, bottom), (right, top), (count * 3, 2))
    return points[shapely.contains_xy(polygon, points[:, 0], points[:, 1])][:count]


def spread(rng: np.random.Generator, polygon: Polygon) -> np.ndarray:
    """Seeds of the districts: evenly spread by two rounds of Lloyd's relaxation, no more, to stay irregular."""
    cloud = uniform_points(rng, polygon, 20_000)
    seeds = cloud[:DISTRICTS]
    for _ in range(2):
        nearest = cKDTree(seeds).query(cloud)[1]
        seeds = np.array([cloud[nearest == k].mean(axis=0) for k in range(len(seeds))])
    return seeds


def cluster(rng: np.random.Generator, points: np.ndarray, count: int) -> np.ndarray:
    """k-means: the cluster of each of the points [n, 2], with no cluster left with fewer than five points."""
    while True:
        centres = points[rng.choice(len(points), count, replace=False)]
        for _ in range(30):
            nearest = cKDTree(centres).query(points)[1]
            if np.bincount(nearest, minlength=count).min() == 0:
                break
            centres = np.array([points[nearest == k].mean(axis=0) for k in range(count)])
        if np.bincount(nearest, minlength=count).min() >= 5:
            return nearest


def warped_cells(seeds: np.ndarray, around: Polygon, warp: Warp) -> list[BaseGeometry]:
    """The Voronoi cell of each seed within `around`, warped, in degrees; neighbours share every vertex."""
    cells = shapely.voronoi_polygons(MultiPoint(seeds), extend_to=around).geoms
    edges = [shapely.intersection(cell, around).boundary for cell in cells]
    lines = shapely.union_all(edges, grid_size=0.01)  # a grid, so that edges that should meet do
    lines = shapely.segmentize(shapely.line_merge(lines), 2.0)
    bent = shapely.transform(lines, lambda at: np.round(warp.degrees(at), 5))
    polygons = shapely.get_parts(shapely.polygonize(shapely.get_parts(bent)))
    homes = shapely.points(warp.degrees(seeds))
    holders, found = shapely.STRtree(homes).query(polygons, predicate="contains")
    if len(polygons) != len(seeds) or len(set(found.tolist())) != len(seeds):
        raise RuntimeError(f"{len(polygons)} cells for {len(seeds)} seeds: choose another seed")
    by_seed = dict(zip(found.tolist(), holders.tolist(), strict=True))
    return [polygons[by_seed[k]] for k in range(len(seeds))]


def invented_names(rng: np.random.Generator, count: int) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        parts = [str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) + str(rng.choice(CODAS))]
        if rng.random() < 0.35:
            parts.append(str(rng.choice(ONSETS[:15])) + str(rng.choice(VOWELS[:8])))
        name = ("".join(parts) + str(rng.choice(ONSETS[:15])) + str(rng.choice(ENDINGS))).capitalize()
        if 5 <= len(name) <= 9 and name not in names:
            names.append(name)
    return names
