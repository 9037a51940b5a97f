"""How often the drift decision is wrong: false alarms without drift, and how much planted drift it finds.

A small world per scenario: 60 regions (where nothing is planted also their 5 parents and the whole), 12 features
(three each normal, skewed, heavy-tailed and categorical), 8 reference weeks, then 6 monitored weeks. Weeks may
follow a season of 8 weeks that peaks everywhere at once, with an amplitude of its own per region and feature, and
may wander from week to week; some regions may be upset by 1.5 sd for three weeks of the reference. Rates are per
region × feature × week; `regions_found` is the share of planted regions with a critical finding in at least one
feature, per week.
    python benchmarks/drift_decisions.py --json
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.drift import (
    DriftRule,
    Effect,
    benjamini_hochberg,
    categorical_effect,
    leave_one_out,
    numeric_effect,
)
from storage.records import Verdict

REGIONS, WEEKS, REFERENCE_WEEKS, NUMERIC, CATEGORICAL = 60, 14, 8, 9, 3
BINS, CATEGORIES = 160, 5
LOW, WIDTH = -6.0, 0.075
PLANTED_REGIONS, PLANTED_FEATURES = 3, (0, 1, 2)  # normal, skewed, heavy-tailed


@dataclass(frozen=True)
class Scenario:
    """`rows` a region and week; season amplitude, week-to-week wander and planted shift in sd."""

    name: str
    rows: tuple[int, int] = (200, 201)
    season: float = 0.0
    wander: float = 0.0
    shift: float = 0.0
    current_rows: tuple[int, int] | None = None
    upset_regions: int = 0
    reference_weeks: int = 8


SCENARIOS = (
    Scenario("nothing happens, n 200"),
    Scenario("nothing happens, n 30 to 300", rows=(30, 300)),
    Scenario("nothing happens, reference weeks of 200, windows of 30 to 60", current_rows=(30, 60)),
    Scenario("season 0.2, n 200", season=0.2),
    Scenario("season 0.5, n 200", season=0.5),
    Scenario("season 0.5, n 30 to 300", season=0.5, rows=(30, 300)),
    Scenario("season 0.3 and wander 0.1, n 200", season=0.3, wander=0.1),
    Scenario("season 0.3 and wander 0.1, n 30 to 300", season=0.3, wander=0.1, rows=(30, 300)),
    Scenario("nothing happens, 2 reference weeks, n 30 to 300", rows=(30, 300), reference_weeks=2),
    Scenario("shift 0.5, n 200", shift=0.5),
    Scenario("shift 0.5, 4 regions upset in the reference, n 200", shift=0.5, upset_regions=4),
    Scenario("shift 1, 2 reference weeks, n 200", shift=1.0, reference_weeks=2),
    Scenario("shift 0.5, season 0.2, n 200", shift=0.5, season=0.2),
    Scenario("shift 0.75, season 0.3, n 200", shift=0.75, season=0.3),
    Scenario("shift 1, season 0.3 and wander 0.1, n 200", shift=1.0, season=0.3, wander=0.1),
    Scenario("shift 1, season 0.5, n 200", shift=1.0, season=0.5),
    Scenario("shift 1, n 30 to 300", shift=1.0, rows=(30, 300)),
)


def numeric_weeks(random: np.random.Generator, mean: NDArray, rows: NDArray, shape: int) -> NDArray:
    """Histograms [..., BINS] of `rows` values around `mean` with unit standard deviation."""
    total = int(rows.sum())
    if shape == 0:
        noise = random.standard_normal(total)
    elif shape == 1:
        noise = random.standard_gamma(1.5, total) / np.sqrt(1.5) - np.sqrt(1.5)
    else:
        noise = random.standard_t(4, total) / np.sqrt(2)
    unit = np.repeat(np.arange(rows.size), rows.ravel())
    place = np.clip(np.floor((mean.ravel()[unit] + noise - LOW) / WIDTH), 0, BINS - 1).astype(np.int64)
    counts = np.bincount(unit * BINS + place, minlength=rows.size * BINS)
    return counts.reshape(*rows.shape, BINS)


def world(random: np.random.Generator, scenario: Scenario) -> list[tuple[NDArray, NDArray, bool]]:
    """Per feature: reference weeks [R, 8, B], monitored weeks [R, 6, B], whether it is a number."""
    week = np.arange(WEEKS)
    rows = random.integers(*scenario.rows, (REGIONS, WEEKS))
    if scenario.current_rows:
        rows[:, REFERENCE_WEEKS:] = random.integers(*scenario.current_rows, (REGIONS, WEEKS - REFERENCE_WEEKS))
    features = []
    for feature in range(NUMERIC + CATEGORICAL):
        amplitude = scenario.season * random.uniform(0.5, 1.0, (REGIONS, 1))
        mean = amplitude * np.sin(2 * np.pi * (week / REFERENCE_WEEKS + random.random()))
        mean = mean + scenario.wander * random.standard_normal((REGIONS, WEEKS))
        mean[REGIONS - scenario.upset_regions :, 2:5] += 1.5
        if feature in PLANTED_FEATURES:
            mean[:PLANTED_REGIONS, REFERENCE_WEEKS:] += scenario.shift
        if feature < NUMERIC:
            counts = numeric_weeks(random, mean + random.normal(0, 0.3, (REGIONS, 1)), rows, feature % 3)
        else:
            lean = mean[..., None] * np.linspace(-1, 1, CATEGORIES)
            odds = np.exp(lean + random.normal(0, 0.7, CATEGORIES))
            counts = random.multinomial(rows, odds / odds.sum(axis=-1, keepdims=True))
        reference = counts[:, REFERENCE_WEEKS - scenario.reference_weeks : REFERENCE_WEEKS]
        features.append((reference, counts[:, REFERENCE_WEEKS:], feature < NUMERIC))
    return features


def compare(reference: NDArray, current: NDArray, number: bool) -> Effect:
    return numeric_effect(reference, current, WIDTH) if number else categorical_effect(reference, current)


def judged(features: list[tuple[NDArray, NDArray, bool]], rule: DriftRule) -> NDArray:
    """Verdicts [features, regions, weeks], adjusted over features and regions of a week as a run does."""
    effects, usual = [], []
    for reference, current, number in features:
        effect = compare(reference.sum(axis=1)[:, None], current, number)
        against_itself = compare(*leave_one_out(reference), number)
        limits = [
            rule.usual_effect(against_itself, compare(reference.sum(axis=1), current[:, week], number))
            for week in range(current.shape[1])
        ]
        effects.append(effect)
        usual.append(np.stack(limits, axis=-1))
    p = np.stack([effect.p_value for effect in effects])
    adjusted = np.stack([benjamini_hochberg(p[..., week]) for week in range(p.shape[-1])], axis=-1)
    return np.stack([rule.decide(adjusted[i], effect, usual[i]) for i, effect in enumerate(effects)])


def merged(features: list[tuple[NDArray, NDArray, bool]], n: int) -> list[tuple[NDArray, NDArray, bool]]:
    """The same features with every `n` regions added up to one."""
    return [
        (*(side.reshape(-1, n, *side.shape[1:]).sum(axis=1) for side in sides), number) for *sides, number in features
    ]


def measure(scenario: Scenario, repeats: int, rule: DriftRule, seed: list[int]) -> dict:
    random = np.random.default_rng(seed)
    worlds = [world(random, scenario) for _ in range(repeats)]
    verdicts = np.stack([judged(features, rule) for features in worlds])
    planted = np.zeros(verdicts.shape, dtype=bool)
    if scenario.shift:
        planted[:, list(PLANTED_FEATURES), :PLANTED_REGIONS] = True
    quiet = verdicts[~planted & (verdicts != Verdict.INSUFFICIENT)]
    result = asdict(scenario) | {
        "tests_without_drift": int(quiet.size),
        "false_warnings": int((quiet == Verdict.WARNING).sum()),
        "false_criticals": int((quiet == Verdict.CRITICAL).sum()),
    }
    if not scenario.shift:
        above = [judged(merged(features, n), rule) for features in worlds for n in (REGIONS // 5, REGIONS)]
        parents = np.concatenate([verdict.ravel() for verdict in above])
        result |= {
            "parent_tests": int(parents.size),
            "parent_false_warnings": int((parents == Verdict.WARNING).sum()),
            "parent_false_criticals": int((parents == Verdict.CRITICAL).sum()),
        }
    else:
        found = verdicts[:, list(PLANTED_FEATURES), :PLANTED_REGIONS]
        result |= {
            "planted_critical": float((found == Verdict.CRITICAL).mean()),
            "planted_warning_or_critical": float((found != Verdict.OK).mean()),
            "regions_found": float((found == Verdict.CRITICAL).any(axis=1).mean()),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    results = [
        measure(scenario, options.repeats, DriftRule(), [options.seed, place])
        for place, scenario in enumerate(SCENARIOS)
    ]
    seconds = round(time.perf_counter() - began, 1)
    if options.json:
        print(json.dumps({"rule": asdict(DriftRule()), "seconds": seconds, "scenarios": results}, indent=2))
        return
    for result in results:
        rates = {key: value for key, value in result.items() if key not in asdict(SCENARIOS[0])}
        print(f"{result['name']}:", *(f"{key} {value:.4g}" for key, value in rates.items()))
    print(seconds, "s")


if __name__ == "__main__":
    main()
