"""Both sides of one figure in one region: read as the monitor reads them."""

from dataclasses import replace

from app.views.distribution import Distribution, of_bins, of_categories
from monitoring.calibration import BINS
from monitoring.configuration import Configuration
from monitoring.judgement import filter_of, reference_filter
from monitoring.run import configured
from storage.catalog import class_names
from storage.database import Database
from storage.errors import NotFoundError
from storage.queries import Bins, feature_bins, feature_histogram, outcome_histogram
from storage.records import Finding, Window


def read_distribution(database: Database, configuration: Configuration, finding: Finding) -> Distribution:
    """What the finding of drift `finding` compared: its window and the reference, in its region.

    Raises NotFoundError where the model or the feature is not configured any more.
    """
    model = configured(configuration, finding.model)
    window = Window(finding.window_start, finding.window_end)
    name = finding.metric.removeprefix("drift:")
    current = replace(filter_of(model, window, finding.version or None), region=finding.region)
    reference = replace(reference_filter(database, model, window), region=finding.region)
    if name == "predicted":
        before, now = (outcome_histogram(database, side, "predicted") for side in (reference, current))
        names = {str(code): label for code, label in enumerate(class_names(database, model.name))}
        return of_categories("predicted class", before, now, names)
    if name == "confidence":
        before, now = (outcome_histogram(database, side, "confidence") for side in (reference, current))
        return of_bins(name, before, now, Bins(0.0, 1 / BINS))
    if name not in model.features:
        raise NotFoundError(f"The model '{model.name}' has no feature '{name}' any more.")
    before, now = (feature_histogram(database, side, name) for side in (reference, current))
    if model.features[name] == "categorical":
        return of_categories(name, before, now)
    return of_bins(name, before, now, feature_bins(database, model.name).get(name, Bins(0.0, 1.0)))
