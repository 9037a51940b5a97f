"""Shapes on maps: GeoViews in Web Mercator, so that axes say degrees while data stay in metres (EPSG:3857).

Images are plain HoloViews: GeoViews resamples some, and a cell must stay a pixel.
"""

from functools import partial

import geoviews as gv
from cartopy.crs import GOOGLE_MERCATOR

Path = partial(gv.Path, crs=GOOGLE_MERCATOR)
Polygons = partial(gv.Polygons, crs=GOOGLE_MERCATOR)
Labels = partial(gv.Labels, crs=GOOGLE_MERCATOR)
