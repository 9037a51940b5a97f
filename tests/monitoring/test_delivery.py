import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from monitoring.configuration import Alerts, Channel, Configuration
from monitoring.delivery import send_waiting, without_secrets
from storage.alerts import AlertChanges, AlertEvent, Delivery, apply_changes, deliveries
from storage.database import Database
from storage.records import Alert, Verdict

NOW = datetime(2018, 6, 30, 6)
SENTENCE = "Accuracy in Fergana is 0.44 (95% interval 0.38 to 0.49, n 305), 0.76 in the reference."
URL = "http://localhost:5006/?page=regions&model=crops&region=fergana"
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
    window_start=datetime(2018, 5, 1),
    window_end=datetime(2018, 6, 30),
    value=0.44,
    lower=0.38,
    upper=0.49,
    n=305,
    reference=0.76,
    message=SENTENCE,
    url=URL,
    since=datetime(2018, 5, 1),
)
WAITING = Delivery("d1", "a1", "opened", "ops", NOW, None, 0, "waiting", "")


class Receiver:
    """An HTTP server on a free port of the loopback that keeps what it is sent, and answers `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *parts: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/hook/s3cr3t-t0ken"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as database:
        yield database


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    kept = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    yield kept, port
    controller.stop()


def configured(**channels: Channel) -> Configuration:
    return Configuration(alerts=Alerts(channels=channels))


def put(db: Database, *waiting: Delivery, alert: Alert = ALERT) -> None:
    events = [AlertEvent(alert.id, NOW, "opened", "monitor", SENTENCE)]
    if alert.state == "closed":
        events.append(AlertEvent(alert.id, NOW, "closed", "monitor", "Accuracy in Fergana is 0.77."))
    db.write(lambda connection: apply_changes(connection, AlertChanges((alert,), tuple(events), waiting)))


def test_an_opened_alert_reaches_a_web_hook_with_figure_interval_n_and_link(db: Database, receiver: Receiver) -> None:
    put(db, WAITING)
    (sent,) = send_waiting(db, configured(ops=Channel(url=receiver.url)), NOW)
    assert (sent.state, sent.attempts, sent.attempted_at, sent.error) == ("sent", 1, NOW, "")
    assert deliveries(db) == [sent]
    (post,) = receiver.received
    assert post["title"] == "[critical] crops: accuracy, Fergana"
    assert SENTENCE in post["message"]
    assert URL in post["message"]


def test_it_reaches_a_mailbox_as_plain_text(db: Database, mailbox: tuple[Mailbox, int]) -> None:
    kept, port = mailbox
    put(db, WAITING)
    url = f"mailto://127.0.0.1:{port}?from=driftmap@example.org&to=oncall@example.org&mode=insecure&format=text"
    (sent,) = send_waiting(db, configured(ops=Channel(url=url)), NOW)
    assert (sent.state, sent.error) == ("sent", "")
    (mail,) = kept.mails
    assert mail["Subject"] == "[critical] crops: accuracy, Fergana"
    assert "oncall@example.org" in mail["To"]
    (part,) = [each for each in mail.walk() if not each.is_multipart()]
    assert part.get_content_type() == "text/plain"
    text = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert SENTENCE in text
    assert URL in text


def test_an_alert_that_closes_is_sent_as_resolved(db: Database, receiver: Receiver) -> None:
    put(db, replace(WAITING, event="closed"), alert=replace(ALERT, state="closed", closed_at=NOW))
    send_waiting(db, configured(ops=Channel(url=receiver.url)), NOW)
    (post,) = receiver.received
    assert post["title"] == "[resolved] crops: accuracy, Fergana"
    assert "is 0.77" in post["message"]


def test_what_was_sent_is_not_sent_again(db: Database, receiver: Receiver) -> None:
    put(db, WAITING)
    configuration = configured(ops=Channel(url=receiver.url))
    send_waiting(db, configuration, NOW)
    assert send_waiting(db, configuration, NOW + timedelta(days=1)) == []
    assert len(receiver.received) == 1


def test_a_channel_that_fails_is_tried_five_times_with_growing_waits_then_given_up(
    db: Database, receiver: Receiver
) -> None:
    receiver.status = 500
    put(db, WAITING)
    configuration = configured(ops=Channel(url=receiver.url))
    states = []
    for minutes in (0, 0.5, 1, 3, 6, 21, 81, 1000):
        attempted = send_waiting(db, configuration, NOW + timedelta(minutes=minutes))
        states.append([(each.state, each.attempts) for each in attempted])
    assert states == [
        [("waiting", 1)],
        [],
        [("waiting", 2)],
        [],
        [("waiting", 3)],
        [("waiting", 4)],
        [("failed", 5)],
        [],
    ]
    assert "500" in deliveries(db)[0].error
    assert len(receiver.received) == 5


def test_a_failing_channel_does_not_keep_the_message_from_the_others(db: Database, receiver: Receiver) -> None:
    put(db, replace(WAITING, id="d0", channel="broken"), WAITING)
    configuration = configured(broken=Channel(url="json://127.0.0.1:9/x"), ops=Channel(url=receiver.url))
    states = {each.channel: each.state for each in send_waiting(db, configuration, NOW)}
    assert states == {"broken": "waiting", "ops": "sent"}


def test_a_dead_channel_costs_one_attempt_a_call_however_much_waits_for_it(db: Database, receiver: Receiver) -> None:
    receiver.status = 500
    put(db, *(replace(WAITING, id=f"d{place}") for place in range(3)))
    configuration = configured(ops=Channel(url=receiver.url))
    assert [each.id for each in send_waiting(db, configuration, NOW)] == ["d0"]
    receiver.status = 200
    sent = send_waiting(db, configuration, NOW + timedelta(minutes=1))
    assert [(each.id, each.state) for each in sent] == [("d0", "sent"), ("d1", "sent"), ("d2", "sent")]


def test_a_later_attempt_that_works_is_sent_and_keeps_no_error(db: Database, receiver: Receiver) -> None:
    receiver.status = 503
    put(db, WAITING)
    configuration = configured(ops=Channel(url=receiver.url))
    send_waiting(db, configuration, NOW)
    receiver.status = 200
    (sent,) = send_waiting(db, configuration, NOW + timedelta(minutes=2))
    assert (sent.state, sent.attempts, sent.error) == ("sent", 2, "")


def test_the_url_may_come_from_a_variable(db: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", receiver.url)
    put(db, WAITING)
    (sent,) = send_waiting(db, configured(ops=Channel(url_from="OPS_URL")), NOW)
    assert sent.state == "sent"


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ({"ops": Channel(url_from="NOT_SET_ANYWHERE")}, "the variable NOT_SET_ANYWHERE is not set"),
        ({"ops": Channel(url="nonsense")}, "not a URL that Apprise knows"),
        ({}, "there is no channel 'ops'"),
    ],
)
def test_a_channel_that_cannot_be_used_says_why(db: Database, channels: dict[str, Channel], said: str) -> None:
    put(db, WAITING)
    (tried,) = send_waiting(db, configured(**channels), NOW)
    assert tried.state == "waiting"
    assert said in tried.error


def test_the_url_is_neither_logged_nor_kept(
    db: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    urls = (receiver.url, "json://user:s3cr3t-t0ken@127.0.0.1:9/s3cr3t-t0ken", "nonsense://s3cr3t-t0ken/x")
    put(db, *(replace(WAITING, id=f"d{place}", channel=f"c{place}") for place in range(len(urls))))
    channels = {f"c{place}": Channel(url=url) for place, url in enumerate(urls)}
    with caplog.at_level(logging.DEBUG):
        send_waiting(db, configured(**channels), NOW)
    kept = deliveries(db)
    assert all(each.error for each in kept)
    captured = capfd.readouterr()
    text = caplog.text + captured.out + captured.err + str(kept)
    assert "s3cr3t" not in text
    assert "Channel 'c0', attempt 1 of 5" in caplog.text


def test_secrets_are_cut_from_what_a_service_says() -> None:
    url = "slack://T0KEN1/T0KEN2/channel"
    assert without_secrets("POST to\nhttps://x.org/T0KEN1 failed for T0KEN2", url) == "POST to … failed for …"
