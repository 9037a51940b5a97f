"""When the server monitors: each model by its own cron expression, in UTC."""

import asyncio
import logging
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from app import commands
from app.workspace import Workspace
from monitoring.delivery import send_waiting
from storage.errors import DriftmapError, InvalidConfigurationError

log = logging.getLogger("driftmap")
GRACE = 3600  # seconds a run may start late, after a busy hour or a sleeping machine


def create_scheduler(workspace: Workspace) -> AsyncIOScheduler:
    """A scheduler with one job a model that has a schedule; to be started on the running event loop.

    Raises InvalidConfigurationError for a schedule that is no cron expression.
    """
    scheduler = AsyncIOScheduler(timezone=UTC)
    for name, model in workspace.configuration.models.items():
        if model.schedule is None:
            continue
        try:
            trigger = CronTrigger.from_crontab(model.schedule, timezone=UTC)
        except ValueError as error:
            raise InvalidConfigurationError(
                f"models.{name}.schedule: '{model.schedule}' is no cron expression (as '0 6 * * *'): {error}."
            ) from error
        scheduler.add_job(
            monitor_now,
            trigger,
            args=[workspace, name],
            id=f"monitor {name}",
            coalesce=True,
            max_instances=1,
            misfire_grace_time=GRACE,
        )
    scheduler.add_job(deliver, "interval", args=[workspace], minutes=1, coalesce=True, max_instances=1, id="deliver")
    return scheduler


async def deliver(workspace: Workspace) -> None:
    """Send again what could not be sent."""
    try:
        await asyncio.to_thread(send_waiting, workspace.database, workspace.configuration)
    except Exception:
        log.exception("delivery failed")


async def monitor_now(workspace: Workspace, model: str) -> None:
    """Run the monitor for `model` in a thread. What goes wrong is logged; the schedule goes on."""
    at = datetime.now(UTC).isoformat()
    try:
        runs = await asyncio.to_thread(commands.monitor, workspace, model, at)
    except DriftmapError as error:
        log.error("monitor %s: %s", model, error)
    except Exception:
        log.exception("monitor %s failed", model)
    else:
        for run in runs:
            log.info("monitor %s %s: %s %s", model, run["window_start"], run["outcome"], run["message"])
