from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from storage.alerts import (
    AlertChanges,
    AlertEvent,
    Delivery,
    alert_events,
    alerts,
    apply_changes,
    deliveries,
    open_alerts,
    record_attempts,
    stored_alert,
)
from storage.database import Database
from storage.errors import NotFoundError
from storage.records import Alert, Verdict

NOW = datetime(2026, 3, 8, 6)
ALERT = Alert(
    id="a1",
    rule="accuracy",
    model="crops",
    version="1",
    region="fergana",
    region_name="Fergana",
    metric="accuracy",
    severity=Verdict.CRITICAL,
    state="open",
    opened_at=NOW,
    updated_at=NOW,
    closed_at=None,
    window_start=datetime(2026, 3, 1),
    window_end=datetime(2026, 3, 8),
    value=0.44,
    lower=0.38,
    upper=0.49,
    n=305,
    reference=0.76,
    message="Accuracy in Fergana is 0.44.",
    url="http://localhost:5006/?page=regions",
    since=datetime(2026, 3, 1),
)
OPENED = AlertEvent("a1", NOW, "opened", "monitor", "Accuracy in Fergana is 0.44.")
WAITING = Delivery("d1", "a1", "opened", "ops", NOW, None, 0, "waiting", "")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as database:
        yield database


def apply(db: Database, changes: AlertChanges) -> None:
    db.write(lambda connection: apply_changes(connection, changes))


def test_an_alert_its_events_and_its_messages_come_back_as_they_were_kept(db: Database) -> None:
    apply(db, AlertChanges((ALERT,), (OPENED,), (WAITING,)))
    assert alerts(db) == [ALERT]
    assert stored_alert(db, "a1") == ALERT
    assert alert_events(db, "a1") == [OPENED]
    assert deliveries(db) == [WAITING]


def test_an_alert_that_changes_keeps_its_place_and_its_history(db: Database) -> None:
    apply(db, AlertChanges((ALERT,), (OPENED,)))
    later = NOW + timedelta(days=7)
    closed = replace(ALERT, state="closed", closed_at=later, updated_at=later)
    apply(db, AlertChanges((closed,), (AlertEvent("a1", later, "closed", "monitor", "It holds no longer."),)))
    assert alerts(db) == [closed]
    assert [event.event for event in alert_events(db, "a1")] == ["opened", "closed"]


def test_alerts_are_listed_by_state_and_model_the_urgent_first(db: Database) -> None:
    others = (
        replace(ALERT, id="old", opened_at=NOW - timedelta(days=7)),
        replace(ALERT, id="closed", state="closed"),
        replace(ALERT, id="mild", severity=Verdict.WARNING),
        replace(ALERT, id="roads", model="roads", region=None, region_name=None),
    )
    apply(db, AlertChanges((*others, ALERT)))
    assert [alert.id for alert in alerts(db, model="crops")] == ["a1", "old", "mild", "closed"]
    assert [alert.id for alert in alerts(db, "closed")] == ["closed"]
    assert [alert.id for alert in alerts(db, "open", "roads")] == ["roads"]
    assert len(alerts(db, limit=2)) == 2
    seen = db.write(lambda connection: open_alerts(connection, "crops"))
    assert [alert.id for alert in seen] == ["old", "a1", "mild"]


def test_what_became_of_a_message_is_kept(db: Database) -> None:
    apply(db, AlertChanges((ALERT,), (OPENED,), (WAITING, replace(WAITING, id="d2", channel="mail"))))
    sent = replace(WAITING, attempts=1, attempted_at=NOW, state="sent")
    record_attempts(db, [sent])
    assert deliveries(db, "sent") == [sent]
    assert [delivery.id for delivery in deliveries(db, "waiting", alert="a1")] == ["d2"]


def test_an_alert_that_does_not_exist_is_named(db: Database) -> None:
    with pytest.raises(NotFoundError, match="no alert 'x'"):
        stored_alert(db, "x")
