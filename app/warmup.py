"""What the first visitor would otherwise wait for: the basemap read, and datashader's functions compiled."""

import numpy as np

from app.views.basemap import basemap
from app.views.layers import LAYERS


def warm_up() -> None:
    """Read the basemap and shade one cell by density."""
    basemap()
    LAYERS["density"].value({"n": np.ones((1, 1))})
