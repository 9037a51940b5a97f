"""One process that serves: the dashboard, the HTTP API and the schedule, on one event loop."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from app.api import check_reachable, create_api
from app.ownership import owning
from app.schedule import create_scheduler
from app.workspace import Workspace
from storage.errors import DriftmapError
from storage.findings import mark_interrupted

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
Announce = Callable[[str, str], None]


def serve(workspace: Workspace, host: str, port: int, api_port: int, *, scheduled: bool, announce: Announce) -> None:
    """Serve `workspace` until SIGTERM or SIGINT. `announce` is told the addresses of dashboard and API.

    Raises InvalidConfigurationError where the API would be open to the network without a token, and
    DriftmapError where a port is taken.
    """
    check_reachable(workspace.configuration, host)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("driftmap").setLevel(logging.INFO)
    if not workspace.database.shared:  # on a lake another process may be at them
        mark_interrupted(workspace.database)
    asyncio.run(_serve(workspace, host, port, api_port, scheduled, announce))


async def _serve(
    workspace: Workspace, host: str, port: int, api_port: int, scheduled: bool, announce: Announce
) -> None:
    stopping = asyncio.Event()
    _stop_on_signals(stopping)
    port = _usable_port(host, port)
    listening = _listen(host, api_port, "--api-port")
    api_address = _address(host, listening.getsockname()[1])
    from app.warmup import warm_up

    with contextlib.closing(listening), owning(workspace.database.location, api_address) as owner:
        dashboard = _dashboard(workspace, host, port)
        api = _Uvicorn(
            uvicorn.Config(
                create_api(workspace, owner.secret if owner else None),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=30,
            )
        )
        scheduler = create_scheduler(workspace) if scheduled else None
        _stop_on_signals(stopping)  # again: Panel has taken SIGINT
        if scheduler:
            scheduler.start()
        dashboard.start()
        warming = asyncio.create_task(asyncio.to_thread(warm_up))
        answering = asyncio.create_task(api.serve(sockets=[listening]))
        try:
            while not api.started and not answering.done():
                await asyncio.sleep(0.01)
            announce(_address(host, port), api_address)
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({answering, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        finally:
            if scheduler:
                scheduler.shutdown(wait=False)
            api.should_exit = True
            await answering
            await warming
            dashboard.stop()
            await asyncio.to_thread(workspace.close)


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves signals to the process it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _dashboard(workspace: Workspace, host: str, port: int) -> Any:
    import panel as pn

    from app.dashboard import dashboard
    from app.reports import PATH, ReportPage

    return pn.serve(
        {"/": lambda: dashboard(workspace)},
        port=port,
        address=host,
        websocket_origin=_origins(workspace, host, port),
        title="driftmap",
        extra_patterns=[(f"/{PATH}", ReportPage, {"database": workspace.database})],
        start=False,
        show=False,
        threaded=False,
        verbose=False,
    )


def _origins(workspace: Workspace, host: str, port: int) -> list[str]:
    """The addresses whose pages may open the dashboard's websocket: this host's, and the configured one."""
    names = {"localhost", "127.0.0.1", host, *([socket.gethostname()] if host in WILDCARDS else [])}
    return [*(f"{name}:{port}" for name in sorted(names)), urlsplit(workspace.configuration.url).netloc]


def _usable_port(host: str, port: int) -> int:
    """`port`, or a free one for 0. Asked before the dashboard is made, whose websocket names its port."""
    with _listen(host, port, "--port") as found:
        usable: int = found.getsockname()[1]
    return usable


def _listen(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise DriftmapError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another port with {option}."
        ) from error


def _address(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`."""
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
