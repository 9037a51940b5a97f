"""Alerts, what happened to each, and the outbox of messages about them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import duckdb

from storage.database import Database
from storage.errors import NotFoundError
from storage.records import Alert, Verdict

ALERT_COLUMNS = ", ".join(field.name for field in fields(Alert))


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A change of an alert's state. `event`: 'opened', 'updated' or 'closed'; `detail`: in words."""

    alert: str
    happened_at: datetime
    event: str
    actor: str
    detail: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message about an alert to one channel. `state`: 'waiting', 'sent' or 'failed'."""

    id: str
    alert: str
    event: str
    channel: str
    created_at: datetime
    attempted_at: datetime | None
    attempts: int
    state: str
    error: str


@dataclass(frozen=True, slots=True)
class AlertChanges:
    """What a run changes: alerts as they are from now on, their events, and messages to send."""

    alerts: tuple[Alert, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    deliveries: tuple[Delivery, ...] = ()


DELIVERY_COLUMNS = ", ".join(field.name for field in fields(Delivery))
EVENT_COLUMNS = ", ".join(field.name for field in fields(AlertEvent))


def apply_changes(connection: duckdb.DuckDBPyConnection, changes: AlertChanges) -> None:
    """Write `changes` in the transaction that `connection` is in. An alert of the same id is replaced."""
    for alert in changes.alerts:
        connection.execute("DELETE FROM alert WHERE id = ?", [alert.id])
        insert(connection, "alert", ALERT_COLUMNS, alert)
    for event in changes.events:
        insert(connection, "alert_event", EVENT_COLUMNS, event)
    for delivery in changes.deliveries:
        insert(connection, "delivery", DELIVERY_COLUMNS, delivery)


def insert(
    connection: duckdb.DuckDBPyConnection, table: str, columns: str, record: Alert | AlertEvent | Delivery
) -> None:
    values = [getattr(record, field.name) for field in fields(record)]
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)


def open_alerts(connection: duckdb.DuckDBPyConnection, model: str) -> list[Alert]:
    """The open alerts of `model`, as the transaction of `connection` sees them."""
    rows = connection.execute(
        f"SELECT {ALERT_COLUMNS} FROM alert WHERE model = ? AND state = 'open' ORDER BY opened_at, id",
        [model],
    ).fetchall()
    return [alert_of(row) for row in rows]


def alerts(db: Database, state: str | None = None, model: str | None = None, limit: int | None = None) -> list[Alert]:
    """Alerts ('open', 'closed' or all): open before closed, critical before warning, newest first."""
    conditions, parameters = [], []
    for column, value in (("state", state), ("model", model)):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    where = "WHERE " + " AND ".join(conditions) if conditions else ""
    rows = db.rows(
        f"SELECT {ALERT_COLUMNS} FROM alert {where}"
        " ORDER BY state = 'open' DESC, severity = 'critical' DESC, opened_at DESC, rule, region NULLS FIRST"
        f"{'' if limit is None else f' LIMIT {int(limit)}'}",
        parameters,
    )
    return [alert_of(row) for row in rows]


def stored_alert(db: Database, alert: str) -> Alert:
    """The alert with the id `alert`. Raises NotFoundError."""
    rows = db.rows(f"SELECT {ALERT_COLUMNS} FROM alert WHERE id = ?", [alert])
    if not rows:
        raise NotFoundError(f"There is no alert '{alert}'. 'driftmap alerts list' shows those that exist.")
    return alert_of(rows[0])


def alert_events(db: Database, alert: str) -> list[AlertEvent]:
    """What happened to the alert with the id `alert`, oldest first."""
    rows = db.rows(f"SELECT {EVENT_COLUMNS} FROM alert_event WHERE alert = ? ORDER BY happened_at", [alert])
    return [AlertEvent(*row) for row in rows]


def deliveries(db: Database, state: str | None = None, alert: str | None = None) -> list[Delivery]:
    """Messages to channels (in `state`, about `alert`, where given), oldest first."""
    conditions, parameters = [], []
    for column, value in (("state", state), ("alert", alert)):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    where = "WHERE " + " AND ".join(conditions) if conditions else ""
    rows = db.rows(
        f"SELECT {DELIVERY_COLUMNS} FROM delivery {where} ORDER BY created_at, event = 'closed', channel, id",
        parameters,
    )
    return [Delivery(*row) for row in rows]


def record_attempts(db: Database, attempted: Sequence[Delivery]) -> None:
    """Keep what became of each delivery after an attempt to send it."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for delivery in attempted:
            connection.execute(
                "UPDATE delivery SET attempted_at = ?, attempts = ?, state = ?, error = ? WHERE id = ?",
                [delivery.attempted_at, delivery.attempts, delivery.state, delivery.error, delivery.id],
            )

    db.write(work)


def alert_of(row: tuple[Any, ...]) -> Alert:
    values = dict(zip([field.name for field in fields(Alert)], row, strict=True))
    values["severity"] = Verdict(values["severity"])
    return Alert(**values)
