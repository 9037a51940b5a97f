"""What all tests share: browser tests need Chromium, lakes PostgreSQL, and say loudly where they did not run."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.postgres import Cluster, cluster, program

# On a server the same examples every time; elsewhere new ones, so that they go on being searched.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

REQUIRED = os.environ.get("DRIFTMAP_REQUIRE_BROWSER") == "1"

# Files whose browser tests look at the same server.
WORLDS = {
    "tests/ui/test_regions.py": "drifted",
    "tests/ui/test_drift.py": "drifted",
    "tests/ui/test_layouts.py": "drifted",
    "tests/ui/test_alerts_page.py": "watched",
    "tests/ui/test_runs_page.py": "watched",
}

NO_POSTGRES = "no PostgreSQL on this machine"


def chromium() -> str | None:
    """The path of Debian's Chromium (or Chrome), or None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of the tests' own."""
    if program("initdb") is None:
        if os.environ.get("DRIFTMAP_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"{NO_POSTGRES}, and DRIFTMAP_REQUIRE_POSTGRES wants one")
        pytest.skip(NO_POSTGRES)
    with cluster() as running:
        yield running


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go whole to one worker, as with --dist loadfile, and so do those that look at the same server."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile":
        return None

    class ByWorld(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return WORLDS.get(file, file)

    return ByWorld(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The files with slow tests come first where several workers share them, lest one works on at the end alone."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("ui") or item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("ui") and chromium() is None:
        pytest.skip("no Chromium on this machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if REQUIRED and report.skipped and item.get_closest_marker("ui"):
        report.outcome = "failed"
        report.longrepr = f"A browser test was skipped, and DRIFTMAP_REQUIRE_BROWSER allows none: {why(report)}"
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    without_lake = [report for report in terminalreporter.stats.get("skipped", []) if why(report) == NO_POSTGRES]
    if without_lake:
        terminalreporter.section("LAKE TESTS DID NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(without_lake)} skipped: {NO_POSTGRES} (apt-get install postgresql).", red=True)
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "ui" in report.keywords]
    if skipped:
        reasons = ", ".join(sorted({why(report) for report in skipped}))
        terminalreporter.section("BROWSER TESTS DID NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} skipped: {reasons}. The dashboard is untested.", red=True)
        terminalreporter.line("Install Chromium (apt-get install chromium) or run .ci/run.", red=True)


def why(report: pytest.TestReport) -> str:
    """The reason for which `report` says that its test was skipped."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
