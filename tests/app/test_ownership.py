"""The owner file, and commands that reach the server which owns the database."""

import json
import os
import subprocess
import sys
from pathlib import Path

from app.api import create_api
from app.ownership import SECRET_HEADER, current_owner, owner_file, owning, pack, unpack
from app.workspace import Workspace
from monitoring.configuration import load_configuration
from tests.app.small import Client


def test_the_owner_file_is_private_and_goes_away(tmp_path: Path) -> None:
    location = str(tmp_path / "driftmap.duckdb")
    with owning(location, "http://127.0.0.1:1") as owner:
        assert owner_file(location).stat().st_mode & 0o777 == 0o600
        assert current_owner(location) == owner
        assert owner.pid == os.getpid()
    assert not owner_file(location).exists()
    assert current_owner(location) is None


def test_an_owner_that_is_dead_or_unreadable_is_none(tmp_path: Path) -> None:
    location = str(tmp_path / "driftmap.duckdb")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    body = {"pid": gone.pid, "address": "http://127.0.0.1:1", "secret": "s"}
    for text in (json.dumps(body), "", "[]", '{"pid": 1}'):
        owner_file(location).write_text(text)
        assert current_owner(location) is None


def test_the_configuration_arrives_as_it_was_sent_without_the_token(folder: Path) -> None:
    sent = load_configuration(folder / "driftmap.yaml").model_copy(update={"api_token": "secret"})
    packed = json.loads(json.dumps(pack(sent, {"model": "crops"})))
    received, arguments = unpack(packed)
    assert "secret" not in json.dumps(packed)
    assert received == sent.model_copy(update={"api_token": None, "folder": folder.resolve()})
    assert arguments == {"model": "crops"}


def test_commands_are_carried_out_only_for_who_knows_the_secret(folder: Path) -> None:
    configuration = load_configuration(folder / "driftmap.yaml")
    body = pack(configuration, {})
    with Workspace(configuration) as workspace:
        client = Client(create_api(workspace, "secret"))
        assert client.post("/local/commands/status", json=body).status_code == 403
        wrong = {SECRET_HEADER: "guess"}
        assert client.post("/local/commands/status", json=body, headers=wrong).status_code == 403
        right = {SECRET_HEADER: "secret"}
        answer = client.post("/local/commands/status", json=body, headers=right)
        assert answer.json()["result"]["models"][0]["model"] == "crops"
        assert client.post("/local/commands/other", json=body, headers=right).status_code == 404


def test_without_a_server_there_are_no_local_commands(folder: Path) -> None:
    configuration = load_configuration(folder / "driftmap.yaml")
    with Workspace(configuration) as workspace:
        client = Client(create_api(workspace))
        assert client.post("/local/commands/status", json={}).status_code == 404
