"""Make app/assets/basemap.npz, the land and the country borders under every map.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python scripts/make_basemap.py package/countries-10m.json app/assets/basemap.npz

The source is Natural Earth 1:10m (public domain) as the npm package world-atlas carries it, TopoJSON on a
grid of 0.0036° × 0.0017°. Lines are thinned to about 500 m and kept as differences of whole grid steps.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

TOLERANCE = 0.004  # degrees
STEP = 0.001  # degrees, of the file written
SMALLEST = 2e-4  # square degrees: islets of less are dropped

Ring = npt.NDArray[np.float64]


def read_arcs(topology: dict) -> list[Ring]:
    scale, translate = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    return [np.cumsum(np.array(arc), axis=0) * scale + translate for arc in topology["arcs"]]


def join(arcs: list[Ring], indices: list[int]) -> Ring:
    """One ring of arcs: a negative index means the arc ~index, backwards."""
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def rings(geometry: dict) -> Iterator[list[list[int]]]:
    yield from [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry.get("arcs", [])


def land(topology: dict, arcs: list[Ring]) -> list[shapely.Polygon]:
    found = []
    for geometry in topology["objects"]["land"]["geometries"]:
        for polygon in rings(geometry):
            shell, *holes = (join(arcs, ring) for ring in polygon)
            if len(shell) > 3:
                found.append(shapely.Polygon(shell, [hole for hole in holes if len(hole) > 3]))
    whole = shapely.make_valid(shapely.simplify(np.array(found), TOLERANCE, preserve_topology=True))
    parts = shapely.get_parts(shapely.union_all(whole))
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area >= SMALLEST]


def borders(topology: dict, arcs: list[Ring]) -> list[shapely.LineString]:
    """Arcs that two countries share."""
    uses: Counter[int] = Counter()
    for geometry in topology["objects"]["countries"]["geometries"]:
        mine = {i if i >= 0 else ~i for polygon in rings(geometry) for ring in polygon for i in ring}
        uses.update(mine)
    shared = [shapely.LineString(arcs[i]) for i, countries in uses.items() if countries > 1]
    merged = shapely.get_parts(shapely.line_merge(shapely.MultiLineString(shared)))
    return list(shapely.simplify(merged, TOLERANCE))


def pack(parts: list[npt.NDArray[np.float64]]) -> dict[str, npt.NDArray]:
    """Lines one after the other: how long each is, its first point, and the steps between points."""
    whole = [np.round(part / STEP).astype(np.int32) for part in parts]
    return {
        "length": np.array([len(part) for part in whole], np.int32),
        "first": np.array([part[0] for part in whole], np.int32),
        "steps": np.concatenate([np.diff(part, axis=0) for part in whole]).T.copy(),
    }


def main(source: Path, target: Path) -> None:
    topology = json.loads(source.read_text())
    arcs = read_arcs(topology)
    polygons = land(topology, arcs)
    shells = [np.array(ring.coords) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    owner = [i for i, polygon in enumerate(polygons) for _ in range(1 + len(polygon.interiors))]
    lines = [np.array(line.coords) for line in borders(topology, arcs)]
    packed = {
        **{f"land_{key}": value for key, value in pack(shells).items()},
        "land_polygon": np.array(owner, np.int32),
        **{f"borders_{key}": value for key, value in pack(lines).items()},
    }
    np.savez_compressed(target, allow_pickle=False, step=np.float64(STEP), **packed)
    print(f"{target}: {len(polygons)} polygons, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: make_basemap.py countries-10m.json basemap.npz")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
