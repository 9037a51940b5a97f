"""When the server monitors: each model by its own cron expression, in UTC."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from app import commands
from app.workspace import Workspace
from monitoring.delivery import send_waiting
from storage.errors import DriftmapError, InvalidConfigurationError
from storage.lake import is_lake

log = logging.getLogger("driftmap")
COMPACTION = "45 3 * * *"
COMPACTION_OF_A_LAKE = "30 * * * *"  # where every write leaves small files, and many slow a question down
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
            args=[workspace, name, trigger],
            id=f"monitor {name}",
            coalesce=True,
            max_instances=1,
            misfire_grace_time=GRACE,
        )
    scheduler.add_job(deliver, "interval", args=[workspace], minutes=1, coalesce=True, max_instances=1, id="deliver")
    when = COMPACTION_OF_A_LAKE if is_lake(workspace.configuration.database) else COMPACTION
    tidy = CronTrigger.from_crontab(when, timezone=UTC)
    scheduler.add_job(compact, tidy, args=[workspace], coalesce=True, id="compact", misfire_grace_time=GRACE)
    return scheduler


async def deliver(workspace: Workspace) -> None:
    """Send again what could not be sent."""
    try:
        await asyncio.to_thread(send_waiting, workspace.database, workspace.configuration)
    except Exception:
        log.exception("delivery failed")


async def compact(workspace: Workspace) -> None:
    """Tidy up the database."""
    try:
        await asyncio.to_thread(commands.compact, workspace)
    except Exception:
        log.exception("compaction failed")


def last_due(trigger: CronTrigger, now: datetime) -> datetime:
    """When a job that runs at `now` was due: the same moment for every process with this schedule."""
    due = now
    fires = trigger.get_next_fire_time(None, now - timedelta(seconds=GRACE))
    while fires is not None and fires <= now:
        due, fires = fires, trigger.get_next_fire_time(fires, now)
    return due


async def monitor_now(workspace: Workspace, model: str, trigger: CronTrigger | None = None) -> None:
    """Run the monitor for `model` in a thread. What goes wrong is logged; the schedule goes on."""
    now = datetime.now(UTC)
    due = last_due(trigger, now) if trigger else now
    try:
        runs = await asyncio.to_thread(commands.monitor, workspace, model, now.isoformat(), None, due.isoformat())
    except DriftmapError as error:
        log.error("monitor %s: %s", model, error)
    except Exception:
        log.exception("monitor %s failed", model)
    else:
        for run in runs:
            log.info("monitor %s %s: %s %s", model, run["window_start"], run["outcome"], run["message"])
