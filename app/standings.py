"""How each region stands: the last judged figures within the chosen days, most urgent first."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.filters import whole
from app.numbers import count, days, interval, number
from app.selection import Selection
from monitoring.units import Units
from storage.catalog import stored_model
from storage.database import Database
from storage.findings import last_judged
from storage.queries import outcome_histogram
from storage.records import Finding, Verdict, Window
from storage.regions import Region, RegionSet, region_set

SEVERITY = (Verdict.CRITICAL, Verdict.WARNING, Verdict.OK, Verdict.INSUFFICIENT)
KINDS = ("accuracy", "confidence_gap", "drift")


@dataclass(frozen=True)
class Standing:
    """The last judged figures of a region, or of the whole (`region` None); `drifts`: the largest effect first.

    `predictions` is the number within the chosen days, judged or not.
    """

    region: Region | None
    accuracy: Finding | None
    gap: Finding | None
    drifts: tuple[Finding, ...]
    predictions: int

    @property
    def judged(self) -> list[Finding]:
        return [each for each in (self.accuracy, self.gap, *self.drifts) if each is not None]

    @property
    def verdict(self) -> Verdict:
        """The worst of the figures' verdicts."""
        return worst(each.verdict for each in self.judged)

    @property
    def drop(self) -> float:
        """How far accuracy is below its reference; 0 where that is not known."""
        if self.accuracy is None or self.accuracy.value is None or self.accuracy.reference is None:
            return 0.0
        return self.accuracy.reference - self.accuracy.value

    @property
    def drifted(self) -> list[Finding]:
        """What has drifted by verdict, the largest effect first."""
        return [each for each in self.drifts if each.verdict in (Verdict.WARNING, Verdict.CRITICAL)]

    @property
    def strongest(self) -> Finding | None:
        """The finding of drift that is worst: by verdict, then by effect."""
        known = [each for each in self.drifts if each.value is not None]
        return min(known, key=lambda each: (SEVERITY.index(each.verdict), -(each.value or 0)), default=None)


@dataclass(frozen=True)
class Standings:
    """Every region of a model, by id, the most urgent first; and the whole. `windows`: the last of each kind."""

    regions: RegionSet
    whole: Standing
    by_id: dict[str, Standing]
    windows: dict[str, Window]

    def of_level(self, level: int) -> list[Standing]:
        return [each for each in self.by_id.values() if each.region is not None and each.region.level == level]

    @property
    def levels(self) -> list[int]:
        return sorted({region.level for region in self.regions.regions})


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    return min(verdicts, key=SEVERITY.index, default=Verdict.INSUFFICIENT)


def feature_of(finding: Finding) -> str:
    """The feature of a finding of drift."""
    return finding.metric.removeprefix("drift:")


def read_standings(database: Database, selection: Selection) -> Standings:
    """The standings of the Selection's model within its days. Of several versions in one window the worst counts."""
    regions = region_set(database, stored_model(database, selection.model).regions)
    wanted = whole(selection)
    found = last_judged(database, selection.model, KINDS, version=selection.version, start=wanted.start, end=wanted.end)
    best: dict[tuple[str | None, str], Finding] = {}
    for each in found:
        place = (each.region, each.metric)
        if place not in best or _rank(each) < _rank(best[place]):
            best[place] = each
    by_region: dict[str | None, list[Finding]] = {}
    for (region, _), each in best.items():
        by_region.setdefault(region, []).append(each)

    units = Units(regions)
    by_key = outcome_histogram(database, wanted, "predicted").groupby("region")["n"].sum()
    rows = units.roll_up(by_key.reindex(range(units.keys), fill_value=0).to_numpy(float))
    standings = [
        _standing(place, by_region.get(place.id if place else None, []), int(n))
        for place, n in zip(units.places, rows, strict=True)
    ]
    ranked = sorted(standings[1:], key=_urgency)
    windows: dict[str, Window] = {}
    for each in found:
        kind, window = each.metric.split(":")[0], Window(each.window_start, each.window_end)
        if each.verdict != Verdict.INSUFFICIENT and (kind not in windows or window.end > windows[kind].end):
            windows[kind] = window
    return Standings(regions, standings[0], {each.region.id: each for each in ranked if each.region}, windows)


def _standing(region: Region | None, found: list[Finding], predictions: int) -> Standing:
    by_metric = {each.metric: each for each in found}
    drifts = [each for each in found if each.metric.startswith("drift:")]
    drifts.sort(key=lambda each: -(each.value if each.value is not None else -1.0))
    return Standing(region, by_metric.get("accuracy"), by_metric.get("confidence_gap"), tuple(drifts), predictions)


def _rank(finding: Finding) -> tuple[int, int]:
    return SEVERITY.index(finding.verdict), -finding.n


def _urgency(standing: Standing) -> tuple[int, float, str]:
    assert standing.region is not None
    return SEVERITY.index(standing.verdict), -standing.drop, standing.region.name


def sentence(standing: Standing) -> str:
    """What is known of a region in one or two plain sentences."""
    parts = []
    accuracy = standing.accuracy
    if accuracy is None or accuracy.value is None:
        parts.append("No labels have been judged yet.")
    elif accuracy.verdict == Verdict.INSUFFICIENT:
        parts.append(f"Too few labels to judge accuracy (n {count(accuracy.n)}).")
    else:
        said = f"Accuracy {number(accuracy.value)} ({interval(accuracy.lower, accuracy.upper)}, n {count(accuracy.n)})"
        said += f" in {days(accuracy.window_start, accuracy.window_end)}"
        parts.append(f"{said}; {number(accuracy.reference)} in the reference." if accuracy.reference else f"{said}.")
    gap = standing.gap
    if gap is not None and gap.value is not None and gap.verdict in (Verdict.WARNING, Verdict.CRITICAL):
        word = "Overconfident" if gap.value > 0 else "Underconfident"
        parts.append(f"{word} by {number(abs(gap.value))}.")
    drifted = standing.drifted
    if drifted:
        first = drifted[0]
        when = days(first.window_start, first.window_end)
        what = f"{feature_of(first)} ({number(first.value)})"
        if len(drifted) == 1:
            parts.append(f"One figure drifted in {when}: {what}.")
        else:
            parts.append(f"{len(drifted)} figures drifted in {when}, most: {what}.")
    elif any(each.verdict == Verdict.OK for each in standing.drifts):
        parts.append(f"Nothing drifted in {days(standing.drifts[0].window_start, standing.drifts[0].window_end)}.")
    return " ".join(parts)
