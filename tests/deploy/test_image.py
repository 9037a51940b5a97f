"""The steps of the image in a clean folder: the scripts that the Dockerfile runs, without Docker.

Torch is left out, so this also shows that everything but scoring does without it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]
STEPS = ROOT / "deploy" / "image"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's virtual environment, built from what the Dockerfile copies and nothing else."""
    folder = tmp_path_factory.mktemp("image")
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for *names, target in (line.split()[1:] for line in re.findall(r"^COPY (?!--from).*$", text, re.MULTILINE)):
        goal = folder / target.lstrip("/")
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                goal.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, goal)
    built = folder / "opt" / "driftmap"
    # Not to compile takes a false value (https://pip.pypa.io/en/stable/topics/configuration/#boolean-options).
    run([folder / "source/deploy/image/build.sh", folder / "source", built], PIP_NO_COMPILE="0")
    return built


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


def run(command: list[object], folder: Path | None = None, **variables: str) -> str:
    """What `command` prints. Nothing of this checkout is on its path."""
    finished = subprocess.run(
        [str(part) for part in command], cwd=folder, env=clean(**variables), capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def clean(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DRIFTMAP_", "PYTHON"))}
    return {**kept, **variables}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_environment_holds_the_wheel_with_its_files_and_no_torch(environment: Path, data: Path) -> None:
    source = (
        "import app, storage, importlib.util, pathlib;"
        "print(pathlib.Path(app.__file__).parent, importlib.util.find_spec('torch'),"
        " (pathlib.Path(storage.__file__).parent / 'migrations/0001_initial.sql').exists(),"
        " (pathlib.Path(app.__file__).parent / 'assets/basemap.npz').exists())"
    )
    installed, torch, migrations, basemap = run([environment / "bin/python", "-c", source], data).split()
    assert Path(installed).is_relative_to(environment)
    assert (torch, migrations, basemap) == ("None", "True", "True")


def test_the_command_writes_a_configuration_and_reads_it_back(environment: Path, data: Path) -> None:
    driftmap = environment / "bin/driftmap"
    run([driftmap, "init"], data)
    assert '"my_model"' in run([driftmap, "status", "--json"], data)


@pytest.fixture
def served(environment: Path, data: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The image's entry point at work in an empty folder: its process, the dashboard's port, the API's."""
    port, api_port = free_port(), free_port()
    process = subprocess.Popen(
        [STEPS / "start.sh", "--host", "0.0.0.0", "--port", str(port), "--api-port", str(api_port)],
        cwd=data,
        env=clean(PATH=f"{environment}/bin:{os.environ['PATH']}", DRIFTMAP_API_TOKEN="a token"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, port, api_port
    finally:
        process.kill()
        process.wait()


def test_the_container_starts_in_an_empty_folder_becomes_healthy_and_stops(
    environment: Path, data: Path, served: tuple[subprocess.Popen[str], int, int]
) -> None:
    process, port, api_port = served
    patience = time.monotonic() + 120
    healthy = [str(STEPS / "healthy.sh"), str(api_port)]
    assert subprocess.run(healthy, capture_output=True).returncode != 0
    while subprocess.run(healthy, capture_output=True).returncode != 0:
        if process.poll() is not None or time.monotonic() > patience:
            process.kill()
            pytest.fail(f"never healthy:\n{process.communicate()[0]}")
        time.sleep(0.5)
    assert (data / "driftmap.yaml").exists()
    with urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
        assert page.status == 200
    assert '"my_model"' in run([environment / "bin/driftmap", "status", "--json"], data)

    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
def test_the_account_owns_its_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    run([STEPS / "user.sh", tmp_path])
    assert (tmp_path / "etc/passwd").read_text().strip() == "driftmap:x:10001:10001::/data:/usr/sbin/nologin"
    folder = (tmp_path / "data").stat()
    assert (folder.st_uid, folder.st_gid, folder.st_mode & 0o777) == (10001, 10001, 0o750)
