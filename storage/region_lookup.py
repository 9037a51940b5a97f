"""Which region a point lies in, for millions of points."""

import numpy as np
import shapely

_CELLS = 2048  # a side; the two tables of 4 bytes a cell stay below 40 MB
_SMALLEST_CELL = 1e-9  # degrees: below this, rounding of coordinates would matter


class RegionLookup:
    """Finds the deepest region that covers a point.

    A grid over the regions' extent knows, for each cell, the one region (or none) that holds all of
    it. Only in cells that a border crosses are points tested against polygons.
    """

    def __init__(self, geometries: np.ndarray, keys: np.ndarray, levels: np.ndarray) -> None:
        """`geometries`: valid (multi)polygons in degrees, (n,); `keys` above 0 and `levels`, (n,) integers.

        Missing and empty geometries cover nothing. The larger a level, the deeper the region.
        """
        geometries = np.asarray(geometries, dtype=object)
        keys, levels = np.asarray(keys, dtype=np.int32), np.asarray(levels)
        # From the least to the most wanted; the position in this order, from 1, is a region's rank.
        order = np.lexsort((-keys.astype(np.int64), -shapely.area(geometries), levels))
        order = order[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))[order]]
        self._geometries = geometries[order]
        self._keys = np.concatenate([[0], keys[order]]).astype(np.int32)
        shapely.prepare(self._geometries)
        self._bounds = shapely.bounds(self._geometries).reshape(-1, 4)
        if len(order):
            self._lay_grid()
            self._fill_grid()

    def lookup(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """The key of the deepest region that covers each point (degrees), border included: int32, (n,).

        Of equally deep regions the smaller (in square degrees) wins, then the smaller key. 0 where no
        region covers the point, or a coordinate is not a number.
        """
        lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        rank = np.zeros(len(lon), dtype=np.int32)
        if not len(self._geometries):
            return rank
        column, row = (lon - self._west) * self._scale, (lat - self._south) * self._scale
        # A comparison with NaN is false, so this refuses missing coordinates too.
        within = np.flatnonzero((column >= 0) & (row >= 0) & (column < self._columns) & (row < self._rows))
        cell = row[within].astype(np.int32) * np.int32(self._columns) + column[within].astype(np.int32)
        found = self._covering[cell]
        mixed = np.flatnonzero(found < 0)
        found[mixed] = self._test(lon[within[mixed]], lat[within[mixed]], ~found[mixed])
        rank[within] = found
        return self._keys[rank]

    def _test(self, lon: np.ndarray, lat: np.ndarray, border_cell: np.ndarray) -> np.ndarray:
        """The ranks for points in cells with a border: the first candidate that covers the point."""
        rank = self._otherwise[border_cell]
        candidate, end = self._first[border_cell], self._first[border_cell + 1]
        open_points = np.arange(len(lon))
        while len(open_points):
            tried = self._candidates[candidate[open_points]]
            # A prepared polygon for each point: GEOS goes from one to the next without coming back to Python.
            covered = shapely.intersects_xy(self._geometries[tried - 1], lon[open_points], lat[open_points])
            rank[open_points[covered]] = tried[covered]
            open_points = open_points[~covered]
            candidate[open_points] += 1
            open_points = open_points[candidate[open_points] < end[open_points]]
        return rank

    def _covers(self, rank: int, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        west, south, east, north = self._bounds[rank - 1]
        covered = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        covered[covered] = shapely.intersects_xy(self._geometries[rank - 1], lon[covered], lat[covered])
        return covered

    def _lay_grid(self) -> None:
        west, south = self._bounds[:, :2].min(axis=0)
        east, north = self._bounds[:, 2:].max(axis=0)
        size = max((east - west) / _CELLS, (north - south) / _CELLS, _SMALLEST_CELL)
        # Empty cells all around, so that nothing outside the grid can touch a region.
        self._west, self._south, self._scale = west - size, south - size, 1 / size
        self._columns = int((east - west) / size) + 4
        self._rows = int((north - south) / size) + 4
        farthest = np.abs([west, south, east, north]).max()
        self._margin = 1e-6 + 64 * np.spacing(farthest) / size

    def _fill_grid(self) -> None:
        covering = np.zeros(self._rows * self._columns, dtype=np.int32)
        cells, ranks = [], []
        for rank in range(1, len(self._geometries) + 1):
            border, inside = self._cells_of(rank)
            covering[inside] = rank  # ranks rise, so the most wanted region stays
            cells.append(border)
            ranks.append(np.full(len(border), rank, dtype=np.int32))
        cell, candidate = np.concatenate(cells), np.concatenate(ranks)
        wanted = candidate > covering[cell]
        cell, candidate = cell[wanted], candidate[wanted]
        order = np.lexsort((-candidate, cell))
        cell, self._candidates = cell[order], candidate[order]
        mixed, first = np.unique(cell, return_index=True)
        self._first = np.append(first, len(cell))
        self._otherwise = covering[mixed]
        covering[mixed] = ~np.arange(len(mixed), dtype=np.int32)
        self._covering = covering

    def _cells_of(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of the cells that the region's border may touch, and of those wholly inside it."""
        west, south, east, north = self._bounds[rank - 1]
        left, right = (int((x - self._west) * self._scale) for x in (west, east))
        bottom, top = (int((y - self._south) * self._scale) for y in (south, north))
        left, right, bottom, top = left - 1, right + 1, bottom - 1, top + 1
        touched = np.zeros((top - bottom + 1, right - left + 1), dtype=bool)
        self._mark_border(touched, self._geometries[rank - 1], left, bottom)

        # Between two border cells of a row, all cells are inside or all are outside: test the first.
        starts = ~touched
        starts[:, 1:] &= touched[:, :-1]
        rows, columns = np.nonzero(starts)
        centre_x = self._west + (columns + left + 0.5) / self._scale
        centre_y = self._south + (rows + bottom + 0.5) / self._scale
        is_inside = self._covers(rank, centre_x, centre_y)
        run = np.cumsum(starts.ravel()).reshape(touched.shape) - 1
        inside = ~touched & is_inside[run]
        flat = [
            (rows + bottom) * self._columns + columns + left
            for rows, columns in (np.nonzero(touched), np.nonzero(inside))
        ]
        return flat[0], flat[1]

    def _mark_border(self, touched: np.ndarray, geometry: shapely.Geometry, left: int, bottom: int) -> None:
        rings = shapely.get_rings(shapely.get_parts(geometry))
        points, ring = shapely.get_coordinates(rings, return_index=True)
        grid = (points - (self._west, self._south)) * self._scale - (left, bottom)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        start, step = grid[edge], grid[edge + 1] - grid[edge]
        # Pieces of at most a cell's length: the box around a piece is then hardly larger than the piece.
        pieces = np.maximum(np.ceil(np.abs(step).max(axis=1)), 1).astype(np.int64)
        owner = np.repeat(np.arange(len(edge)), pieces)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = start[owner] + step[owner] * (number / pieces[owner])[:, None]
        finish = start[owner] + step[owner] * ((number + 1) / pieces[owner])[:, None]
        low = np.floor(np.minimum(begin, finish) - self._margin).astype(np.int64)
        high = np.floor(np.maximum(begin, finish) + self._margin).astype(np.int64)
        for across in range(int((high - low)[:, 0].max()) + 1):
            for up in range(int((high - low)[:, 1].max()) + 1):
                column = np.minimum(low[:, 0] + across, high[:, 0])
                row = np.minimum(low[:, 1] + up, high[:, 1])
                touched[row, column] = True
