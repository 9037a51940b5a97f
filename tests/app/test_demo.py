"""The demo as a whole: what was planted is found, and nothing else is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from storage.alerts import alerts
from storage.database import Database
from storage.findings import findings, reports, runs
from storage.queries import Filter, count


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_planted_regions_are_found_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "app.cli", "demo", "--dir", str(folder), "--no-serve", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    truth = json.loads((folder / "truth.json").read_text())

    assert set(told["planted"]) == {*truth["sensor"], *truth["concept"]}
    opened = {alert["region"] for alert in told["alerts"] if alert["state"] == "open"}
    assert set(told["planted"]) <= opened
    assert {alert["region"] for alert in told["alerts"]} <= {*told["planted"], *told["ancestors"]}
    by_rule = {rule: {a["region"] for a in told["alerts"] if a["rule"] == rule} for rule in ("accuracy", "drift")}
    assert set(truth["sensor"]) <= by_rule["drift"]
    assert set(truth["concept"]) <= by_rule["accuracy"] - by_rule["drift"]
    assert all(alert["opened_at"] > "2026-03-16" for alert in told["alerts"])  # the failures begin on that day

    with Database.open(str(folder / "driftmap.duckdb")) as database:
        assert count(database, Filter("crops")) == 200_000
        assert len(alerts(database)) == len(told["alerts"])
        assert {run.outcome for run in runs(database)} == {"done"}
        assert len({finding.window_start for finding in findings(database, "crops")}) == 16
        assert len(reports(database, "crops")) == 8  # none of the reference against itself
