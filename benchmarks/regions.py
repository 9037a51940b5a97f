"""Points per second of RegionLookup and of shapely's STRtree, on the same points, answers compared.

    python benchmarks/regions.py --rows 1000000 --json

300 regions (24 large ones, and inside them 276 of a deeper level) of 1,000 vertices each; --rows points.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import shapely
from harness import Figures, measured, options, ratio
from world import World

from storage.region_lookup import RegionLookup

VERTICES = 1_000
LARGE, SMALL = (6, 4), (23, 12)
TREE_POINTS = 1_000_000  # as many as STRtree is given; it takes fifteen seconds for them


def regions(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Polygons with wavy borders on two levels, over 12 × 8 degrees; their keys; their levels."""
    generator = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    polygons, levels = [], []
    for level, (columns, rows) in enumerate((LARGE, SMALL)):
        width, height = 12 / columns, 8 / rows
        for number in range(columns * rows):
            wave = sum(generator.uniform(-0.08, 0.08) * np.sin(k * angle + generator.uniform(0, 6)) for k in (3, 7, 19))
            x = 60 + (number % columns + 0.5 + (0.5 + wave) * np.cos(angle)) * width
            y = 36 + (number // columns + 0.5 + (0.5 + wave) * np.sin(angle)) * height
            polygons.append(shapely.Polygon(np.column_stack([x, y])))
            levels.append(level)
    return np.array(polygons), np.arange(1, len(polygons) + 1, dtype=np.int32), np.array(levels)


def by_tree(polygons: np.ndarray, keys: np.ndarray, levels: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """The same answers through STRtree.query."""
    shapely.prepare(polygons)
    point, polygon = shapely.STRtree(polygons).query(shapely.points(lon, lat), predicate="intersects")
    order = np.lexsort((-keys[polygon], -shapely.area(polygons)[polygon], levels[polygon]))
    answer = np.zeros(len(lon), dtype=np.int32)
    answer[point[order]] = keys[polygon[order]]  # the last assignment stays
    return answer


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    polygons, keys, levels = regions(world.seed)
    generator = np.random.default_rng(world.seed)
    lon, lat = generator.uniform(59.5, 72.5, world.rows), generator.uniform(35.5, 44.5, world.rows)
    started = time.perf_counter()
    lookup = RegionLookup(polygons, keys, levels)
    build = time.perf_counter() - started
    started = time.perf_counter()
    found = lookup.lookup(lon, lat)
    ours = world.rows / (time.perf_counter() - started)
    compared = min(world.rows, TREE_POINTS)
    started = time.perf_counter()
    expected = by_tree(polygons, keys, levels, lon[:compared], lat[:compared])
    tree = compared / (time.perf_counter() - started)
    return {
        "regions": len(polygons),
        "vertices": VERTICES,
        "build_seconds": round(build, 3),
        "points_per_second": round(ours),
        "baseline": {"what": "shapely.STRtree", "points": compared, "points_per_second": round(tree)},
        "times_faster_than_baseline": ratio(ours, tree),
        "exact": {
            "answers_compared": compared,
            "answers_that_differ": int((found[:compared] != expected).sum()),
        },
    }


def main() -> None:
    measured("regions", options(__doc__), measure)


if __name__ == "__main__":
    main()
