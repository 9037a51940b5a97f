"""Runs of the monitor, what they found, and the reports they kept."""

import gzip
import json
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from types import EllipsisType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from storage.alerts import AlertChanges, apply_changes, open_alerts
from storage.database import Database
from storage.errors import NotFoundError
from storage.records import Alert, Finding, Run, Verdict, Window

JudgeAlerts = Callable[[list[Finding], list[Alert]], AlertChanges]

RUN_COLUMNS = ", ".join(field.name for field in fields(Run))
FINDING_COLUMNS = (
    "model, version, region, region_name, window_start, window_end, metric,"
    " value, lower, upper, n, verdict, reference, details, run"
)
FINDING_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("model", "version", "region", "region_name")]
    + [(name, pa.timestamp("us")) for name in ("window_start", "window_end")]
    + [("metric", pa.string())]
    + [(name, pa.float64()) for name in ("value", "lower", "upper")]
    + [("n", pa.int64()), ("verdict", pa.string()), ("reference", pa.float64())]
    + [("details", pa.string()), ("run", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Report:
    """One saved report, without its page. `sample`: rows on each side, seed."""

    id: str
    run: str
    model: str
    window_start: datetime
    window_end: datetime
    created_at: datetime
    sample: dict[str, Any]


def start_run(db: Database, model: str, window: Window) -> Run:
    """A new run over `window` (half-open) of `model`, kept as 'running'."""
    run = Run(uuid.uuid4().hex, model, window.start, window.end, now(), None, "running", "", 0, 0)
    values = [getattr(run, field.name) for field in fields(Run)]
    db.write(
        lambda connection: connection.execute(
            f"INSERT INTO run ({RUN_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values
        )
    )
    return run


def finish_run(
    db: Database,
    run: Run,
    findings: Sequence[Finding],
    *,
    predictions: int = 0,
    content: str = "",
    message: str = "",
    report: tuple[str, dict[str, Any]] | None = None,
    judge_alerts: JudgeAlerts | None = None,
) -> Run:
    """The finished run, after its findings replaced those of its model and window, in one transaction.

    `report` is a page of HTML and what it was made from. `judge_alerts` is given the findings that
    count now (`judged`) and the model's open alerts; what it answers is written in the same transaction.
    """
    done = replace(
        run,
        finished_at=now(),
        outcome="done",
        message=message,
        predictions=predictions,
        content=content,
        findings=len(findings),
    )
    table = finding_table(findings, run.id)

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "DELETE FROM finding WHERE model = ? AND window_start = ? AND window_end = ?",
            [run.model, run.window_start, run.window_end],
        )
        if table.num_rows:
            connection.register("new_finding", table)
            connection.execute(f"INSERT INTO finding ({FINDING_COLUMNS}) SELECT {FINDING_COLUMNS} FROM new_finding")
            connection.unregister("new_finding")
        if report is not None:
            write_report(connection, run, *report)
        if judge_alerts is not None:
            apply_changes(connection, judge_alerts(judged(connection, run.model), open_alerts(connection, run.model)))
        close_run(connection, done)

    db.write(work)
    return done


def fail_run(db: Database, run: Run, message: str) -> Run:
    """The run, kept as 'failed' with what went wrong. Earlier findings of its window stay."""
    failed = replace(run, finished_at=now(), outcome="failed", message=" ".join(message.split()))
    db.write(lambda connection: close_run(connection, failed))
    return failed


def close_run(connection: duckdb.DuckDBPyConnection, run: Run) -> None:
    connection.execute(
        "UPDATE run SET finished_at = ?, outcome = ?, message = ?, predictions = ?, findings = ?, content = ?"
        " WHERE id = ?",
        [run.finished_at, run.outcome, run.message, run.predictions, run.findings, run.content, run.id],
    )


def mark_interrupted(db: Database, model: str | None = None) -> int:
    """How many runs (of `model` where given) a process that ended left 'running'; they are 'interrupted' now.

    To be called as a monitoring process starts, before its first run.
    """
    which = "WHERE outcome = 'running' AND model = coalesce(?, model)"

    def work(connection: duckdb.DuckDBPyConnection) -> int:
        running = connection.execute(f"SELECT count(*) FROM run {which}", [model]).fetchall()[0][0]
        connection.execute(
            f"UPDATE run SET outcome = 'interrupted', finished_at = ?, message = ? {which}",
            [now(), "The process ended before the run did. Earlier findings of the window stay.", model],
        )
        return int(running)

    return db.write(work)


def runs(db: Database, model: str | None = None, limit: int = 100, offset: int = 0) -> list[Run]:
    """The last `limit` runs (of `model` where given), newest first, from the one at `offset` on."""
    where, parameters = ("WHERE model = ?", [model]) if model is not None else ("", [])
    rows = db.rows(
        f"SELECT {RUN_COLUMNS} FROM run {where} ORDER BY started_at DESC, id LIMIT ? OFFSET ?",
        [*parameters, limit, offset],
    )
    return [Run(*row) for row in rows]


def last_runs(db: Database, model: str) -> list[Run]:
    """For each window of `model` that was judged, its last run that was done; the oldest window first."""
    rows = db.rows(
        f"SELECT {RUN_COLUMNS} FROM run WHERE model = ? AND outcome = 'done'"
        " QUALIFY row_number() OVER (PARTITION BY window_start, window_end ORDER BY started_at DESC, id) = 1"
        " ORDER BY window_start, window_end",
        [model],
    )
    return [Run(*row) for row in rows]


def last_done(db: Database, model: str, window: Window) -> Run | None:
    """The last run over exactly this window of `model` that was done, or None."""
    rows = db.rows(
        f"SELECT {RUN_COLUMNS} FROM run WHERE model = ? AND window_start = ? AND window_end = ?"
        " AND outcome = 'done' ORDER BY started_at DESC LIMIT 1",
        [model, window.start, window.end],
    )
    return Run(*rows[0]) if rows else None


def findings(
    db: Database,
    model: str | None = None,
    *,
    region: str | EllipsisType | None = ...,
    metric: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    latest: bool = False,
) -> list[Finding]:
    """Findings in order of window, version, region (the whole first) and metric.

    `region` is an id, None for the whole, or left out for all. A `metric` may end in * to match any
    ending. `start` and `end` keep the windows that lie within. `latest` keeps, for each model, version,
    region and metric, the finding of its last window among those.
    """
    conditions: list[str] = []
    parameters: list[Any] = []
    if model is not None:
        conditions.append("model = ?")
        parameters.append(model)
    if region is None:
        conditions.append("region IS NULL")
    elif not isinstance(region, EllipsisType):
        conditions.append("region = ?")
        parameters.append(region)
    if metric is not None:
        conditions.append("starts_with(metric, ?)" if metric.endswith("*") else "metric = ?")
        parameters.append(metric.removesuffix("*"))
    if start is not None:
        conditions.append("window_start >= ?")
        parameters.append(start)
    if end is not None:
        conditions.append("window_end <= ?")
        parameters.append(end)
    where = "WHERE " + " AND ".join(conditions) if conditions else ""
    last = (
        "QUALIFY row_number() OVER (PARTITION BY model, version, region, metric"
        " ORDER BY window_end DESC, window_start DESC) = 1"
    )
    rows = db.rows(
        f"SELECT {FINDING_COLUMNS} FROM finding {where} {last if latest else ''}"
        " ORDER BY window_start, window_end, model, version, region NULLS FIRST, metric",
        parameters,
    )
    return [finding_of(row) for row in rows]


def judged(connection: duckdb.DuckDBPyConnection, model: str) -> list[Finding]:
    """For each region and metric of `model` the findings of the last window that had enough data.

    One for each version in that window. Labels come weeks late, so the last window differs by metric.
    """
    rows = connection.execute(
        f"SELECT {FINDING_COLUMNS} FROM finding WHERE model = ? AND verdict <> ?"
        " QUALIFY rank() OVER (PARTITION BY region, metric ORDER BY window_end DESC, window_start DESC) = 1"
        " ORDER BY region NULLS FIRST, metric, version",
        [model, Verdict.INSUFFICIENT.value],
    ).fetchall()
    return [finding_of(row) for row in rows]


def last_judged(
    db: Database,
    model: str,
    metrics: Sequence[str],
    *,
    version: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Finding]:
    """For each region of `model` the findings of the last window that had enough data, by kind of metric.

    `metrics` are names, or kinds as in 'drift' for every 'drift:…'; what is before the colon is a kind, and all
    of a kind are of one window. A region that never had enough gets its last findings. `start` and `end` keep
    the windows that lie within.
    """
    conditions = ["model = ?", f"(metric IN ({marks(metrics)}) OR split_part(metric, ':', 1) IN ({marks(metrics)}))"]
    parameters: list[Any] = [model, *metrics, *metrics]
    for condition, value in (("version = ?", version), ("window_start >= ?", start), ("window_end <= ?", end)):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    rows = db.rows(
        f"""WITH known AS (
            SELECT *, split_part(metric, ':', 1) AS kind,
                max(window_end) FILTER (verdict <> '{Verdict.INSUFFICIENT.value}') OVER each AS last_enough,
                max(window_end) OVER each AS last_end
            FROM finding WHERE {" AND ".join(conditions)}
            WINDOW each AS (PARTITION BY region, kind)
        )
        SELECT {FINDING_COLUMNS} FROM known WHERE window_end = coalesce(last_enough, last_end)
        QUALIFY rank() OVER (PARTITION BY region, kind ORDER BY window_start DESC) = 1
        ORDER BY region NULLS FIRST, metric, version""",
        parameters,
    )
    return [finding_of(row) for row in rows]


def judged_windows(
    db: Database,
    model: str,
    kind: str,
    *,
    version: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Window]:
    """The windows in which any finding of a `kind` of metric ('drift' for every 'drift:…') had enough data, in
    order of time. `start` and `end` keep those that lie within."""
    conditions = ["model = ?", "split_part(metric, ':', 1) = ?", "verdict <> ?"]
    parameters: list[Any] = [model, kind, Verdict.INSUFFICIENT.value]
    for condition, value in (("version = ?", version), ("window_start >= ?", start), ("window_end <= ?", end)):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    rows = db.rows(
        f"SELECT DISTINCT window_start, window_end FROM finding WHERE {' AND '.join(conditions)} ORDER BY ALL",
        parameters,
    )
    return [Window(*row) for row in rows]


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def save_report(db: Database, run: Run, html: str, sample: dict[str, Any]) -> None:
    """Keep a page for the model and window of `run`, in place of the one kept before."""
    db.write(lambda connection: write_report(connection, run, html, sample))


def write_report(connection: duckdb.DuckDBPyConnection, run: Run, html: str, sample: dict[str, Any]) -> None:
    window = [run.model, run.window_start, run.window_end]
    connection.execute("DELETE FROM report WHERE model = ? AND window_start = ? AND window_end = ?", window)
    connection.execute(
        "INSERT INTO report (id, run, model, window_start, window_end, created_at, html, sample)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [uuid.uuid4().hex, run.id, *window, now(), gzip.compress(html.encode(), 6), to_json(sample)],
    )


def report_html(db: Database, run: str) -> str | None:
    """The page kept for the model and window of the run with the id `run`, or None.

    A run that only judges new labels makes no page of its own: that of an earlier run stands.
    """
    rows = db.rows(
        "SELECT html FROM report JOIN run ON report.model = run.model"
        " AND report.window_start = run.window_start AND report.window_end = run.window_end WHERE run.id = ?",
        [run],
    )
    return gzip.decompress(rows[0][0]).decode() if rows else None


def reports(db: Database, model: str) -> list[Report]:
    """The reports kept for `model`, that of the last window first."""
    rows = db.rows(
        "SELECT id, run, model, window_start, window_end, created_at, sample FROM report"
        " WHERE model = ? ORDER BY window_end DESC, window_start DESC",
        [model],
    )
    return [Report(*[*row[:-1], json.loads(row[-1])]) for row in rows]


def stored_run(db: Database, run: str) -> Run:
    """The run with the id `run`. Raises NotFoundError."""
    rows = db.rows(f"SELECT {RUN_COLUMNS} FROM run WHERE id = ?", [run])
    if not rows:
        raise NotFoundError(f"There is no run '{run}'. 'driftmap status' lists the last runs.")
    return Run(*rows[0])


def finding_table(findings: Sequence[Finding], run: str) -> pa.Table:
    """The findings as rows of the table `finding`: what is not finite becomes NULL."""
    numbers = {"value", "lower", "upper", "reference"}
    columns: dict[str, list[Any]] = {}
    for name in FINDING_SCHEMA.names:
        values = [getattr(finding, name) for finding in findings]
        columns[name] = [finite(value) for value in values] if name in numbers else values
    columns["verdict"] = [Verdict(finding.verdict).value for finding in findings]
    columns["details"] = [to_json(finding.details) for finding in findings]
    columns["run"] = [run] * len(findings)
    return pa.table(columns, schema=FINDING_SCHEMA)


def finding_of(row: tuple[Any, ...]) -> Finding:
    *figures, verdict, reference, details, run = row
    return Finding(*[*figures, Verdict(verdict), reference, json.loads(details), run])


def finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def to_json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def plain(value: Any) -> Any:
    """`value` in JSON's own types: numpy's numbers as Python's, what is not finite as None."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return finite(value)
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
