"""A monitor run: score what is new, judge a window of a model, keep findings, open and close alerts."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from monitoring.alerts import evaluate
from monitoring.comparison import MIN_ROWS
from monitoring.configuration import Configuration, MonitoredModel
from monitoring.judgement import filter_of, judge, overlaps, reference_filter
from monitoring.report import ReportResult
from monitoring.windows import tile, window_before
from monitoring.worker import Worker
from storage import findings as store
from storage import queries
from storage.alerts import AlertChanges
from storage.batches import known_content
from storage.catalog import versions
from storage.database import Database
from storage.errors import DriftmapError, InvalidFileError, NotFoundError
from storage.ingest import ingest_table
from storage.leases import Lease
from storage.readers.source import file_hash
from storage.records import Alert, BatchResult, Finding, Run, Verdict, Window

log = logging.getLogger("driftmap")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """Monitoring one model: since when it was due (UTC), and the lease that keeps other processes from it."""

    asked: datetime | None = None
    lease: Lease | None = None


ALONE = Task()
REPORT_ROWS = 10_000  # on each side: Evidently takes 2 s for 10,000 rows and minutes for a million
REPORT_SEED = 0
REPORT_METRIC = "evidently_drifted_share"
EVIDENTLY_DRIFT_SHARE = 0.5  # Evidently's own limit for 'the dataset has drifted'


def monitor(
    database: Database, configuration: Configuration, model: str, at: datetime, worker: Worker, task: Task = ALONE
) -> list[Run]:
    """Score new feature tables, judge the window that had ended by `at`, and judge older ones again whose
    predictions or labels changed since. The runs, the last window's first."""
    monitored = configured(configuration, model)
    score_new_tables(database, configuration, monitored, worker)
    window = window_before(at, monitored.window)
    runs = [run_window(database, configuration, monitored, window, at, worker, task)]
    for older, only_labels in changed_windows(database, monitored):
        if older.end < window.end:
            runs.append(
                run_window(database, configuration, monitored, older, at, worker, task, only_labels=only_labels)
            )
    return runs


def backfill(
    database: Database,
    configuration: Configuration,
    model: str,
    start: datetime,
    end: datetime,
    worker: Worker,
    task: Task = ALONE,
) -> list[Run]:
    """Judge every window that tiles the span from `start` to `end`, the oldest first. The runs."""
    monitored = configured(configuration, model)
    score_new_tables(database, configuration, monitored, worker)
    windows = list(tile(start, end, monitored.window))
    if not windows:
        raise DriftmapError(
            f"From {start.date()} to {end.date()} no window of {monitored.window} fits. Name a longer span."
        )
    return [run_window(database, configuration, monitored, window, window.end, worker, task) for window in windows]


def configured(configuration: Configuration, model: str) -> MonitoredModel:
    if model not in configuration.models:
        known = ", ".join(configuration.models) or "none"
        raise NotFoundError(f"No model '{model}' in the configuration. It has: {known}.")
    return configuration.models[model]


def run_window(
    database: Database,
    configuration: Configuration,
    model: MonitoredModel,
    window: Window,
    at: datetime,
    worker: Worker,
    task: Task = ALONE,
    *,
    only_labels: bool = False,
) -> Run:
    """Judge one window as of the moment `at`, and keep what was found, all of it or nothing.

    Judging it again gives the same. Where another process has judged it since this task was asked for, that
    run is the answer.
    A run that fails is kept as 'failed' with its reason, and the findings of the window stay as they were.
    With `only_labels` the drift findings and the report of the last run stay.
    """
    content = queries.content(database, filter_of(model, window, None))  # before, lest a late row be missed
    if (done := judged_meanwhile(database, model, window, " ".join(content), task)) is not None:
        return done
    run = store.start_run(database, model.name, window)
    try:
        report = None if only_labels else start_report(database, model, window, worker)
        found = judge(database, model, window, drift=not only_labels)
        if only_labels:
            found += [each for each in found_before(database, model, window) if not_about_labels(each)]
        page, message = None, ""
        if report is not None:
            page, reported, message = read_report(*report, model, versions(database, model.name)[-1], window)
            found += reported
        predictions = queries.count(database, filter_of(model, window, None))
        if task.lease is not None:
            task.lease.confirm()
        return store.finish_run(
            database,
            run,
            found,
            predictions=predictions,
            content=" ".join(content),
            message=message if predictions else "No predictions in this window.",
            report=page,
            judge_alerts=alert_judge(configuration, model, at),
        )
    except Exception as error:
        if not isinstance(error, DriftmapError):
            log.exception("run %s of %s failed", run.id, model.name)
        return store.fail_run(database, run, str(error) or type(error).__name__)


def judged_meanwhile(database: Database, model: MonitoredModel, window: Window, content: str, task: Task) -> Run | None:
    """The run by which another process judged these rows and labels since the task was asked for."""
    if task.lease is None or task.asked is None:
        return None
    done = store.last_done(database, model.name, window)
    meanwhile = done is not None and done.finished_at is not None and done.finished_at >= task.asked
    return done if meanwhile and done is not None and done.content == content else None


def alert_judge(
    configuration: Configuration, model: MonitoredModel, at: datetime
) -> Callable[[list[Finding], list[Alert]], AlertChanges]:
    """What decides, from findings and open alerts, which alerts open, go on and close."""
    rules, url, channels = configuration.alerts.rules, configuration.url, configuration.alerts.channels
    return lambda latest, opened: evaluate(rules, opened, latest, url, at, channels, str(model.reference))


def found_before(database: Database, model: MonitoredModel, window: Window) -> list[Finding]:
    """The findings that the last run over exactly this window kept."""
    within = store.findings(database, model.name, start=window.start, end=window.end)
    return [each for each in within if (each.window_start, each.window_end) == (window.start, window.end)]


def not_about_labels(finding: Finding) -> bool:
    return finding.metric.startswith(("drift:", REPORT_METRIC))


def changed_windows(database: Database, model: MonitoredModel) -> list[tuple[Window, bool]]:
    """Windows whose rows or labels are no longer those that were judged, with whether it is only the labels."""
    changed = []
    for run in store.last_runs(database, model.name):
        window = Window(run.window_start, run.window_end)
        content = queries.content(database, filter_of(model, window, None))
        if " ".join(content) != run.content:
            changed.append((window, content[0] == run.content.split(" ")[0]))
    return changed


def score_new_tables(
    database: Database, configuration: Configuration, model: MonitoredModel, worker: Worker
) -> list[BatchResult]:
    """Score the feature tables that this program has not scored yet, and store the predictions.

    Raises MissingDependencyError without torch, InvalidFileError for a program or table that cannot be used;
    tables scored before then are kept.
    """
    if model.scoring is None:
        return []
    program = configuration.resolve(model.scoring.program)
    if not program.is_file():
        raise InvalidFileError(f"{program}: no such program; see models.{model.name}.scoring.program")
    known = known_content(database, model.name, "predictions")
    results = []
    for path in sorted(configuration.folder.resolve().glob(model.scoring.tables)):
        content = blake2b(f"{file_hash(path)} {file_hash(program)}".encode(), digest_size=16).hexdigest()
        if content not in known:
            scored = worker.score(program, path, model.stored, model.scoring.passes, model.scoring.batch_size)
            results.append(ingest_table(database, model.stored, scored.result(), path.name, content))
    return results


def start_report(
    database: Database, model: MonitoredModel, window: Window, worker: Worker
) -> tuple[Future[ReportResult], dict[str, Any]] | None:
    """Evidently's report on a seeded sample of the window and of its reference, under way in the worker.

    None where the window is part of the reference or a side has no rows.
    """
    reference = reference_filter(database, model, window)
    current = filter_of(model, window, None)
    among_reference = reference.version is None or queries.count(database, filter_of(model, window, reference.version))
    if among_reference and overlaps(reference, window, reference.version or ""):
        return None
    sides = [queries.sample(database, side, REPORT_ROWS, REPORT_SEED) for side in (current, reference)]
    if not all(len(side) for side in sides):
        return None
    now, before = (pa.Table.from_pandas(side, preserve_index=False) for side in sides)
    sample = {"window": now.num_rows, "reference": before.num_rows, "seed": REPORT_SEED}
    return worker.report(now, before, model.stored), sample


def read_report(
    report: Future[ReportResult], sample: dict[str, Any], model: MonitoredModel, version: str, window: Window
) -> tuple[tuple[str, dict[str, Any]] | None, list[Finding], str]:
    """The page to keep, the finding of what share drifted, and a message where there is no report."""
    try:
        result = report.result()
    except DriftmapError as error:
        return None, [], f"No Evidently report: {error}"
    if result.drifted_share is None:
        return (result.html, sample), [], ""
    verdict = Verdict.WARNING if result.drifted_share >= EVIDENTLY_DRIFT_SHARE else Verdict.OK
    if min(sample["window"], sample["reference"]) < MIN_ROWS:
        verdict = Verdict.INSUFFICIENT
    finding = Finding(
        model=model.name,
        version=version,
        region=None,
        region_name=None,
        window_start=window.start,
        window_end=window.end,
        metric=REPORT_METRIC,
        value=result.drifted_share,
        lower=None,
        upper=None,
        n=sample["window"],
        verdict=verdict,
        details={
            "drifted": result.drifted,
            "columns": result.columns,
            "scores": {
                name: {"score": each.score, "drifted": each.drifted, "method": each.method}
                for name, each in result.scores.items()
            },
            "notes": list(result.notes),
            "sample": sample,
        },
    )
    return (result.html, sample), [finding], ""
