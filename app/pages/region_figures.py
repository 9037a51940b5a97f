"""What the page of one region is drawn from."""

from dataclasses import dataclass, field, replace

import geopandas as gpd

from app.selection import Box, Selection
from app.standings import Standing
from app.views.choropleth import shapes_of
from app.views.places import Place, level_of, places_of
from monitoring.configuration import Configuration
from monitoring.judgement import filter_of, reference_filter
from monitoring.run import configured
from monitoring.tally import Tally, tally
from storage import queries
from storage.alerts import alerts
from storage.catalog import class_names, stored_model
from storage.database import Database
from storage.findings import findings
from storage.records import Alert, Finding, Window
from storage.regions import region_geometries


@dataclass(frozen=True)
class RegionFigures:
    """Figures of one region, which lies in `box` (EPSG:3857 metres).

    `labelled` is the last judged window with labels; None: there is none, and what is counted over it is empty.
    """

    accuracy: list[Finding]
    confidence: list[Finding]
    box: Box
    geometries: gpd.GeoDataFrame
    classes: list[str]
    labelled: Window | None = None
    current: Tally | None = None
    reference: Tally | None = None
    places: list[Place] = field(default_factory=list)


def read_region(
    database: Database, configuration: Configuration, selection: Selection, standing: Standing
) -> RegionFigures:
    """The figures of the region of `standing`."""
    assert standing.region is not None
    region, model = standing.region.id, configured(configuration, selection.model)

    def over_time(metric: str) -> list[Finding]:
        found = findings(database, model.name, region=region, metric=metric)
        return one_a_window([each for each in found if selection.version in (None, each.version)])

    classes = class_names(database, model.name)
    geometries = region_geometries(database, stored_model(database, model.name).regions)
    box = shapes_of(geometries, [region]).box
    figures = RegionFigures(over_time("accuracy"), over_time("confidence"), box, geometries, classes)
    if standing.accuracy is None or standing.accuracy.n == 0:
        return figures
    window = Window(standing.accuracy.window_start, standing.accuracy.window_end)
    wanted = replace(filter_of(model, window, selection.version), region=region)
    before = replace(reference_filter(database, model, window), region=region)
    current = tally(queries.outcomes(database, wanted), len(classes))
    level = level_of(box, int(current.n_labelled))
    return replace(
        figures,
        labelled=window,
        current=current,
        reference=tally(queries.outcomes(database, before), len(classes)),
        places=places_of(queries.cells(database, wanted, level), level),
    )


def open_alerts_of(database: Database, model: str, region: str) -> list[Alert]:
    return [each for each in alerts(database, "open", model) if each.region == region]


def one_a_window(found: list[Finding]) -> list[Finding]:
    """Of several versions in one window the one with the most rows."""
    kept: dict[Window, Finding] = {}
    for each in found:
        window = Window(each.window_start, each.window_end)
        if window not in kept or each.n > kept[window].n:
            kept[window] = each
    return list(kept.values())
