"""The demo played as it happened: every week predictions come in, labels come late, the monitor runs."""

import shutil
from pathlib import Path
from typing import Any

from app import commands
from app.demo.world import Week, World, build_world
from app.workspace import Progress, Workspace, silent
from monitoring.configuration import load_configuration
from storage.errors import DriftmapError

MODEL = "crops"
TRUTH = "truth.json"
SEED = 20260105


def run_demo(
    folder: Path, url: str = "http://localhost:5006", seed: int | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Build the demo world in `folder` and monitor it week by week, as of the end of each.

    What was planted (region ids), its ancestors, and the alerts that the monitor raised. `url` is where the
    dashboard will be. Raises DriftmapError where the folder holds something else.
    """
    clear(folder)
    world = build_world(
        folder,
        seed=SEED if seed is None else seed,
        progress=lambda stage, share: progress(f"building: {stage}", int(share * 100), 100),
    )
    hold_back(world)
    with world.configuration.open("a", encoding="utf-8") as stream:
        stream.write(f"url: {url}\n")
    with Workspace(load_configuration(world.configuration)) as workspace:
        workspace.prepare()
        for week in world.weeks:
            progress(f"week {week.number}: predictions, labels, monitor", week.number - 1, len(world.weeks))
            play(workspace, world, week)
        progress("done", len(world.weeks), len(world.weeks))
        return {
            "folder": str(folder.resolve()),
            "planted": list(world.truth.planted),
            "ancestors": list(world.truth.ancestors),
            "alerts": commands.alerts_list(workspace),
        }


def clear(folder: Path) -> None:
    """Take away an earlier demo; leave anything else alone."""
    if (folder / TRUTH).is_file():
        shutil.rmtree(folder)
    elif folder.is_dir() and any(folder.iterdir()):
        raise DriftmapError(f"{folder}: is not empty, and no demo. Name another folder with --dir.")
    folder.mkdir(parents=True, exist_ok=True)


def hold_back(world: World) -> None:
    """Put the feature tables aside: each comes in when its week is over."""
    for week in world.weeks:
        later(week).parent.mkdir(exist_ok=True)
        week.features.rename(later(week))


def later(week: Week) -> Path:
    return week.features.parent.parent / "later" / week.features.name


def play(workspace: Workspace, world: World, week: Week) -> None:
    """One week: its features arrive, then labels that are due, then the monitor scores and judges."""
    later(week).rename(week.features)
    for earlier in world.weeks:
        if week.start < earlier.labels_arrive <= week.end:
            commands.label(workspace, [str(earlier.labels)], MODEL)
    runs = commands.monitor(workspace, MODEL, at=week.end.isoformat())
    failed = [run for run in runs if run["outcome"] != "done"]
    if failed:
        raise DriftmapError(f"The monitor failed in week {week.number}: {failed[0]['message']}")
