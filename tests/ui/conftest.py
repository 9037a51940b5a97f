"""A real server over a small world, and a real Chromium that reaches nothing else."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect, sync_playwright

from app.workspace import Workspace
from monitoring.configuration import load_configuration
from storage.ingest import ingest_file
from tests.ui.drifted import write_drifted
from tests.ui.watched import write_watched
from tests.ui.world import write_world

SECONDS = 90  # on a busy machine


@dataclass(frozen=True)
class Served:
    """A running server: its address, and the same data in a database of its own for direct queries."""

    url: str
    workspace: Workspace


@dataclass
class Visit:
    """A page of a browser that reaches the server alone, with all it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def filled(folder: Path) -> Path:
    """A folder with a configuration and a database that holds the small world; returns the configuration."""
    path = write_world(folder)
    with Workspace(load_configuration(path)) as workspace:
        workspace.prepare()
        result = ingest_file(workspace.database, workspace.model("crops").stored, folder / "predictions.parquet")
        assert result.accepted == result.rows
    return path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ui")
    configuration, copy = filled(folder / "served"), filled(folder / "asked")
    with running(configuration, folder / "server.log") as url, Workspace(load_configuration(copy)) as workspace:
        yield Served(url, workspace)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over the small world after six weeks of monitoring, with alerts, runs and refused rows."""
    folder = tmp_path_factory.mktemp("watched")
    configuration = write_watched(folder / "served")
    shutil.copytree(folder / "served", folder / "asked")
    copy = load_configuration(folder / "asked" / configuration.name)
    with running(configuration, folder / "server.log") as url, Workspace(copy) as workspace:
        yield Served(url, workspace)


@pytest.fixture(scope="session")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over the small world in which one district drifts and fails, judged and with Evidently's reports."""
    folder = tmp_path_factory.mktemp("drifted")
    configuration = write_drifted(folder / "served")
    shutil.copytree(folder / "served", folder / "asked")
    copy = load_configuration(folder / "asked" / configuration.name)
    with running(configuration, folder / "server.log") as url, Workspace(copy) as workspace:
        yield Served(url, workspace)


@contextmanager
def running(configuration: Path, log: Path) -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--config", str(configuration), "--no-monitor"]
    command += ["--port", str(port), "--api-port", str(free_port())]
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/", server, log)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(SECONDS)


def wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path,
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    """A fresh page; at the end there must be no complaint."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    visit = new_visit(context, served.url)
    yield visit
    context.close()
    assert visit.complaints == []


@pytest.fixture
def look(browser: Browser, watched: Served) -> Iterator[Visit]:
    """As `visit`, of the monitored world."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    visit = new_visit(context, watched.url)
    yield visit
    context.close()
    assert visit.complaints == []


@pytest.fixture
def seen(browser: Browser, drifted: Served) -> Iterator[Visit]:
    """As `visit`, of the world that drifts."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    visit = new_visit(context, drifted.url)
    yield visit
    context.close()
    assert visit.complaints == []


SETTLED = """() => {
  const figures = Bokeh.documents.flatMap(each => [...each.all_models]).filter(each => each.type === "Figure")
  const places = figures.map(each => Bokeh.index.find_one(each)?.el.getBoundingClientRect())
  const now = JSON.stringify(places)
  const still = window.settling?.now === now && Bokeh.documents.every(each => each.is_idle)
  window.settling = {now, since: still ? window.settling.since : performance.now()}
  return places.every(each => each != null) && performance.now() - window.settling.since > 300
}"""


def settle(page: Page) -> None:
    """Wait until the plots have drawn and keep their places: they find their sizes once they are all there."""
    page.wait_for_function(SETTLED, polling=50)


SPOT = """([column, x, y]) => {
  for (const document of Bokeh.documents) {
    for (const figure of document.all_models) {
      const columns = figure.type === "Figure" ? figure.renderers.map(each => each.data_source?.columns() ?? []) : []
      const view = columns.flat().includes(column) ? Bokeh.index.find_one(figure) : null
      if (view != null) {
        const canvas = view.canvas_view.el.getBoundingClientRect()
        return [canvas.x + view.frame.x_scale.compute(x), canvas.y + view.frame.y_scale.compute(y)]
      }
    }
  }
}"""


def tap(page: Page, column: str, x: float, y: float) -> None:
    """Click the point x, y, in the chart's own units, of the chart that is drawn from a column of this name."""
    spot = page.evaluate(SPOT, [column, x, y])
    assert spot is not None, f"no chart with the column {column}"
    page.mouse.click(*spot)


def new_visit(context: BrowserContext, url: str) -> Visit:
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    visit = Visit(page)

    def only_here(route: Route) -> None:
        if route.request.url.startswith((url, "data:", "blob:")):
            route.continue_()
        else:
            visit.complaints.append(f"asked for {route.request.url}")
            route.abort()

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            visit.complaints.append(f"console: {message.text}")

    page.route("**/*", only_here)
    page.on("console", heard)
    page.on("pageerror", lambda error: visit.complaints.append(f"error: {error}"))
    return visit
