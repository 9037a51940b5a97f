"""Evidently's own report over all features of one window, guarded against what makes it fail."""

import json
import math
import os
import warnings
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from storage.models import Model

FEW_ROWS = 30
COLUMNS_BESIDE_FEATURES = {"predicted": "categorical", "confidence": "numeric"}

NOTHING = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>No report</title>
<style>body {{font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em}}</style>
</head><body><h1>No report for {model}</h1>{notes}</body></html>
"""


@dataclass(frozen=True, slots=True)
class ColumnScore:
    """Evidently's drift score of a column, its verdict, and the method and threshold it chose."""

    score: float | None
    drifted: bool
    method: str
    threshold: float | None


@dataclass(frozen=True, slots=True)
class ReportResult:
    """A page of HTML and what it says: how many of the `columns` compared have `drifted`, and each score.

    `drifted_share` is None where no column could be compared. `notes` say what was left out, and why.
    """

    html: str
    drifted_share: float | None
    drifted: int
    columns: int
    notes: tuple[str, ...] = ()
    scores: dict[str, ColumnScore] = field(default_factory=dict)


def evidently_report(current: pd.DataFrame, reference: pd.DataFrame, model: Model) -> ReportResult:
    """Evidently's data drift report (and classification, where both sides have labels) of two samples.

    The columns are the model's features, `predicted`, `label` (missing where unknown) and `confidence`.
    Evidently chooses the method for each column. What it cannot take is left out and named in `notes`:
    columns without values, columns of one and the same value; infinite values count as missing. Where
    nothing is left, the page says why. The page needs no internet. Takes 6 s for the first import.
    """
    notes: list[str] = []
    sizes = {"window": len(current), "reference": len(reference)}
    for side, rows in sizes.items():
        if rows == 0:
            notes.append(f"The {side} has no predictions, so there is nothing to compare.")
    if notes:
        return nothing(model, notes)
    notes += [
        f"The {side} has few rows ({rows}): on so few, Evidently's scores are large even without any drift."
        for side, rows in sizes.items()
        if rows < FEW_ROWS
    ]
    kinds = comparable(current, reference, model, notes)
    if not kinds:
        notes.append("No column is left to compare.")
        return nothing(model, notes)
    now, before = typed(current, kinds), typed(reference, kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently and what it imports warn of their own affairs
        with np.errstate(all="ignore"):
            return run(now, before, kinds, classification(now, before, current, reference, notes), model, notes)


def nothing(model: Model, notes: list[str]) -> ReportResult:
    return ReportResult(NOTHING.format(model=escape(model.name), notes=paragraphs(notes)), None, 0, 0, tuple(notes))


def comparable(current: pd.DataFrame, reference: pd.DataFrame, model: Model, notes: list[str]) -> dict[str, str]:
    """The kind of each column that both sides can be compared on. The others are noted."""
    kinds: dict[str, str] = {}
    for name, kind in {**model.features, **COLUMNS_BESIDE_FEATURES}.items():
        if name not in current.columns or name not in reference.columns:
            if name in model.features:
                notes.append(f"{name} is left out: there is no such column.")
            continue
        sides = {"window": values(current[name], kind), "reference": values(reference[name], kind)}
        empty = [side for side, column in sides.items() if column.notna().sum() == 0]
        if empty:
            if name in model.features or len(empty) == 1:
                notes.append(f"{name} is left out: it has no values in the {' and the '.join(empty)}.")
            continue
        if len(set(sides["window"].dropna()) | set(sides["reference"].dropna())) == 1:
            notes.append(f"{name} is left out: it has one and the same value throughout.")
            continue
        if kind == "numeric":
            infinite = sum(count_infinite(frame[name]) for frame in (current, reference))
            if infinite:
                notes.append(f"{name}: {infinite} infinite values count as missing.")
        kinds[name] = kind
    return kinds


def values(column: pd.Series, kind: str) -> pd.Series:
    """The column as Evidently takes it: finite numbers, or text; missing where it is neither."""
    if kind == "numeric":
        return pd.to_numeric(column, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)
    texts = np.array([None if pd.isna(value) else str(value) for value in column], dtype=object)
    return pd.Series(texts, index=column.index, dtype=object)


def count_infinite(column: pd.Series) -> int:
    return int(np.isinf(pd.to_numeric(column, errors="coerce").astype("float64")).sum())


def typed(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: values(frame[name], kind) for name, kind in kinds.items()}).reset_index(drop=True)


def classification(
    now: pd.DataFrame,
    before: pd.DataFrame,
    current: pd.DataFrame,
    reference: pd.DataFrame,
    notes: list[str],
) -> tuple[str, ...]:
    """The classes to report accuracy on; none where Evidently cannot. Puts the labels into both frames.

    Evidently raises KeyError for a class that is labelled in the window and not in the reference.
    """
    columns = ("predicted", "label")
    if not all(name in frame.columns for name in columns for frame in (current, reference)):
        return ()
    classes: set[str] = set()
    labels: list[set[str]] = []
    for frame, source in ((now, current), (before, reference)):
        for name in columns:
            frame[name] = values(source[name], "categorical").to_numpy()
        labels.append(set(frame["label"].dropna()))
        classes |= labels[-1] | set(frame["predicted"].dropna())
    missing = [side for side, found in zip(("window", "reference"), labels, strict=True) if not found]
    unknown = labels[0] - labels[1]
    if missing:
        notes.append(f"Accuracy is left out: there are no labels in the {' and the '.join(missing)}.")
    elif unknown:
        named = ", ".join(sorted(unknown))
        notes.append(f"Accuracy is left out: the reference has no labels of {named}.")
    elif len(classes) < 2:
        notes.append("Accuracy is left out: there is only one class.")
    else:
        return tuple(sorted(classes))
    for frame in (now, before):
        frame.drop(columns="label", inplace=True)
    return ()


def run(
    now: pd.DataFrame,
    before: pd.DataFrame,
    kinds: dict[str, str],
    classes: tuple[str, ...],
    model: Model,
    notes: list[str],
) -> ReportResult:
    """The report with classification; without, where Evidently fails on it; none, where it fails again."""
    try:
        snapshot = take(now, before, kinds, classes)
    except Exception as error:
        if classes:
            notes.append(f"Accuracy is left out: Evidently could not compute it ({said(error)}).")
            return run(now, before, kinds, (), model, notes)
        notes.append(f"Evidently could not compare the two samples ({said(error)}).")
        return nothing(model, notes)
    share, drifted, scores = read(json.loads(snapshot.json()))
    page = with_notes(snapshot.get_html_str(as_iframe=False), notes)
    return ReportResult(page, share, drifted, len(scores), tuple(notes), scores)


def take(now: pd.DataFrame, before: pd.DataFrame, kinds: dict[str, str], classes: tuple[str, ...]) -> Any:
    """Evidently's snapshot. Every column is declared: left to guess, it takes few-valued numbers for text."""
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Report
    from evidently.presets import ClassificationPreset, DataDriftPreset

    task: Any = None
    if len(classes) == 2:  # with two classes Evidently asks which one is positive, and takes 1 if not told
        task = BinaryClassification(target="label", prediction_labels="predicted", pos_label=classes[1])
    elif classes:
        task = MulticlassClassification(target="label", prediction_labels="predicted")
    categorical = [name for name, kind in kinds.items() if kind == "categorical"]
    categorical += [name for name in ("predicted", "label") if classes and name not in categorical]
    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "numeric"],
        categorical_columns=categorical,
        classification=[task] if task else None,
    )
    presets = [DataDriftPreset(columns=list(kinds)), *([ClassificationPreset()] if task else [])]
    sides = (Dataset.from_pandas(frame, data_definition=definition) for frame in (now, before))
    return Report(presets, include_tests=True).run(*sides)


def read(snapshot: dict[str, Any]) -> tuple[float | None, int, dict[str, ColumnScore]]:
    """Share and number of drifted columns, and the score of each. Drift verdicts are only in the tests."""
    failed = {test["metric_config"]["metric_id"] for test in snapshot["tests"] if test["status"] == "FAIL"}
    share, drifted, scores = None, 0, {}
    for metric in snapshot["metrics"]:
        settings = metric["config"]
        if settings["type"].endswith(":DriftedColumnsCount"):
            share, drifted = finite(metric["value"]["share"]), int(metric["value"]["count"])
        elif settings["type"].endswith(":ValueDrift"):
            scores[settings["column"]] = ColumnScore(
                finite(metric["value"]),
                metric["id"] in failed,
                str(settings.get("method")),
                settings.get("threshold"),
            )
    return share, drifted, scores


def finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def with_notes(page: str, notes: list[str]) -> str:
    """The page with the notes above its content."""
    head, body, rest = page.partition("<body>")
    if not notes or not body:
        return page
    style = "font: 14px/1.5 system-ui, sans-serif; padding: 12px 24px"
    return f'{head}{body}<div style="{style}">{paragraphs(notes)}</div>{rest}'


def paragraphs(notes: list[str]) -> str:
    return "".join(f"<p>{escape(note)}</p>" for note in notes)


def said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
