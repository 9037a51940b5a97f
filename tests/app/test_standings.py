"""How regions stand: what is worst, what is said, and in which order."""

from datetime import datetime
from typing import Any

import pytest

from app.standings import Standing, sentence, worst
from storage.records import Finding, Verdict
from storage.regions import Region

REGION = Region(3, "d1", "Veirnath", 2, 1, 1e9)


def finding(metric: str, value: float | None, verdict: Verdict = Verdict.OK, **figures: Any) -> Finding:
    figures = {"lower": None, "upper": None, "n": 161, "reference": None} | figures
    window = (datetime(2026, 4, 13), datetime(2026, 4, 20))
    return Finding("crops", "1", "d1", "Veirnath", *window, metric, value, verdict=verdict, **figures)


def standing(accuracy: Finding | None = None, gap: Finding | None = None, *drifts: Finding) -> Standing:
    return Standing(REGION, accuracy, gap, drifts, 1000)


def test_the_worst_verdict_counts_and_no_data_is_the_least() -> None:
    assert worst([Verdict.OK, Verdict.INSUFFICIENT, Verdict.WARNING]) == Verdict.WARNING
    assert worst([Verdict.INSUFFICIENT, Verdict.OK]) == Verdict.OK
    assert worst([]) == Verdict.INSUFFICIENT


def test_the_sentence_says_what_is_wrong() -> None:
    said = sentence(
        standing(
            finding("accuracy", 0.497, Verdict.CRITICAL, lower=0.42, upper=0.573, reference=0.95),
            finding("confidence_gap", 0.466, Verdict.CRITICAL),
            finding("drift:swir1", 1.08, Verdict.CRITICAL),
            finding("drift:nir", 0.6, Verdict.WARNING),
            finding("drift:red", 0.05),
        )
    )
    assert said == (
        "Accuracy 0.497 (0.42–0.573, n 161) in 13–19 Apr 2026; 0.95 in the reference. Overconfident by 0.466. "
        "2 figures drifted in 13–19 Apr 2026, most: swir1 (1.08)."
    )


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        (None, "No labels have been judged yet."),
        (finding("accuracy", 0.5, Verdict.INSUFFICIENT, n=12), "Too few labels to judge accuracy (n 12)."),
    ],
)
def test_the_sentence_says_what_is_not_known(accuracy: Finding | None, said: str) -> None:
    assert sentence(standing(accuracy)) == said


def test_the_strongest_drift_is_the_worst_and_then_the_largest() -> None:
    drifts = (
        finding("drift:rain", 0.9),
        finding("drift:red", 0.4, Verdict.WARNING),
        finding("drift:nir", 0.3, Verdict.WARNING),
        finding("drift:empty", None, Verdict.INSUFFICIENT),
    )
    found = standing(None, None, *drifts)
    assert found.strongest == drifts[1]
    assert found.verdict == Verdict.WARNING
    assert found.drifted == [drifts[1], drifts[2]]
