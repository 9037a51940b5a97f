"""One chart or map layer a file: data in, one HoloViews element out."""

import holoviews as hv

hv.extension("bokeh", logo=False)
