"""What the first visitor would otherwise wait for: the basemap read, and datashader's functions compiled."""

import pandas as pd

from app.views.basemap import basemap
from app.views.layers import SUMS, raster


def warm_up() -> None:
    """Read the basemap and draw one cell on each kind of map."""
    basemap()
    cell = pd.DataFrame({"x": [0], "y": [0], **{name: [1 if name.startswith("n") else 1.0] for name in SUMS}})
    raster(cell, 0)
    raster(cell.assign(predicted=0), 0)
