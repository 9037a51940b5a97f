"""One chart or map layer a file: data in, one HoloViews element out."""

import geoviews as gv
import holoviews as hv

gv.extension("bokeh", logo=False)
# Thousands of shapes at most: the plain canvas is as quick, and works in every browser.
hv.renderer("bokeh").webgl = False
