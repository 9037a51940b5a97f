"""What driftmap can be told to do: a function a command, for the command line and a running server alike.

Each takes a workspace and plain JSON values, and returns such. Paths are absolute, times ISO text.
"""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from app.workspace import Workspace
from monitoring.configuration import RegionSource, configured_lake
from monitoring.delivery import send_waiting
from storage import alerts as stored_alerts
from storage import compaction
from storage import findings as stored_findings
from storage.catalog import registered_models, versions
from storage.database import Database
from storage.errors import DriftmapError, InvalidFileError, LeasedError
from storage.ingest import ingest_file
from storage.labels import label_file
from storage.lake import compact_lake
from storage.leases import leased
from storage.models import Model
from storage.queries import Filter, outcomes_by_day, time_extent
from storage.readers import expand
from storage.records import BatchResult, Run
from storage.regions import load_regions
from storage.transfer import copy_database

WHOLE = "whole"
POLL = 2.0  # seconds between asking whether another process has finished with a model


def ingest(workspace: Workspace, paths: list[str], model: str, model_version: str | None = None) -> dict[str, Any]:
    """Take in predictions. What became of each file, and the totals."""
    target = workspace.model(model).stored
    if model_version is not None:
        target = target.model_copy(update={"version": model_version})
    return _take_in(workspace, paths, target, ingest_file)


def label(workspace: Workspace, paths: list[str], model: str) -> dict[str, Any]:
    """Join labels to predictions by id. What became of each file, and the totals."""
    return _take_in(workspace, paths, workspace.model(model).stored, label_file)


def _take_in(workspace: Workspace, paths: list[str], model: Model, take: Callable[..., BatchResult]) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    files: list[Path] = []
    for path in paths:
        try:
            files += expand([path])
        except InvalidFileError as error:
            results.append({"source": path, "error": str(error)})
    for done, file in enumerate(dict.fromkeys(files)):
        workspace.progress(file.name, done, len(files))
        try:
            taken = plain(take(workspace.database, model, file))
            results.append({**taken, "source": str(file), "error": None})
        except InvalidFileError as error:
            results.append({"source": str(file), "error": str(error)})
    workspace.progress("", len(files), len(files))
    refused: Counter[str] = Counter()
    for result in results:
        refused.update(result.get("refused", {}))
    return {
        "files": results,
        **{
            count: sum(result.get(count, 0) for result in results)
            for count in ("rows", "accepted", "replaced", "unchanged", "outside_regions", "repaired")
        },
        "refused": dict(refused),
        "failed": sum(result["error"] is not None for result in results),
    }


def regions(
    workspace: Workspace,
    path: str,
    name: str,
    id_column: str | None = None,
    name_column: str | None = None,
    parent_column: str | None = None,
) -> Any:
    """Add the region set `name`, or replace it, from a file of polygons."""
    columns = workspace.configuration.regions.get(name, RegionSource(path=Path(path)))
    loaded = load_regions(
        workspace.database,
        name,
        Path(path),
        id_column or columns.id,
        name_column or columns.name,
        parent_column or columns.parent,
    )
    return plain(loaded)


def monitor(
    workspace: Workspace,
    model: str | None = None,
    at: str | None = None,
    backfill: tuple[str, str] | None = None,
    due: str | None = None,
) -> list[dict[str, Any]]:
    """Judge the window before `at` (or now), or every window of a span, and send what alerts say. The runs.

    One model that cannot be monitored does not keep the others from it; its error is raised at the end.
    Processes that monitor one lake share the models. A window that another process judged since `due` (or now)
    is not judged again: its run is the answer.
    """
    names = [model] if model else list(workspace.configuration.models)
    asked = moment(due) if due else datetime.now(UTC).replace(tzinfo=None)
    runs: list[Run] = []
    errors: list[DriftmapError] = []
    waiting = names
    while waiting:
        busy = []
        for name in waiting:
            workspace.progress(name, names.index(name), len(names))
            try:
                runs += _monitor_model(workspace, name, at, backfill, asked)
            except LeasedError:  # another process is at it: the other models first
                busy.append(name)
            except DriftmapError as error:
                errors.append(error)
        if len(busy) == len(waiting):
            time.sleep(POLL)
        waiting = busy
    send_waiting(workspace.database, workspace.configuration)
    workspace.progress("", len(names), len(names))
    if len(errors) > 1:
        raise DriftmapError(" ".join(str(error) for error in errors))
    if errors:
        raise errors[0]
    return [plain(run) for run in runs]


def _monitor_model(
    workspace: Workspace, name: str, at: str | None, backfill: tuple[str, str] | None, asked: datetime
) -> list[Run]:
    from monitoring import run

    workspace.model(name)
    with workspace.monitoring, leased(workspace.database, f"monitor {name}") as lease:
        stored_findings.mark_interrupted(workspace.database, name)
        known = (workspace.database, workspace.configuration, name)
        task = run.Task(asked, lease)
        if backfill:
            start, end = (moment(text) for text in backfill)
            return run.backfill(*known, start, end, workspace.worker, task)
        return run.monitor(*known, moment(at) if at else asked, workspace.worker, task)


def status(workspace: Workspace) -> dict[str, Any]:
    """What there is: predictions, labels, last run and open alerts of every model."""
    database = workspace.database
    open_alerts = Counter(alert.model for alert in stored_alerts.alerts(database, state="open"))
    names = dict.fromkeys([*workspace.configuration.models, *(model.name for model in registered_models(database))])
    return {
        "database": database.location,
        "models": [_model_status(workspace, name, open_alerts[name]) for name in names],
    }


def _model_status(workspace: Workspace, name: str, open_alerts: int) -> dict[str, Any]:
    database = workspace.database
    extent = time_extent(database, name)
    days = outcomes_by_day(database, Filter(model=name)) if extent else None
    last_run = next(iter(stored_findings.runs(database, model=name, limit=1)), None)
    return {
        "model": name,
        "versions": versions(database, name),
        "predictions": int(days["n"].sum()) if days is not None else 0,
        "labelled": int(days["n_labelled"].sum()) if days is not None else 0,
        "first": plain(extent.start) if extent else None,
        "last": plain(extent.end) if extent else None,
        "last_run": plain(last_run),
        "open_alerts": open_alerts,
    }


def findings(
    workspace: Workspace,
    model: str | None = None,
    region: str | None = None,
    metric: str | None = None,
    start: str | None = None,
    end: str | None = None,
    latest: bool = False,
) -> list[dict[str, Any]]:
    """The figures that runs found, in order of their windows. `region` is a region's id, or 'whole'."""
    chosen: dict[str, Any] = {} if region is None else {"region": None if region == WHOLE else region}
    found = stored_findings.findings(
        workspace.database,
        model=model,
        metric=metric,
        start=moment(start) if start else None,
        end=moment(end) if end else None,
        latest=latest,
        **chosen,
    )
    return [plain(finding) for finding in found]


def alerts_list(workspace: Workspace, state: str = "all", model: str | None = None) -> list[dict[str, Any]]:
    """Alerts, open ones first. `state`: open, closed or all."""
    chosen = stored_alerts.alerts(workspace.database, state=None if state == "all" else state, model=model)
    return [plain(alert) for alert in chosen]


def alerts_show(workspace: Workspace, alert: str) -> dict[str, Any]:
    """One alert with its history."""
    found = stored_alerts.stored_alert(workspace.database, alert)
    return {**plain(found), "events": plain(stored_alerts.alert_events(workspace.database, alert))}


def runs(workspace: Workspace, model: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Monitor runs, newest first."""
    return [plain(run) for run in stored_findings.runs(workspace.database, model=model, limit=limit)]


def compact(workspace: Workspace) -> dict[str, Any]:
    """Put in order what many small writes left behind; on a lake, its files too. What was done."""
    done = plain(compaction.compact(workspace.database))
    return done | plain(compact_lake(workspace.database)) if workspace.database.shared else done


def migrate(workspace: Workspace, to: str, data_path: str) -> dict[str, Any]:
    """Copy the embedded database into the empty lake `to`, and compare the two table by table.

    The file stays as it is. Raises DriftmapError where it is in use or missing, or the lake is not empty.
    """
    source, target = workspace.configuration.database_path, configured_lake(to, data_path)
    with Database.open(target.database_path, target.files_of_lake) as lake:
        copies = copy_database(source, lake, workspace.progress)
    return {
        "from": source,
        "database": target.database_path,
        "data_path": target.files_of_lake,
        "tables": [{**plain(copy), "equal": copy.equal} for copy in copies],
        "equal": all(copy.equal for copy in copies),
    }


COMMANDS: dict[str, Callable[..., Any]] = {
    "ingest": ingest,
    "label": label,
    "regions": regions,
    "monitor": monitor,
    "compact": compact,
    "status": status,
    "findings": findings,
    "alerts list": alerts_list,
    "alerts show": alerts_show,
    "runs": runs,
}


def moment(text: str) -> datetime:
    """The naive UTC datetime that ISO `text` says; without an offset it is UTC. Raises DriftmapError."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise DriftmapError(f"'{text}' is no time. Write it as 2026-05-01 or 2026-05-01T06:00+02:00.") from None
    return when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when


def plain(value: Any) -> Any:
    """`value` as JSON knows it: records become objects, times ISO text, numbers that are none become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        return plain(value.item())
    return value
