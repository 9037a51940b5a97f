import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from storage.readers.geometry import geodesic_area

GEOD = Geod(ellps="WGS84")


def by_pyproj(polygon: shapely.Polygon) -> float:
    return abs(GEOD.geometry_area_perimeter(shapely.orient_polygons(polygon, exterior_cw=False))[0])


@settings(max_examples=150, deadline=None)
@given(
    st.floats(-179, 179),
    st.floats(-85, 85),
    st.sampled_from([0.0005, 0.01, 0.05, 0.3, 2.0]),
    st.integers(1, 30),
    st.booleans(),
)
def test_areas_are_those_of_pyproj(lon, lat, radius, segments, holed):
    polygon = shapely.Point(lon, lat).buffer(radius, quad_segs=segments)
    if holed:
        polygon -= shapely.Point(lon, lat).buffer(radius / 2, quad_segs=segments)
    assert geodesic_area(np.array([polygon]))[0] == pytest.approx(by_pyproj(polygon), rel=1e-7)


def test_multipolygons_the_date_line_and_poles():
    two = shapely.MultiPolygon([shapely.box(0, 0, 0.05, 0.05), shapely.box(1, 1, 1.05, 1.05)])
    date_line = shapely.Polygon([(179.97, 0), (-179.97, 0), (-179.97, 0.05), (179.97, 0.05)])
    cap = shapely.Polygon([(lon, 80) for lon in np.arange(-180, 180, 0.05)])
    for polygon in (two, date_line, cap):
        assert geodesic_area(np.array([polygon]))[0] == pytest.approx(by_pyproj(polygon), rel=1e-7)


def test_nothing_has_no_area():
    assert geodesic_area(np.array([], dtype=object)).tolist() == []
    assert geodesic_area(np.array([None, shapely.Polygon()])).tolist() == [0, 0]
