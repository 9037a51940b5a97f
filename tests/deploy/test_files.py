"""The Dockerfile, the compose file and the systemd unit say the same things."""

import json
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def instruction(name: str) -> list[str]:
    """What follows each instruction `name` of the Dockerfile."""
    return [text.strip() for text in re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)]


def options(words: list[str]) -> dict[str, str]:
    """The values of `--name value` pairs."""
    return {word: after for word, after in pairwise(words) if word.startswith("--")}


def unit() -> dict[str, list[str]]:
    """The keys of the systemd unit, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / "driftmap.service").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


SERVICE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["driftmap"]


def test_all_three_agree_on_the_ports() -> None:
    image = options(json.loads(instruction("CMD")[0]))
    service = options(shlex.split(unit()["ExecStart"][0]))
    inside = [published.split(":")[-1] for published in SERVICE["ports"]]
    assert instruction("EXPOSE") == [" ".join(inside)]
    for found in (image, service):
        assert [found["--port"], found["--api-port"]] == inside


def test_only_this_machine_reaches_the_ports_unless_somebody_decides_otherwise() -> None:
    assert all(published.startswith("127.0.0.1:") for published in SERVICE["ports"])
    assert options(shlex.split(unit()["ExecStart"][0]))["--host"] == "127.0.0.1"


def test_the_compose_file_starts_only_with_a_token() -> None:
    assert options(json.loads(instruction("CMD")[0]))["--host"] == "0.0.0.0"
    assert SERVICE["environment"]["DRIFTMAP_API_TOKEN"].startswith("${DRIFTMAP_API_TOKEN:?")


def test_the_health_check_asks_the_port_of_the_api() -> None:
    script, port = json.loads(instruction("HEALTHCHECK")[0].split("CMD ")[1])
    assert port == options(json.loads(instruction("CMD")[0]))["--api-port"]
    assert (DEPLOY / "image" / Path(script).name).exists()


def test_all_run_as_the_same_account_which_is_not_root() -> None:
    account = (DEPLOY / "image" / "user.sh").read_text(encoding="utf-8")
    assert instruction("USER") == unit()["User"] == unit()["Group"] == ["driftmap"]
    assert re.search(r"^groupadd .* driftmap$", account, re.MULTILINE)
    assert DOCKERFILE.rindex("USER driftmap") > DOCKERFILE.rindex("\nRUN ")


def test_what_must_last_lies_where_the_account_may_write() -> None:
    (data,) = instruction("VOLUME")
    assert instruction("WORKDIR") == [data]
    assert f'"$root{data}"' in (DEPLOY / "image" / "user.sh").read_text(encoding="utf-8")
    assert [volume.split(":")[1] for volume in SERVICE["volumes"]] == [data]
    state = f"/var/lib/{unit()['StateDirectory'][0]}"
    assert unit()["WorkingDirectory"] == [state]
    assert options(shlex.split(unit()["ExecStart"][0]))["--config"] == f"{state}/driftmap.yaml"


def test_the_environment_is_the_one_that_the_image_builds() -> None:
    (build, _account) = (shlex.split(step) for step in instruction("RUN"))
    environment = build[-2]
    assert unit()["ExecStart"][0].startswith(f"{environment}/bin/driftmap serve ")
    assert f"PATH={environment}/bin:" in instruction("ENV")[0]


def test_every_step_is_an_executable_script_without_a_mistake_in_its_grammar() -> None:
    steps = sorted((DEPLOY / "image").glob("*.sh"))
    mentions = " ".join(text for name in ("RUN", "ENTRYPOINT", "HEALTHCHECK") for text in instruction(name))
    used = set(re.findall(r"[\w-]+\.sh", mentions))
    assert {step.name for step in steps} == used
    for step in steps:
        assert step.stat().st_mode & 0o111
        subprocess.run(["sh", "-n", step], check=True)


def test_what_the_image_is_built_from_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {name for line in instruction("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert ignored[0] == "*"
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
