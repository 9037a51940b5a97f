"""The example on real fields: what driftmap finds is what is known of them, and what pandas computes from the files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score
from typer.testing import CliRunner

from app.cli import app

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "central_asia"
FIELDS = Path(os.environ.get("DRIFTMAP_CENTRAL_ASIA", REPOSITORY.parent / "shared" / "data" / "central_asia_crops"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (FIELDS / "samples.parquet").is_file(),
        reason="no samples.parquet: name its folder in DRIFTMAP_CENTRAL_ASIA",
    ),
]


def driftmap(folder: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json", "--config", str(folder / "driftmap.yaml")])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder after the commands of the example's README."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("central_asia") / "work"
    program = [sys.executable, "-W", "error", str(EXAMPLE / "train_and_predict.py"), str(FIELDS), str(folder)]
    trained = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert trained.returncode == 0, trained.stderr
    for command, files in (("ingest", "predictions"), ("label", "labels")):
        taken = driftmap(folder, command, str(folder / files), "--model", "crops")
        assert (taken["accepted"], taken["refused"], taken["failed"]) == (8435, {}, 0)
    runs = driftmap(folder, "monitor", "--backfill", "2008-01-01", "2019-01-01")
    assert [run["outcome"] for run in runs] == ["done"] * 11
    return folder


@pytest.fixture(scope="module")
def findings(work: Path) -> pd.DataFrame:
    found = pd.DataFrame(driftmap(work, "findings"))
    return found.assign(year=found["window_start"].str[:4].astype(int))


@pytest.fixture(scope="module")
def fields(work: Path) -> pd.DataFrame:
    """Every field with its province, prediction and label, read from the files alone."""
    predicted = pd.concat(gpd.read_parquet(path) for path in sorted((work / "predictions").glob("*.parquet")))
    labels = pd.concat(pd.read_csv(path) for path in sorted((work / "labels").glob("*.csv")))
    provinces = gpd.read_parquet(FIELDS / "samples.parquet")[["sample_id", "region", "year"]]
    return predicted.merge(labels, on="sample_id").merge(provinces, on="sample_id")


def one(findings: pd.DataFrame, region: str | None, year: int, metric: str, version: str = "v1") -> pd.Series:
    place = findings["region"].isna() if region is None else findings["region"] == region
    chosen = findings[
        place & (findings["year"] == year) & (findings["metric"] == metric) & (findings["version"] == version)
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_fergana_2018_is_critical_and_far_overconfident(findings: pd.DataFrame) -> None:
    accuracy = one(findings, "fergana", 2018, "accuracy")
    assert accuracy["verdict"] == "critical"
    assert accuracy["value"] < 0.6
    gap = one(findings, "fergana", 2018, "confidence_gap")
    assert gap["verdict"] == "critical"
    assert gap["value"] > 0.25
    assert gap["lower"] > 0.15


def test_an_alert_is_open_for_fergana(work: Path) -> None:
    opened = driftmap(work, "alerts", "list", "--state", "open")
    assert {"accuracy", "confidence_gap"} <= {alert["metric"] for alert in opened if alert["region"] == "fergana"}


def test_the_reference_is_the_held_out_training_fields_and_nothing_else(
    findings: pd.DataFrame, fields: pd.DataFrame
) -> None:
    held_out = fields[fields["model_version"] == "reference"]
    assert set(held_out["region"]) == {"Samarkand", "Fergana"}
    assert set(held_out["year"]) == {2016}
    expected = accuracy_score(held_out["label"], held_out["predicted"])
    found = one(findings, None, 2016, "accuracy", "reference")
    assert (found["n"], found["verdict"]) == (len(held_out), "ok")
    assert found["value"] == pytest.approx(expected, abs=1e-9)
    assert 0.8 < expected < 0.95


@pytest.mark.parametrize(
    ("region", "year"),
    [
        ("Fergana", 2011),
        ("Fergana", 2015),
        ("Khorezm", 2015),
        ("Dushanbe", 2016),
        ("Fergana", 2017),
        ("Fergana", 2018),
        (None, 2015),
        (None, 2018),
    ],
)
def test_figures_are_those_that_pandas_computes(
    findings: pd.DataFrame, fields: pd.DataFrame, region: str | None, year: int
) -> None:
    place = fields["region"].notna() if region is None else fields["region"] == region
    chosen = fields[place & (fields["year"] == year)]
    correct = chosen["predicted"] == chosen["label"]
    expected = {
        "accuracy": correct.mean(),
        "confidence": chosen["confidence"].mean(),
        "confidence_gap": (chosen["confidence"] - correct).mean(),
    }
    for metric, value in expected.items():
        found = one(findings, region and region.lower(), year, metric)
        assert found["n"] == len(chosen)
        assert found["value"] == pytest.approx(value, abs=1e-6)
        assert found["lower"] < found["value"] < found["upper"]


def test_a_field_where_two_provinces_overlap_counts_for_one(findings: pd.DataFrame, fields: pd.DataFrame) -> None:
    chosen = fields[(fields["region"] == "Kashkadarya") & (fields["year"] == 2018)]
    both = [one(findings, region, 2018, "accuracy") for region in ("kashkadarya", "samarkand")]
    assert sum(found["n"] for found in both) == len(chosen)
    correct = sum(found["n"] * found["value"] for found in both)
    assert correct == pytest.approx((chosen["predicted"] == chosen["label"]).sum(), abs=1e-6)


def test_a_province_new_to_the_model_is_held_against_the_whole_reference(findings: pd.DataFrame) -> None:
    whole = one(findings, None, 2016, "accuracy", "reference")["value"]
    for region, year in (("khorezm", 2015), ("dushanbe", 2016)):
        found = one(findings, region, year, "accuracy")
        assert (found["reference"], found["verdict"]) == (whole, "critical")


def test_evidently_reports_on_every_year_but_that_of_the_reference(findings: pd.DataFrame) -> None:
    reported = findings[findings["metric"] == "evidently_drifted_share"]
    assert set(reported["year"]) == {2008, 2011, 2015, 2017, 2018}


def test_clouds_stay_missing_and_are_no_value(findings: pd.DataFrame, fields: pd.DataFrame) -> None:
    chosen = fields[(fields["region"] == "Fergana") & (fields["year"] == 2018)]
    for feature in ("ndvi_001", "ndvi_193", "ndvi_353"):
        found = one(findings, "fergana", 2018, f"drift:{feature}")
        assert found["details"]["missing"] == chosen[feature].isna().sum()
        assert found["n"] == chosen[feature].notna().sum()
