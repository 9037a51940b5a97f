"""Sends what waits in the outbox of alerts, through Apprise."""

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitoring.configuration import Channel, Configuration
from storage.alerts import Delivery, alert_events, deliveries, record_attempts, stored_alert
from storage.database import Database
from storage.errors import DriftmapError, InvalidConfigurationError, LeasedError
from storage.leases import leased
from storage.records import Alert

ATTEMPTS = 5
WAITS = (timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))

# What they log can hold the URL of a channel, which is a secret.
TALKATIVE = ("apprise", "urllib3", "requests", "httpx")

logger = logging.getLogger(__name__)
sending = threading.Lock()


def send_waiting(db: Database, configuration: Configuration, now: datetime | None = None) -> list[Delivery]:
    """What became of every message in the outbox that was due at `now` (UTC), after an attempt to send it.

    Sent messages are kept as 'sent'. A failed one keeps 'waiting' for the next call (after 1, 5, 15 and
    60 minutes at the earliest) until its fifth attempt, then it is 'failed'; `error` says why. Nothing is
    raised for a channel that does not answer; its other messages are left for the next call, so that a dead
    channel costs one time-out. Sending takes seconds: call it after a run, never within.
    """
    moment = now or datetime.now(UTC).replace(tzinfo=None)
    attempted: list[Delivery] = []
    failing: set[str] = set()
    with suppress(LeasedError), sending, leased(db, "deliver", wait=60):  # or another process sends them
        for delivery in deliveries(db, "waiting"):
            if delivery.channel not in failing and due(delivery, moment):
                after = attempt(db, configuration, delivery, moment)
                record_attempts(db, [after])
                attempted.append(after)
                if after.state != "sent":
                    failing.add(after.channel)
    return attempted


def due(delivery: Delivery, now: datetime) -> bool:
    return delivery.attempted_at is None or now >= delivery.attempted_at + WAITS[delivery.attempts]


def attempt(db: Database, configuration: Configuration, delivery: Delivery, now: datetime) -> Delivery:
    error = ""
    try:
        channel = configuration.alerts.channels.get(delivery.channel)
        if channel is None:
            raise InvalidConfigurationError(f"alerts.channels: there is no channel '{delivery.channel}' any more")
        notify(channel_url(delivery.channel, channel), *message(db, delivery))
    except DriftmapError as problem:
        error = str(problem)
    attempts = delivery.attempts + 1
    state = "sent" if not error else "waiting" if attempts < ATTEMPTS else "failed"
    if error:
        logger.warning("Channel '%s', attempt %d of %d: %s", delivery.channel, attempts, ATTEMPTS, error)
    return replace(delivery, attempted_at=now, attempts=attempts, state=state, error=error)


def channel_url(name: str, channel: Channel) -> str:
    """The Apprise URL of a channel. Raises InvalidConfigurationError where its variable is not set."""
    if channel.url is not None:
        return channel.url
    url = os.environ.get(channel.url_from or "")
    if not url:
        raise InvalidConfigurationError(
            f"alerts.channels.{name}: the variable {channel.url_from} is not set; put an Apprise URL into it."
        )
    return url


def message(db: Database, delivery: Delivery) -> tuple[str, str]:
    """Title and body, plain text, of a message about an alert: as it was when the event happened."""
    alert = stored_alert(db, delivery.alert)
    details = [event.detail for event in alert_events(db, alert.id) if event.event == delivery.event]
    sentence = details[-1] if details else alert.message
    return title(alert, delivery.event), f"{sentence}\n\n{alert.url}\n"


def title(alert: Alert, event: str) -> str:
    state = "resolved" if event == "closed" else alert.severity.value
    return f"[{state}] {alert.model}: {alert.rule}, {alert.region_name or alert.region or 'all regions'}"


def notify(url: str, title: str, body: str) -> None:
    """Send one message. Raises DriftmapError saying why it was not accepted, without the URL."""
    from apprise import Apprise, NotifyFormat  # half a second, and only where something is sent

    with quiet() as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apprise = Apprise()
        if not apprise.add(url):
            raise DriftmapError("not a URL that Apprise knows; its documentation lists the services.")
        try:
            accepted = apprise.notify(body=body, title=title, body_format=NotifyFormat.TEXT)
        except Exception as error:  # whatever a service's plug-in raises must not end the sending of others
            raise DriftmapError(without_secrets(f"{type(error).__name__}: {error}", url)) from None
    if not accepted:
        reasons = "; ".join(dict.fromkeys(said)) or "the service did not accept it, and gave no reason"
        raise DriftmapError(without_secrets(reasons, url))


def without_secrets(text: str, url: str) -> str:
    """`text` on one line, without URLs and without any part of `url` but its scheme."""
    text = re.sub(r"\w+://\S+", "…", " ".join(text.split()))
    parts = re.split(r"[^\w.\-]+", url.partition("://")[2])
    for part in sorted((part for part in parts if len(part) > 2), key=len, reverse=True):
        text = text.replace(part, "…")
    return text[:500]


class Said(logging.Handler):
    """Keeps the warnings that are logged to it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def quiet() -> Iterator[list[str]]:
    """What Apprise warns of within, kept from the log."""
    handler = Said()
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [each.propagate for each in loggers]
    for each in loggers:
        each.propagate = False
        each.addHandler(handler)
    try:
        yield handler.messages
    finally:
        for each, propagate in zip(loggers, before, strict=True):
            each.propagate = propagate
            each.removeHandler(handler)
