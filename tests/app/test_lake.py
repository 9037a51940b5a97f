"""Several processes on one lake: servers, commands and monitors; and how a file becomes one."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner, Result

from app.cli import app
from app.schedule import create_scheduler
from app.workspace import Workspace
from monitoring.configuration import load_configuration
from monitoring.delivery import send_waiting
from storage.errors import InvalidConfigurationError
from storage.leases import Lease
from tests.app.small import csv, predictions, write_small
from tests.app.test_server import SECONDS, Server
from tests.postgres import Cluster


def driftmap(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(folder / "driftmap.yaml")])


def answer(folder: Path, *arguments: str) -> Any:
    result = driftmap(folder, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "driftmap.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


@pytest.fixture
def shared(postgres: Cluster, tmp_path: Path) -> Path:
    """A folder whose configuration names a lake."""
    folder = write_small(tmp_path)
    configure(folder, database=postgres.ready_lake(folder / "lake"), data_path="lake")
    return folder


def test_a_file_becomes_a_lake_with_the_same_content(folder: Path, postgres: Cluster) -> None:
    answer(folder, "ingest", str(folder / "predictions.csv"), "--model", "crops")
    answer(folder, "label", str(folder / "labels.csv"), "--model", "crops")
    before = answer(folder, "status")
    file = folder / "driftmap.duckdb"
    content = sha256(file.read_bytes()).hexdigest()
    location = postgres.new_lake()
    moved = answer(folder, "migrate", "--to", location, "--data-path", str(folder / "lake"))
    assert moved["equal"]
    assert all(each["equal"] and each["rows"] == each["rows_there"] for each in moved["tables"])
    counts = {each["table"]: each["rows"] for each in moved["tables"]}
    assert counts["prediction"] == 20
    assert counts["region"] == 3
    assert sha256(file.read_bytes()).hexdigest() == content

    again = driftmap(folder, "migrate", "--to", location, "--data-path", str(folder / "lake"))
    assert again.exit_code == 1
    assert "has rows already" in again.stderr

    configure(folder, database=location, data_path=str(folder / "lake"))
    after = answer(folder, "status")
    assert after["models"] == before["models"]
    assert answer(folder, "ingest", str(folder / "predictions.csv"), "--model", "crops")["unchanged"] == 20


def test_migrate_prints_a_table_and_what_to_write(folder: Path, postgres: Cluster) -> None:
    answer(folder, "status")
    location = postgres.new_lake()
    result = driftmap(folder, "migrate", "--to", location, "--data-path", str(folder / "lake"))
    assert result.exit_code == 0, result.stderr
    assert "prediction" in result.stdout
    assert "DIFFERENT" not in result.stdout
    assert f"database: {location}\ndata_path: {folder / 'lake'}\n" in result.stdout


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("elsewhere.duckdb", "only a lake has one"),
        ("ducklake:sqlite:x.db", "catalog in PostgreSQL"),
        ("ducklake:postgres:dbname=x password=y", "PGPASSWORD"),
    ],
)
def test_migrate_says_what_is_wrong_with_its_target(folder: Path, to: str, said: str) -> None:
    result = driftmap(folder, "migrate", "--to", to, "--data-path", "lake")
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"database": "ducklake:postgres:dbname=x"}, "data_path: missing"),
        ({"data_path": "lake"}, "only a lake has one"),
        ({"database": "ducklake:postgres:postgresql://me:secret@db/x", "data_path": "lake"}, "PGPASSWORD"),
    ],
)
def test_a_lake_that_is_configured_wrongly_is_said_in_one_line(folder: Path, changes: Any, said: str) -> None:
    configure(folder, **changes)
    with pytest.raises(InvalidConfigurationError, match=said):
        load_configuration(folder / "driftmap.yaml")


def test_compact_tidies_a_lake_up(shared: Path) -> None:
    for rows in (5, 10, 20):
        path = shared / "some.csv"
        path.write_text(csv(predictions(rows)))
        answer(shared, "ingest", str(path), "--model", "crops")
    tidied = answer(shared, "compact")
    assert tidied["files_after"] < tidied["files_before"]
    assert answer(shared, "status")["models"][0]["predictions"] == 20


def test_the_schedule_of_a_lake_has_compaction(shared: Path) -> None:
    with Workspace(load_configuration(shared / "driftmap.yaml")) as workspace:
        assert {job.id for job in create_scheduler(workspace).get_jobs()} == {"compact", "deliver"}


def test_messages_wait_for_the_process_that_is_sending(shared: Path) -> None:
    with Workspace(load_configuration(shared / "driftmap.yaml")) as workspace:
        assert Lease(workspace.database, "deliver", 2).take()  # of a process that dies at it
        started = time.monotonic()
        assert send_waiting(workspace.database, workspace.configuration) == []
        assert time.monotonic() - started > 1


def process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_monitors_at_once_run_every_window_of_every_model_once(shared: Path) -> None:
    body = yaml.safe_load((shared / "driftmap.yaml").read_text())["models"]["crops"]
    configure(shared, models={"crops": {**body, "window": "1w"}, "other": {**body, "window": "1w"}})
    for model in ("crops", "other"):
        answer(shared, "ingest", str(shared / "predictions.csv"), "--model", model)
    configuration = load_configuration(shared / "driftmap.yaml")
    with Workspace(configuration) as workspace:
        dead = Lease(workspace.database, "monitor crops", 4)  # of a process that died
        assert dead.take()
        span = ("monitor", "--backfill", "2026-03-02", "2026-03-16", "--json")
        pair = [process(shared, *span) for _ in range(2)]
        told = []
        for each in pair:
            out, errors = each.communicate(timeout=2 * SECONDS)
            assert each.returncode == 0, errors
            told.append({run["id"] for run in json.loads(out)})
        runs = answer(shared, "runs")
        assert sorted((run["model"], run["window_start"][:10]) for run in runs) == [
            (model, f"2026-03-{day:02}") for model in ("crops", "other") for day in (2, 9)
        ]
        assert {run["outcome"] for run in runs} == {"done"}
        assert told[0] == told[1] == {run["id"] for run in runs}
        figures = "SELECT count(*) FROM finding GROUP BY model, version, region, metric, window_start"
        assert set(workspace.database.rows(figures)) == {(1,)}


@pytest.mark.slow
def test_servers_and_commands_use_one_lake_at_once(shared: Path) -> None:
    servers = [Server(shared, "--no-monitor") for _ in range(2)]
    try:
        assert not list(shared.glob("*.owner"))
        token = {"Authorization": "Bearer token"}
        with ExitStack() as stack:
            command = stack.enter_context(process(shared, "ingest", "predictions.csv", "--model", "crops", "--json"))
            urls = [server.addresses["api"] for server in servers]
            clients = [httpx.Client(base_url=url, headers=token, timeout=SECONDS) for url in urls]
            apis = [stack.enter_context(client) for client in clients]
            labelled = apis[0].post("/models/crops/predictions", json=predictions(25))
            assert labelled.status_code == 200, labelled.text
            out, errors = command.communicate(timeout=SECONDS)
            assert command.returncode == 0, errors
            assert labelled.json()["accepted"] + json.loads(out)["accepted"] == 25
            assert [api.get("/models").json()[0]["predictions"] for api in apis] == [25, 25]
        assert [server.stop() for server in servers] == [(0, ""), (0, "")]
    finally:
        for server in servers:
            server.process.kill()
            server.process.communicate()
