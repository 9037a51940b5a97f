"""When an alert opens, what it says, and when it closes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from monitoring.configuration import Rule
from monitoring.links import view_link
from storage.alerts import AlertChanges, AlertEvent, Delivery
from storage.records import Alert, Finding, Verdict, Window

ACTOR = "monitor"
SEVERITY = {Verdict.INSUFFICIENT: 0, Verdict.OK: 0, Verdict.WARNING: 1, Verdict.CRITICAL: 2}
NAMED_OTHERS = 5

METRICS = {
    "accuracy": "Accuracy",
    "ece": "Expected calibration error",
    "confidence_gap": "Mean confidence minus accuracy",
    "confidence": "Mean confidence",
    "drift:predicted": "Drift of the predicted classes",
    "drift:confidence": "Drift of confidence",
    "evidently_drifted_share": "Share of columns that Evidently finds drifted",
}
METRIC_FAMILIES = {
    "users_accuracy": "User's accuracy of",
    "producers_accuracy": "Producer's accuracy of",
    "drift": "Drift of",
}

Place = tuple[str, str | None]


def evaluate(
    rules: Sequence[Rule],
    open_alerts: Sequence[Alert],
    latest: Sequence[Finding],
    base_url: str,
    now: datetime,
    channels: Iterable[str] = (),
    against: str = "",
) -> AlertChanges:
    """What the findings change about the alerts: which open, go on, or close, and what to send.

    `latest` holds, for each region and metric, the findings of the last window that had enough data
    (one for each model version in it). There is one alert for each rule, model and region, on the worst
    metric that the rule matches. It opens once, goes on while any of them has at least the severity of the
    rule, and closes when none has; where there is no finding with enough data it stays as it is. `channels`
    are the names of all channels, for rules that name none; `against` names the reference in words. Nothing
    is read or written here.
    """
    channels = tuple(channels)
    judged = [finding for finding in latest if finding.verdict != Verdict.INSUFFICIENT]
    opened = {(alert.rule, alert.model, alert.region): alert for alert in open_alerts}
    changes = Changes(now, channels)
    for rule in rules:
        for (model, region), matching in by_place(rule, judged).items():
            existing = opened.get((rule.name, model, region))
            holding = sorted(
                (each for each in matching if SEVERITY[each.verdict] >= SEVERITY[Verdict(rule.severity)]),
                key=badness,
                reverse=True,
            )
            if holding and existing is None:
                changes.open(new_alert(rule, holding, base_url, now, against), rule.channels)
            elif holding and existing is not None:
                changes.update(existing, with_findings(existing, holding, base_url, now, against))
            elif existing is not None:
                changes.close(existing, recovery(existing, matching, against), rule.channels)
    configured = {rule.name for rule in rules}
    for alert in open_alerts:
        if alert.rule not in configured:
            changes.close(alert, f"The rule '{alert.rule}' is no longer in the configuration.", None)
    return changes.all()


class Changes:
    """Collects what `evaluate` decides, at one moment."""

    def __init__(self, now: datetime, channels: tuple[str, ...]) -> None:
        self.now = now
        self.channels = channels
        self.alerts: list[Alert] = []
        self.events: list[AlertEvent] = []
        self.deliveries: list[Delivery] = []

    def open(self, alert: Alert, channels: tuple[str, ...] | None) -> None:
        self.alerts.append(alert)
        self.event(alert, "opened", alert.message)
        self.send(alert, "opened", channels)

    def update(self, before: Alert, after: Alert) -> None:
        if replace(after, updated_at=before.updated_at) != before:
            self.alerts.append(after)
            self.event(after, "updated", after.message)

    def close(self, alert: Alert, why: str, channels: tuple[str, ...] | None) -> None:
        self.alerts.append(replace(alert, state="closed", closed_at=self.now, updated_at=self.now))
        self.event(alert, "closed", why)
        self.send(alert, "closed", channels)

    def event(self, alert: Alert, event: str, detail: str) -> None:
        self.events.append(AlertEvent(alert.id, self.now, event, ACTOR, detail))

    def send(self, alert: Alert, event: str, channels: tuple[str, ...] | None) -> None:
        self.deliveries += [
            Delivery(uuid4().hex, alert.id, event, channel, self.now, None, 0, "waiting", "")
            for channel in (self.channels if channels is None else channels)
        ]

    def all(self) -> AlertChanges:
        return AlertChanges(tuple(self.alerts), tuple(self.events), tuple(self.deliveries))


def by_place(rule: Rule, findings: Iterable[Finding]) -> dict[Place, list[Finding]]:
    """The findings whose metric the rule matches, by model and region."""
    places: dict[Place, list[Finding]] = {}
    for finding in findings:
        if matches(rule.metric, finding.metric):
            places.setdefault((finding.model, finding.region), []).append(finding)
    return places


def matches(pattern: str, metric: str) -> bool:
    return metric.startswith(pattern[:-1]) if pattern.endswith("*") else metric == pattern


def badness(finding: Finding) -> tuple[int, float, str, str]:
    """A sort key: the verdict, then how far the figure is from where it should be, then names."""
    distance = abs(finding.value or 0.0)
    if finding.reference is not None and not finding.metric.startswith("drift:"):
        distance = abs((finding.value or 0.0) - finding.reference)
    return SEVERITY[finding.verdict], distance, finding.metric, finding.version


def new_alert(rule: Rule, holding: Sequence[Finding], base_url: str, now: datetime, against: str) -> Alert:
    worst = holding[0]
    blank = Alert(
        id=uuid4().hex[:12],
        rule=rule.name,
        model=worst.model,
        version=worst.version,
        region=worst.region,
        region_name=worst.region_name,
        metric=worst.metric,
        severity=worst.verdict,
        state="open",
        opened_at=now,
        updated_at=now,
        closed_at=None,
        window_start=worst.window_start,
        window_end=worst.window_end,
        value=None,
        lower=None,
        upper=None,
        n=0,
        reference=None,
        message="",
        url="",
        since=worst.window_start,
    )
    return with_findings(blank, holding, base_url, now, against)


def with_findings(alert: Alert, holding: Sequence[Finding], base_url: str, now: datetime, against: str) -> Alert:
    """The alert, with the figures of the worst finding, the first of `holding`."""
    worst = holding[0]
    return replace(
        alert,
        version=worst.version,
        region_name=worst.region_name,
        metric=worst.metric,
        severity=worst.verdict,
        updated_at=now,
        window_start=worst.window_start,
        window_end=worst.window_end,
        value=worst.value,
        lower=worst.lower,
        upper=worst.upper,
        n=worst.n,
        reference=worst.reference,
        message=describe(holding, alert.since, against),
        url=view_link(
            base_url,
            "regions",
            worst.model,
            version=worst.version,
            window=Window(worst.window_start, worst.window_end),
            region=worst.region,
        ),
    )


def describe(holding: Sequence[Finding], since: datetime, against: str) -> str:
    """What is wrong, in words: what, where, how bad, against what, since when, and what else is."""
    worst = holding[0]
    sentences = [f"{figure(worst)}{compared(worst, against)}.", f"Window {days(worst)}; since {since:%Y-%m-%d}."]
    others = sorted({finding.metric for finding in holding} - {worst.metric})
    if others:
        names = ", ".join(subject(metric) for metric in others[:NAMED_OTHERS])
        rest = f" and {len(others) - NAMED_OTHERS} more" if len(others) > NAMED_OTHERS else ""
        sentences.append(f"The same holds for {len(others)} more: {names}{rest}.")
    return " ".join(sentences)


def recovery(alert: Alert, matching: Sequence[Finding], against: str) -> str:
    """Why the alert closes, in words, with the present figure of its metric where there is one."""
    same = [finding for finding in matching if finding.metric == alert.metric]
    now = max(same or matching, key=badness)
    return f"{figure(now)}{compared(now, against)}, and no longer {alert.severity.value}. Window {days(now)}."


def figure(finding: Finding) -> str:
    """The figure with its place, interval and sample size: 'Accuracy in Fergana is 0.44 (…, n 305)'."""
    place = f"in {finding.region_name or finding.region}" if finding.region is not None else "over all regions"
    interval = (
        f"95% interval {number(finding.lower)} to {number(finding.upper)}, "
        if finding.lower is not None and finding.upper is not None
        else ""
    )
    return f"{metric_name(finding.metric)} {place} is {number(finding.value)} ({interval}n {finding.n})"


def compared(finding: Finding, against: str) -> str:
    """What the figure is compared with: the reference, named in words by `against`."""
    named = f" ({against})" if against else ""
    if finding.metric.startswith("drift:"):
        return f" against the reference{named}"
    if finding.reference is None:
        return ""
    return f", {number(finding.reference)} in the reference{named}"


def metric_name(metric: str) -> str:
    """The metric in words, as the beginning of a sentence."""
    family, _, subject = metric.partition(":")
    if metric in METRICS:
        return METRICS[metric]
    return f"{METRIC_FAMILIES[family]} {subject}" if family in METRIC_FAMILIES else metric


def subject(metric: str) -> str:
    return metric.partition(":")[2] or metric_name(metric)


def number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def days(finding: Finding) -> str:
    last = finding.window_end - timedelta(days=1)
    return f"{finding.window_start:%Y-%m-%d} to {last:%Y-%m-%d}"
