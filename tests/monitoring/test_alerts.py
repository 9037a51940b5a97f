from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from monitoring.alerts import evaluate, metric_name
from monitoring.configuration import DEFAULT_RULES, Rule
from storage.alerts import AlertChanges
from storage.records import Alert, Finding, Verdict

OK, WARNING, CRITICAL, INSUFFICIENT = Verdict.OK, Verdict.WARNING, Verdict.CRITICAL, Verdict.INSUFFICIENT
BASE = "https://maps.example.org/driftmap"
ACCURACY = Rule(name="accuracy", metric="accuracy")
AGAINST = "2016-01-01 to 2016-12-31"
DRIFT = Rule(name="drift", metric="drift:*")


def window(week: int) -> dict[str, datetime]:
    start = datetime(2018, 5, 1) + timedelta(days=7 * week)
    return {"window_start": start, "window_end": start + timedelta(days=7)}


def moment(week: int) -> datetime:
    return window(week)["window_end"] + timedelta(hours=6)


def finding(verdict: Verdict = CRITICAL, week: int = 0, **changes: object) -> Finding:
    plain = Finding(
        model="crops",
        version="v3",
        region="fergana",
        region_name="Fergana",
        **window(week),
        metric="accuracy",
        value=0.44,
        lower=0.38,
        upper=0.49,
        n=305,
        verdict=verdict,
        reference=0.76,
    )
    return replace(plain, **changes)


def drift(feature: str, value: float, verdict: Verdict = CRITICAL, week: int = 0) -> Finding:
    return finding(verdict, week, metric=f"drift:{feature}", value=value, lower=None, upper=None, reference=0.1)


class Clock:
    """What a monitor lives through: one evaluation a week, its changes kept."""

    def __init__(self, *rules: Rule, channels: tuple[str, ...] = ("ops",)) -> None:
        self.rules = rules
        self.channels = channels
        self.alerts: dict[str, Alert] = {}
        self.log: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self.changes = AlertChanges()

    def week(self, week: int, *latest: Finding) -> "Clock":
        opened = [alert for alert in self.alerts.values() if alert.state == "open"]
        self.changes = evaluate(self.rules, opened, latest, BASE, moment(week), self.channels, AGAINST)
        self.alerts |= {alert.id: alert for alert in self.changes.alerts}
        self.log += [event.event for event in self.changes.events]
        self.sent += [(each.event, each.channel) for each in self.changes.deliveries]
        return self

    @property
    def only(self) -> Alert:
        (alert,) = self.alerts.values()
        return alert


@pytest.mark.parametrize(
    ("severity", "verdicts", "log"),
    [
        ("critical", [OK, OK], []),
        ("critical", [WARNING, WARNING], []),
        ("critical", [INSUFFICIENT], []),
        ("critical", [CRITICAL], ["opened"]),
        ("warning", [WARNING], ["opened"]),
        ("warning", [CRITICAL], ["opened"]),
        ("critical", [CRITICAL, CRITICAL], ["opened", "updated"]),
        ("warning", [WARNING, CRITICAL], ["opened", "updated"]),
        ("critical", [CRITICAL, OK], ["opened", "closed"]),
        ("critical", [CRITICAL, WARNING], ["opened", "closed"]),
        ("warning", [CRITICAL, WARNING, OK], ["opened", "updated", "closed"]),
        ("critical", [CRITICAL, INSUFFICIENT], ["opened"]),
        ("critical", [CRITICAL, INSUFFICIENT, OK], ["opened", "closed"]),
        ("critical", [CRITICAL, None, None], ["opened"]),
        ("critical", [CRITICAL, OK, CRITICAL], ["opened", "closed", "opened"]),
    ],
)
def test_an_alert_opens_once_goes_on_while_it_holds_and_closes_when_it_does_not(
    severity: str, verdicts: list[Verdict | None], log: list[str]
) -> None:
    clock = Clock(Rule(name="accuracy", metric="accuracy", severity=severity))
    for week, verdict in enumerate(verdicts):
        clock.week(week, *([] if verdict is None else [finding(verdict, week)]))
    assert clock.log == log
    assert clock.sent == [(event, "ops") for event in log if event != "updated"]


def test_the_same_run_again_changes_nothing() -> None:
    clock = Clock(*DEFAULT_RULES).week(0, finding(), drift("ndvi", 0.4))
    assert len(clock.alerts) == 2
    clock.week(1, finding(), drift("ndvi", 0.4))
    assert clock.changes == AlertChanges()


def test_an_opened_alert_says_what_where_how_bad_against_what_and_since_when() -> None:
    alert = Clock(ACCURACY).week(0, finding()).only
    assert alert.message == (
        "Accuracy in Fergana is 0.44 (95% interval 0.38 to 0.49, n 305),"
        " 0.76 in the reference (2016-01-01 to 2016-12-31)."
        " Window 2018-05-01 to 2018-05-07; since 2018-05-01."
    )
    assert (alert.state, alert.severity, alert.opened_at) == ("open", CRITICAL, moment(0))
    assert (alert.value, alert.lower, alert.upper, alert.n) == (0.44, 0.38, 0.49, 305)


def test_its_link_opens_the_region_in_the_window() -> None:
    address = urlsplit(Clock(ACCURACY).week(0, finding()).only.url)
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{BASE}/"
    assert parse_qs(address.query) == {
        "page": ["regions"],
        "model": ["crops"],
        "version": ["v3"],
        "start": ["2018-05-01"],
        "end": ["2018-05-08"],
        "region": ["fergana"],
    }


def test_an_alert_that_goes_on_has_the_new_figures_and_its_old_beginning() -> None:
    clock = Clock(ACCURACY).week(0, finding()).week(1, finding(week=1, value=0.4, n=50))
    alert = clock.only
    assert (alert.value, alert.n, alert.window_start) == (0.4, 50, window(1)["window_start"])
    assert (alert.opened_at, alert.updated_at) == (moment(0), moment(1))
    assert alert.since == window(0)["window_start"]
    assert alert.message.endswith("Window 2018-05-08 to 2018-05-14; since 2018-05-01.")
    assert "start=2018-05-08" in alert.url


def test_an_alert_that_closes_says_so_with_the_figure_that_closed_it() -> None:
    clock = Clock(ACCURACY).week(0, finding()).week(1, finding(OK, 1, value=0.75, lower=0.7, upper=0.8))
    assert (clock.only.state, clock.only.closed_at) == ("closed", moment(1))
    (event,) = clock.changes.events
    assert event.detail.startswith("Accuracy in Fergana is 0.75 (95% interval 0.7 to 0.8, n 305), 0.76 in the")
    assert event.detail.endswith("and no longer critical. Window 2018-05-08 to 2018-05-14.")


def test_drift_of_many_features_is_one_alert_on_the_worst_that_names_the_others() -> None:
    clock = Clock(DRIFT).week(0, drift("a", 0.3), drift("b", 0.7), drift("c", 0.9, WARNING), drift("d", 0.2))
    assert clock.only.metric == "drift:b"
    assert clock.only.message.startswith("Drift of b in Fergana is 0.7 (n 305) against the reference (2016-01")
    assert clock.only.message.endswith("The same holds for 2 more: a, d.")


def test_drift_moves_to_another_feature_without_a_new_alert_and_closes_with_the_last() -> None:
    clock = Clock(DRIFT).week(0, drift("a", 0.7), drift("b", 0.3))
    clock.week(1, drift("a", 0.05, OK, 1), drift("b", 0.3, week=1))
    assert clock.only.metric == "drift:b"
    clock.week(2, drift("a", 0.05, OK, 2), drift("b", 0.02, OK, 2))
    assert clock.log == ["opened", "updated", "closed"]


def test_many_other_features_are_counted_not_all_named() -> None:
    features = [drift(f"f{place}", 0.2 + place / 10) for place in range(8)]
    message = Clock(DRIFT).week(0, *features).only.message
    assert message.endswith("The same holds for 7 more: f0, f1, f2, f3, f4 and 2 more.")


def test_of_accuracies_the_furthest_below_the_reference_is_the_worst() -> None:
    clock = Clock(Rule(name="classes", metric="users_accuracy:*")).week(
        0,
        finding(metric="users_accuracy:rice", value=0.3, reference=0.4),
        finding(metric="users_accuracy:cotton", value=0.5, reference=0.9),
    )
    assert clock.only.metric == "users_accuracy:cotton"
    assert clock.only.message.startswith("User's accuracy of cotton in Fergana")


def test_late_labels_open_an_alert_on_the_window_they_belong_to() -> None:
    clock = Clock(ACCURACY, DRIFT).week(2, finding(week=0), drift("ndvi", 0.01, OK, 2))
    assert clock.only.since == window(0)["window_start"]
    assert clock.only.opened_at == moment(2)


def test_regions_models_and_rules_have_alerts_of_their_own() -> None:
    clock = Clock(ACCURACY, DRIFT).week(
        0,
        finding(),
        finding(region=None, region_name=None),
        finding(region="samarkand", region_name=None),
        finding(model="roads"),
        drift("ndvi", 0.4),
    )
    assert len(clock.alerts) == 5
    whole = next(alert for alert in clock.alerts.values() if alert.region is None)
    assert whole.message.startswith("Accuracy over all regions is 0.44")
    assert "region=" not in whole.url


def test_a_new_version_that_is_well_closes_the_alert_of_the_old() -> None:
    clock = Clock(ACCURACY).week(0, finding()).week(1, finding(OK, 1, version="v4"))
    assert clock.only.state == "closed"


def test_of_two_versions_in_one_window_the_worse_counts() -> None:
    clock = Clock(ACCURACY).week(0, finding(OK), finding(version="v4"))
    assert (clock.only.state, clock.only.version) == ("open", "v4")


def test_an_alert_of_a_rule_that_is_gone_is_closed() -> None:
    clock = Clock(ACCURACY).week(0, finding())
    clock.rules = (DRIFT,)
    clock.week(1, finding(week=1))
    assert clock.only.state == "closed"
    assert "no longer in the configuration" in clock.changes.events[0].detail


@pytest.mark.parametrize(
    ("named", "reached"), [(None, ["mail", "ops"]), (("mail",), ["mail"]), ((), [])], ids=["all", "one", "none"]
)
def test_a_rule_without_channels_goes_to_all(named: tuple[str, ...] | None, reached: list[str]) -> None:
    rule = Rule(name="accuracy", metric="accuracy", channels=named)
    clock = Clock(rule, channels=("mail", "ops")).week(0, finding())
    assert [channel for _, channel in clock.sent] == reached
    assert {each.state for each in clock.changes.deliveries} <= {"waiting"}


def test_a_figure_without_a_value_still_makes_a_sentence() -> None:
    alert = Clock(ACCURACY).week(0, finding(value=None, lower=None, upper=None, reference=None)).only
    assert alert.message.startswith("Accuracy in Fergana is unknown (n 305). Window")


def test_metrics_have_names_in_words() -> None:
    assert metric_name("producers_accuracy:rice") == "Producer's accuracy of rice"
    assert metric_name("drift:predicted") == "Drift of the predicted classes"
    assert metric_name("something:else") == "something:else"
