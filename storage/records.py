"""Values that travel between storage, monitoring and the app."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    INSUFFICIENT = "insufficient data"


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, half-open: start ≤ t < end. Naive datetimes in UTC, at midnight."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of one run: with its interval, sample size and verdict.

    `region` is a region's id, or None for the whole. `lower` and `upper` bound a 95% interval
    where one exists. `details` keeps what led to the verdict, as plain JSON values.
    """

    model: str
    version: str
    region: str | None
    region_name: str | None
    window_start: datetime
    window_end: datetime
    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    n: int
    verdict: Verdict
    reference: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    run: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One monitor run over one window of one model. `outcome`: 'running', 'done' or 'failed'.

    `content` stands for the rows and labels that were judged (see `storage.queries.content`).
    """

    id: str
    model: str
    window_start: datetime
    window_end: datetime
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    message: str
    predictions: int
    findings: int
    content: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should look at. `state`: 'open' or 'closed'.

    `since` is the start of the window it opened on.
    """

    id: str
    rule: str
    model: str
    version: str
    region: str | None
    region_name: str | None
    metric: str
    severity: Verdict
    state: str
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    window_start: datetime
    window_end: datetime
    value: float | None
    lower: float | None
    upper: float | None
    n: int
    reference: float | None
    message: str
    url: str
    since: datetime


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of the rows of one ingest (or of one labels file)."""

    batch: str
    source: str
    kind: str  # "predictions" or "labels"
    model: str
    rows: int
    accepted: int
    replaced: int
    unchanged: int
    refused: dict[str, int]
    outside_regions: int
    repaired: int
    seconds: float
