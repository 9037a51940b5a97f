"""All findings of one window of a model."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd

from monitoring.calibration import BINS
from monitoring.comparison import Comparison
from monitoring.configuration import MonitoredModel, midnight
from monitoring.drift import DriftRule
from monitoring.drift_metrics import Measured, drift_findings, histograms, measure
from monitoring.outcome_metrics import METRICS
from monitoring.tally import tally
from monitoring.units import Units
from storage import queries
from storage.catalog import class_names, versions
from storage.database import Database
from storage.queries import Filter
from storage.records import Finding, Window
from storage.regions import region_set


def judge(database: Database, model: MonitoredModel, window: Window, *, drift: bool = True) -> list[Finding]:
    """The findings of `window`, for every version that predicted in it. Without `drift`, those of labels only."""
    units = Units(region_set(database, model.regions))
    found = []
    for version in versions(database, model.name):
        if queries.count(database, filter_of(model, window, version)):
            comparison = compare(database, model, window, version, units)
            for metric in METRICS:
                found += metric(comparison)
            if drift:
                found += judge_drift(database, comparison)
    return found


def filter_of(model: MonitoredModel, window: Window, version: str | None) -> Filter:
    return Filter(model.name, version=version, start=window.start, end=window.end)


def compare(database: Database, model: MonitoredModel, window: Window, version: str, units: Units) -> Comparison:
    """The window held against its reference: the sums of both, by unit."""
    classes = class_names(database, model.name)
    reference = reference_filter(database, model, window)
    return Comparison(
        model=model,
        version=version,
        window=window,
        units=units,
        classes=classes,
        current=tally(queries.outcomes_by_region(database, filter_of(model, window, version)), len(classes), units),
        reference=tally(queries.outcomes_by_region(database, reference), len(classes), units),
        is_reference=overlaps(reference, window, version),
    )


def reference_filter(database: Database, model: MonitoredModel, window: Window) -> Filter:
    """The predictions that `window` is compared with."""
    reference = model.reference
    if reference.version is not None:
        rows = Filter(model.name, version=reference.version)
        days = queries.outcomes_by_day(database, rows)["day"]
        if days.empty:
            return replace(rows, start=window.start, end=window.end)
        first, last = (pd.Timestamp(day).to_pydatetime() for day in (days.min(), days.max()))
        return replace(rows, start=first, end=last + timedelta(days=1))
    if reference.trailing is not None:
        return Filter(model.name, start=reference.trailing.after(window.start, -1), end=window.start)
    assert reference.from_ is not None
    assert reference.to is not None
    return Filter(model.name, start=midnight(reference.from_), end=midnight(reference.to) + timedelta(days=1))


def overlaps(reference: Filter, window: Window, version: str) -> bool:
    """Whether rows of the window are among those of the reference."""
    assert reference.start is not None
    assert reference.end is not None
    same_version = reference.version is None or reference.version == version
    return same_version and window.start < reference.end and reference.start < window.end


def judge_drift(database: Database, comparison: Comparison) -> list[Finding]:
    """Drift of every feature, of the predicted classes and of confidence."""
    rule = DriftRule()
    return drift_findings(comparison, measure_all(database, comparison, rule), rule)


def measure_all(database: Database, comparison: Comparison, rule: DriftRule) -> Iterator[Measured]:
    model, window = comparison.model, comparison.window
    current = filter_of(model, window, comparison.version)
    reference = reference_filter(database, model, window)
    days = (window.end - window.start).days
    bins = queries.feature_bins(database, model.name)

    def measured(name: str, read: Callable[..., pd.DataFrame], variable: str, width: float | None) -> Measured:
        rows = nothing(current) if comparison.is_reference else current
        counts = histograms(
            read(database, rows, variable), read(database, reference, variable, days), comparison.units, width
        )
        return measure(name, counts, comparison.units, rule)

    for feature, kind in model.features.items():
        if kind == "categorical":
            yield measured(feature, queries.feature_histogram, feature, None)
        elif feature in bins:  # else it never had a value
            yield measured(feature, queries.feature_histogram, feature, bins[feature].width)
    yield measured("predicted", queries.outcome_histogram, "predicted", None)
    yield measured("confidence", queries.outcome_histogram, "confidence", 1 / BINS)


def nothing(filter_: Filter) -> Filter:
    return Filter(filter_.model, start=datetime.max, end=datetime.min)
