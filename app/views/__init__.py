"""One chart or map layer a file: data in, one HoloViews element out."""
