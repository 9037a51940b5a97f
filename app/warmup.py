"""What the first visitor would otherwise wait for: the basemap read, and loops over numbers compiled."""

import numpy as np

from app.views.basemap import basemap
from app.views.layers import LAYERS
from storage.looks import warm_up as compile_loops


def warm_up() -> None:
    """Read the basemap, shade one cell by density, and add up no rows."""
    basemap()
    LAYERS["density"].value({"n": np.ones((1, 1))})
    compile_loops()
