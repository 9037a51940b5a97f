"""The command line, as scripts use it: outputs, JSON and exit codes."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from app.cli import app
from monitoring.configuration import load_configuration
from storage.database import Database
from storage.findings import finish_run, start_run
from storage.records import Finding, Verdict, Window
from tests.app.small import START, csv, predictions


def driftmap(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(folder / "driftmap.yaml")])


def answer(folder: Path, *arguments: str) -> Any:
    result = driftmap(folder, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture
def filled(folder: Path) -> Path:
    answer(folder, "ingest", str(folder / "predictions.csv"), "--model", "crops")
    return folder


def test_init_writes_a_configuration_that_is_valid_as_it_stands(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "new")])
    assert result.exit_code == 0, result.stderr
    configuration = load_configuration(tmp_path / "new" / "driftmap.yaml")
    assert list(configuration.models) == ["my_model"]
    assert answer(tmp_path / "new", "status")["models"][0]["predictions"] == 0


def test_init_never_overwrites(folder: Path) -> None:
    before = (folder / "driftmap.yaml").read_text()
    result = CliRunner().invoke(app, ["init", str(folder)])
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert (folder / "driftmap.yaml").read_text() == before


def test_what_the_starter_leaves_as_a_comment_is_valid_too(tmp_path: Path) -> None:
    from app.starter import STARTER

    commented = STARTER.replace("# regions:\n", "regions:\n").replace("#   provinces:", "  provinces:")
    commented = commented.replace("# alerts:\n", "alerts:\n").replace("#   channels:", "  channels:")
    commented = commented.replace("#     ops:", "    ops:").replace("    # regions: prov", "    regions: prov")
    (tmp_path / "driftmap.yaml").write_text(commented)
    configuration = load_configuration(tmp_path / "driftmap.yaml")
    assert configuration.models["my_model"].regions == "provinces"
    assert "ops" in configuration.alerts.channels


def test_ingest_says_what_became_of_the_rows_and_twice_changes_nothing(folder: Path) -> None:
    first = answer(folder, "ingest", str(folder / "predictions.csv"), "--model", "crops")
    again = answer(folder, "ingest", str(folder / "predictions.csv"), "--model", "crops")
    assert (first["accepted"], first["failed"], first["files"][0]["accepted"]) == (20, 0, 20)
    assert (again["accepted"], again["replaced"], again["unchanged"]) == (0, 0, 20)


def test_ingest_prints_refused_rows_by_reason(folder: Path) -> None:
    records = predictions(3)
    records[0]["predicted"] = "maize"
    records[1]["lat"] = 95
    (folder / "bad.csv").write_text(csv(records))
    result = driftmap(folder, "ingest", str(folder / "bad.csv"), "--model", "crops")
    assert result.exit_code == 0, result.stderr
    assert "bad.csv" in result.stdout
    assert result.stdout.count("refused:") == 2


def test_one_bad_file_does_not_keep_the_others_out(folder: Path) -> None:
    (folder / "no_id.csv").write_text("time,lon,lat,predicted\n2026-03-02,60.5,40.5,wheat\n")
    files = [str(folder / name) for name in ("no_id.csv", "missing.csv", "predictions.csv")]
    result = driftmap(folder, "ingest", *files, "--model", "crops", "--json")
    counted = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (counted["accepted"], counted["failed"]) == (20, 2)
    assert len(result.stderr.strip().splitlines()) == 2
    assert "'id'" in result.stderr


def test_ingest_takes_folders_patterns_and_the_version_of_the_rows(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.csv").write_text(csv(predictions(4)[:2]))
    (folder / "in" / "b.csv").write_text(csv(predictions(4)[2:]))
    version = ("--model", "crops", "--model-version", "7")
    assert answer(folder, "ingest", str(folder / "in" / "a*.csv"), *version)["accepted"] == 2
    assert answer(folder, "ingest", str(folder / "in"), *version)["accepted"] == 2
    assert answer(folder, "status")["models"][0]["versions"] == ["7"]


def test_labels_join_predictions(filled: Path) -> None:
    assert answer(filled, "label", str(filled / "labels.csv"), "--model", "crops")["accepted"] == 20
    (model,) = answer(filled, "status")["models"]
    assert (model["model"], model["predictions"], model["labelled"]) == ("crops", 20, 20)
    assert driftmap(filled, "status").stdout.count("crops") == 1


def test_regions_replaces_a_set(filled: Path) -> None:
    body = json.loads((filled / "regions.geojson").read_text())
    body["features"] = body["features"][:2]
    (filled / "fewer.geojson").write_text(json.dumps(body))
    result = answer(filled, "regions", str(filled / "fewer.geojson"), "--set", "districts")
    assert (result["loaded"], result["reassigned"]) == (2, 10)


def finding(region: str | None, metric: str, start_week: int, value: float) -> Finding:
    window = week(start_week)
    name = region.title() if region else None
    return Finding("crops", "1", region, name, window.start, window.end, metric, value, 0.2, 0.9, 10, Verdict.OK)


def week(number: int) -> Window:
    from datetime import timedelta

    return Window(START + timedelta(weeks=number), START + timedelta(weeks=number + 1))


@pytest.fixture
def judged(filled: Path) -> Path:
    with Database.open(str(filled / "driftmap.duckdb")) as database:
        for number in (0, 1):
            found = [
                finding(None, "accuracy", number, 0.5),
                finding("west", "accuracy", number, 0.6),
                finding("west", "drift:ndvi", number, 0.1),
            ]
            finish_run(database, start_run(database, "crops", week(number)), found)
    return filled


def test_findings_carry_what_programs_need(judged: Path) -> None:
    found = answer(judged, "findings")
    assert len(found) == 6
    needed = "model version region region_name window_start window_end metric value lower upper n verdict"
    assert set(needed.split()) <= set(found[0])
    whole = answer(judged, "findings", "--region", "whole", "--latest")
    assert [(one["region"], one["window_start"][:10]) for one in whole] == [(None, "2026-03-09")]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--region", "west"], 4),
        (["--metric", "drift:*"], 2),
        (["--model", "other"], 0),
        (["--from", "2026-03-09"], 3),
        (["--to", "2026-03-09"], 3),
        (["--latest"], 3),
    ],
)
def test_findings_are_filtered(judged: Path, options: list[str], count: int) -> None:
    assert len(answer(judged, "findings", *options)) == count


@pytest.mark.slow
def test_monitor_judges_every_window_of_a_span_and_again_changes_nothing(filled: Path) -> None:
    answer(filled, "label", str(filled / "labels.csv"), "--model", "crops")
    span = ("monitor", "--backfill", "2026-03-02", "2026-03-16")
    runs = answer(filled, *span)
    assert [(run["window_start"][:10], run["outcome"]) for run in runs] == [
        ("2026-03-02", "done"),
        ("2026-03-09", "done"),
    ]
    before = answer(filled, "findings", "--metric", "accuracy")
    assert {one["region"] for one in before} == {None, "all", "west", "east"}
    answer(filled, *span)
    again = answer(filled, "findings", "--metric", "accuracy")
    assert [one | {"run": ""} for one in again] == [one | {"run": ""} for one in before]


def test_a_model_that_cannot_be_monitored_does_not_keep_the_others_from_it(filled: Path) -> None:
    configuration = yaml.safe_load((filled / "driftmap.yaml").read_text())
    crops = configuration["models"]["crops"]
    broken = crops | {"regions": None, "scoring": {"program": "nowhere.pt2", "tables": "predictions.csv"}}
    configuration["models"] = {"broken": broken, "crops": crops}
    (filled / "driftmap.yaml").write_text(yaml.safe_dump(configuration))
    result = driftmap(filled, "monitor", "--at", "2026-01-05", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nowhere.pt2" in result.stderr
    assert [run["model"] for run in answer(filled, "runs")] == ["crops"]


def test_findings_as_a_table_round_to_three_digits_and_name_the_verdict(judged: Path) -> None:
    printed = driftmap(judged, "findings", "--metric", "accuracy", "--latest").stdout
    assert "0.600" in printed
    assert "0.200–0.900" in printed
    assert "● ok" in printed
    assert "West" in printed


def test_alerts_and_runs_are_arrays(judged: Path) -> None:
    assert answer(judged, "alerts", "list") == []
    assert answer(judged, "alerts", "list", "--state", "open") == []
    runs = answer(judged, "runs")
    assert [run["outcome"] for run in runs] == ["done", "done"]
    assert "done" in driftmap(judged, "runs").stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["alerts", "show", "nothing"], "nothing"),
        (["ingest", "predictions.csv", "--model", "unknown"], "No model 'unknown'"),
        (["regions", "nowhere.geojson", "--set", "districts"], "nowhere.geojson"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, arguments: list[str], line: str) -> None:
    result = driftmap(folder, *arguments, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert line in result.stderr


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    result = driftmap(tmp_path, "status")
    assert result.exit_code == 1
    assert "driftmap init" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["ingest", "x.csv"],
        ["findings", "--from", "yesterday"],
        ["monitor", "--at", "noon"],
        ["monitor", "--backfill", "2026-01-01"],
        ["monitor", "--backfill", "2026-01-01", "never"],
        ["alerts", "list", "--state", "ajar"],
    ],
)
def test_wrong_usage_is_exit_code_2(folder: Path, arguments: list[str]) -> None:
    assert driftmap(folder, *arguments).exit_code == 2


def test_reading_findings_loads_none_of_the_heavy_libraries(judged: Path) -> None:
    program = (
        "import sys; from app.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'panel', 'bokeh', 'evidently', 'torch', 'fastapi', 'uvicorn', 'apprise', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    arguments = ["findings", "--json", "--config", str(judged / "driftmap.yaml")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert len(json.loads(done.stdout)) == 6


def test_region_names_are_never_read_as_markup(folder: Path) -> None:
    from io import StringIO

    from rich.console import Console

    from app import tables
    from app.commands import plain

    out = StringIO()
    shown = plain(finding("west", "accuracy", 0, 0.5)) | {"region_name": "[red]West[/]"}
    tables.show(Console(file=out, width=200), "findings", [shown])
    assert "[red]West[/]" in out.getvalue()


def test_every_command_takes_config_and_json() -> None:
    import typer

    group = typer.main.get_command(app)
    nested = group.commands.pop("alerts")  # type: ignore[attr-defined]
    commands = {**group.commands, **nested.commands}  # type: ignore[attr-defined]
    for name, command in commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, name
        assert name == "demo" or "--config" in options, name


def test_the_starter_is_plain_yaml() -> None:
    from app.starter import STARTER

    assert set(yaml.safe_load(STARTER)) == {"database", "url", "models"}


def test_the_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"driftmap {version('driftmap')}\n"
