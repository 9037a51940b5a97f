"""Points per second of RegionLookup and of shapely's STRtree, on the same points, answers compared.

300 regions (24 large ones, and inside them 276 of a deeper level) of 1,000 vertices each.
"""

import argparse
import json
import time

import numpy as np
import shapely

from storage.region_lookup import RegionLookup

VERTICES = 1_000
LARGE, SMALL = (6, 4), (23, 12)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    polygons, keys, levels = regions(options.seed)
    generator = np.random.default_rng(options.seed)
    lon = generator.uniform(59.5, 72.5, options.points)
    lat = generator.uniform(35.5, 44.5, options.points)

    started = time.perf_counter()
    lookup = RegionLookup(polygons, keys, levels)
    build = time.perf_counter() - started
    started = time.perf_counter()
    found = lookup.lookup(lon, lat)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    expected = by_tree(polygons, keys, levels, lon, lat)
    tree = time.perf_counter() - started
    figures = {
        "points": options.points,
        "regions": len(polygons),
        "vertices": VERTICES,
        "build_seconds": round(build, 3),
        "points_per_second": round(options.points / ours),
        "strtree_points_per_second": round(options.points / tree),
        "ratio": round(tree / ours, 1),
        "different_answers": int((found != expected).sum()),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name}: {value}" for name, value in figures.items()))
    if figures["different_answers"]:
        raise SystemExit("the answers differ")


if __name__ == "__main__":
    main()
