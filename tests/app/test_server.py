"""A real server process: it owns the database, answers, passes commands on, and goes quietly."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.schedule import create_scheduler, monitor_now
from app.workspace import Workspace
from monitoring.configuration import load_configuration
from storage.errors import InvalidConfigurationError
from storage.findings import runs
from tests.app.small import predictions, run_apart

pytestmark = pytest.mark.slow

SECONDS = 120  # on a busy machine


class Server:
    """`driftmap serve` on free ports."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        arguments = ["serve", "--config", "driftmap.yaml", "--port", "0", "--api-port", "0", "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments, *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "DRIFTMAP_API_TOKEN": "token"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.addresses = json.loads(line)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and what stands on stderr after a signal."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=SECONDS)[1]
        return self.process.returncode, errors


def driftmap(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.communicate()


def test_a_server_answers_takes_commands_and_leaves_nothing_behind(server: Server, folder: Path) -> None:
    owner = folder / "driftmap.duckdb.owner"
    assert stat.S_IMODE(owner.stat().st_mode) == 0o600
    api = httpx.Client(base_url=server.addresses["api"], headers={"Authorization": "Bearer token"}, timeout=SECONDS)
    assert api.get("/health/ready").json() == {"status": "ready"}
    assert httpx.get(server.addresses["dashboard"], timeout=SECONDS).status_code == 200

    ingested = driftmap(folder, "ingest", "predictions.csv", "--model", "crops", "--json")
    assert ingested.returncode == 0, ingested.stderr
    assert json.loads(ingested.stdout)["accepted"] == 20
    assert api.post("/models/crops/predictions", json=predictions(25)).json()["accepted"] == 5

    mistaken = driftmap(folder, "ingest", "nowhere.csv", "--model", "crops")
    assert mistaken.returncode == 1
    assert "nowhere.csv" in mistaken.stderr
    unknown = driftmap(folder, "label", "labels.csv", "--model", "other")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("driftmap: No model 'other'")

    second = driftmap(folder, "serve", "--port", "0", "--api-port", "0")
    assert second.returncode == 1
    assert "in use" in second.stderr

    api.close()
    code, errors = server.stop()
    assert (code, errors) == (0, "")
    assert not owner.exists()
    status = json.loads(driftmap(folder, "status", "--json").stdout)
    assert status["models"][0]["predictions"] == 25


def test_ctrl_c_stops_it_too(server: Server, folder: Path) -> None:
    code, errors = server.stop(signal.SIGINT)
    assert (code, errors) == (0, "")
    assert not (folder / "driftmap.duckdb.owner").exists()


def test_without_an_owner_file_a_command_says_who_has_the_database(folder: Path) -> None:
    program = (
        "import sys; from storage.database import Database\n"
        "with Database.open('driftmap.duckdb'): print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    holder.stdout.readline()
    refused = driftmap(folder, "findings", "--json")
    holder.communicate("")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert str(holder.pid) in refused.stderr


@pytest.mark.parametrize("option", ["--port", "--api-port"])
def test_a_port_that_is_taken_is_one_line(folder: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"--port": "0", "--api-port": "0", option: str(taken.getsockname()[1])}
        options = [text for pair in ports.items() for text in pair]
        refused = driftmap(folder, "serve", *options)
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].endswith(f"Choose another port with {option}.")
    assert not (folder / "driftmap.duckdb.owner").exists()


def test_an_open_api_needs_a_token(folder: Path) -> None:
    refused = driftmap(folder, "serve", "--host", "0.0.0.0", "--port", "0", "--api-port", "0")
    assert refused.returncode == 1
    assert "DRIFTMAP_API_TOKEN" in refused.stderr


def test_the_schedule_has_a_job_a_model_and_refuses_nonsense(folder: Path) -> None:
    configuration = load_configuration(folder / "driftmap.yaml")
    model = configuration.models["crops"]
    for schedule, names in (("0 6 * * *", {"monitor crops", "deliver", "compact"}), (None, {"deliver", "compact"})):
        models = {"crops": model.model_copy(update={"schedule": schedule})}
        workspace = Workspace(configuration.model_copy(update={"models": models}))
        assert {job.id for job in create_scheduler(workspace).get_jobs()} == names
    models = {"crops": model.model_copy(update={"schedule": "at noon"})}
    with pytest.raises(InvalidConfigurationError, match=r"models\.crops\.schedule"):
        create_scheduler(Workspace(configuration.model_copy(update={"models": models})))


def test_a_scheduled_run_that_goes_wrong_is_logged_and_no_more(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Workspace(load_configuration(folder / "driftmap.yaml")) as workspace:
        run_apart(monitor_now(workspace, "other"))
        assert "No model 'other'" in caplog.text
        run_apart(monitor_now(workspace, "crops"))
        assert [run.outcome for run in runs(workspace.database)] == ["done"]
