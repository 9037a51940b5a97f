"""Tables of cells, as the store gives them, in the arrays that layers are drawn from."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from storage.looks import MULTIPLE, Raster

SUMS = ("n", "n_labelled", "n_correct", "n_confidence", "sum_confidence", "n_entropy", "sum_entropy")


def raster(cells: pd.DataFrame, level: int, classes: int = 0) -> Raster:
    """What `storage.queries.cells` answered at `level` as arrays; with the number of `classes`, `class_cells`."""
    x, y = (cells[name].to_numpy(np.int64) for name in ("x", "y"))
    left, right, top, bottom = (int(x.min()), int(x.max()), int(y.min()), int(y.max())) if len(cells) else (0, 0, 0, 0)
    left, top = left // MULTIPLE * MULTIPLE, top // MULTIPLE * MULTIPLE
    columns, rows = (-(-(last + 1 - first) // MULTIPLE) * MULTIPLE for first, last in ((left, right), (top, bottom)))

    def scattered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        image = np.zeros((rows, columns))
        np.add.at(image, (y - top, x - left), values)
        return image

    sums = {name: scattered(cells[name].to_numpy(float)) for name in SUMS}
    if not classes:
        return Raster(level, left, top, sums)
    counts = [cells[f"n_{code}"].to_numpy(float) if len(cells) else np.empty(0) for code in range(classes)]
    return Raster(level, left, top, sums, np.stack([scattered(count) for count in counts]))
