"""The HTTP API: every kind of body, what it answers, and who may ask."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.api import check_reachable, create_api
from app.workspace import Workspace
from monitoring.configuration import load_configuration
from storage.errors import InvalidConfigurationError
from tests.app.small import Client, csv, labels, predictions

PREDICTIONS = "/models/crops/predictions"


@pytest.fixture
def workspace(folder: Path) -> Iterator[Workspace]:
    with Workspace(load_configuration(folder / "driftmap.yaml")) as workspace:
        yield workspace


@pytest.fixture
def api(workspace: Workspace) -> Client:
    return Client(create_api(workspace))


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(predictions()), out)
    return out.getvalue()


def arrow(kind: str) -> bytes:
    table = pa.Table.from_pylist(predictions())
    out = io.BytesIO()
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def geojson() -> bytes:
    features = []
    for record in predictions():
        point = {"type": "Point", "coordinates": [record.pop("lon"), record.pop("lat")]}
        features.append({"type": "Feature", "properties": record, "geometry": point})
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


BODIES = {
    "application/vnd.apache.parquet": parquet,
    "application/vnd.apache.arrow.file": lambda: arrow("file"),
    "application/vnd.apache.arrow.stream": lambda: arrow("stream"),
    "text/csv; charset=utf-8": lambda: csv(predictions()).encode(),
    "application/json": lambda: json.dumps(predictions()).encode(),
    "application/geo+json": geojson,
}


@pytest.mark.parametrize("content_type", BODIES)
def test_predictions_come_in_every_format(api: Client, content_type: str) -> None:
    answer = api.post(PREDICTIONS, content=BODIES[content_type](), headers={"Content-Type": content_type})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["accepted"], answer.json()["refused"]) == (20, {})
    assert answer.json()["source"].startswith("upload.")


def test_a_feature_collection_may_call_itself_json(api: Client) -> None:
    answer = api.post(PREDICTIONS, content=geojson(), headers={"Content-Type": "application/json"})
    assert answer.json()["accepted"] == 20


def test_a_record_of_the_wrong_type_is_refused_and_the_others_go_in(api: Client) -> None:
    records = predictions(4)
    records[2]["confidence"] = "high"
    answer = api.post(PREDICTIONS, json=records)
    assert (answer.json()["accepted"], sum(answer.json()["refused"].values())) == (3, 1)


def test_labels_join_predictions(api: Client) -> None:
    api.post(PREDICTIONS, json=predictions())
    assert api.post("/models/crops/labels", json=labels()).json()["accepted"] == 20
    (model,) = api.get("/models").json()
    assert (model["predictions"], model["labelled"]) == (20, 20)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/vnd.apache.parquet", b"PAR1 but not really"),
        ("application/vnd.apache.arrow.file", b"ARROW1"),
        ("application/json", b"{"),
        ("application/json", b'{"id": 1}'),
        ("application/json", b"[1, 2]"),
        ("application/json", b"[]"),
        ("text/csv", b""),
        ("text/csv", b"id,time\n1,2026-01-01\n"),
        ("application/geo+json", b"{}"),
    ],
)
def test_a_body_that_cannot_be_used_is_422_and_one_line(api: Client, content_type: str, body: bytes) -> None:
    answer = api.post(PREDICTIONS, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422, answer.text
    assert "\n" not in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]
    assert api.get("/models").json()[0]["predictions"] == 0


def test_an_unknown_content_type_is_415_and_an_unknown_model_404(api: Client) -> None:
    assert api.post(PREDICTIONS, content=b"x", headers={"Content-Type": "text/html"}).status_code == 415
    assert api.post("/models/none/predictions", json=[]).status_code == 404


def test_findings_alerts_and_runs_are_arrays(api: Client) -> None:
    for address in ("/findings?latest=true&from=2026-01-01&metric=drift:*", "/alerts?state=open", "/runs"):
        answer = api.get(address)
        assert (answer.status_code, answer.json()) == (200, []), address
    assert api.get("/alerts?state=ajar").status_code == 422


def test_health_follows_the_database(api: Client, workspace: Workspace) -> None:
    assert api.get("/health/live").status_code == 200
    assert api.get("/health/ready").status_code == 200
    workspace.database.close()
    assert api.get("/health/live").status_code == 200
    assert api.get("/health/ready").status_code == 503


def test_the_documentation_needs_nothing_from_the_internet(api: Client) -> None:
    page = api.get("/docs").text
    assert "/models/{model}/predictions" in page
    assert "http" not in page.replace("HTTP", "").replace('content="width', "")
    paths = api.get("/openapi.json").json()["paths"]
    assert {"/findings", "/alerts", "/models", "/runs", "/health/live", "/health/ready"} <= set(paths)
    assert not any(path.startswith("/local") for path in paths)


def test_with_a_token_everything_but_health_asks_for_it(workspace: Workspace) -> None:
    workspace.configuration = workspace.configuration.model_copy(update={"api_token": "sésame"})
    client = Client(create_api(workspace))
    for address in ("/findings", "/alerts", "/models", "/runs", "/docs", "/openapi.json", "/nothing"):
        assert client.get(address).status_code == 401, address
    assert client.post(PREDICTIONS, json=predictions()).status_code == 401
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200
    wrong = {"Authorization": "Bearer other"}
    right = {"Authorization": "Bearer sésame".encode()}
    assert client.get("/models", headers=wrong).status_code == 401
    assert client.get("/models", headers=right).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_loopback_no_token_is_needed(workspace: Workspace, host: str) -> None:
    check_reachable(workspace.configuration, host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", ""])
def test_elsewhere_a_token_is_needed(workspace: Workspace, host: str) -> None:
    with pytest.raises(InvalidConfigurationError, match="DRIFTMAP_API_TOKEN"):
        check_reachable(workspace.configuration, host)
    check_reachable(workspace.configuration.model_copy(update={"api_token": "t"}), host)


def test_an_empty_token_is_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "driftmap.yaml").write_text("{}")
    monkeypatch.setenv("DRIFTMAP_API_TOKEN", "")
    configuration = load_configuration(tmp_path / "driftmap.yaml")
    with pytest.raises(InvalidConfigurationError, match="API_TOKEN"):
        check_reachable(configuration, "0.0.0.0")
