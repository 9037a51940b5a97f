"""The HTTP API: predictions and labels go in, findings and alerts come out."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import duckdb
from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response

from app import commands
from app.api_page import api_page
from app.ownership import SECRET_HEADER, unpack
from app.uploads import EXTENSIONS, TakeFile, TakeTable, take_in
from app.workspace import Workspace
from monitoring.configuration import Configuration
from storage.errors import (
    DatabaseInUseError,
    DriftmapError,
    InvalidConfigurationError,
    InvalidFileError,
    NotFoundError,
)
from storage.ingest import ingest_file, ingest_table
from storage.labels import label_file, label_table

OPEN = ("/health/live", "/health/ready")
STATUS: dict[type[DriftmapError], int] = {
    InvalidFileError: 422,
    NotFoundError: 404,
    DatabaseInUseError: 503,
    InvalidConfigurationError: 500,
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in EXTENSIONS},
    }
}
From = Annotated[datetime | None, Query(alias="from", description="windows from here on, ISO")]
To = Annotated[datetime | None, Query(alias="to", description="windows that end by then, ISO")]


def create_api(workspace: Workspace, secret: str | None = None) -> FastAPI:
    """The application. `secret` lets commands of this machine be carried out here."""
    api = FastAPI(
        title="driftmap",
        description="Monitoring for geospatial machine-learning models.",
        docs_url=None,
        redoc_url=None,
    )
    _guard(api, workspace.configuration.api_token)
    _explain(api)
    _add_uploads(api, workspace)
    _add_readings(api, workspace)
    _add_health(api, workspace)

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page(api.openapi()))

    if secret is not None:
        _add_local_commands(api, workspace, secret)
    return api


def check_reachable(configuration: Configuration, host: str) -> None:
    """Raise InvalidConfigurationError where others could reach the API and no token is asked for."""
    if configuration.api_token is None and not is_loopback(host):
        raise InvalidConfigurationError(
            f"The HTTP API would be open to everybody who reaches {host}. "
            "Set DRIFTMAP_API_TOKEN, or listen on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _guard(api: FastAPI, token: str | None) -> None:
    if token is None:
        return
    expected = f"Bearer {token}".encode()

    @api.middleware("http")
    async def ask_for_token(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "").encode("latin-1")  # as it came
        path = request.url.path
        if path in OPEN or path.startswith("/local/") or hmac.compare_digest(given, expected):
            return await answer(request)
        return JSONResponse(
            {"error": "Send the token, as 'Authorization: Bearer …'."}, 401, {"WWW-Authenticate": "Bearer"}
        )


def _explain(api: FastAPI) -> None:
    @api.exception_handler(DriftmapError)
    async def explain(request: Request, error: DriftmapError) -> JSONResponse:
        return JSONResponse({"error": " ".join(str(error).split())}, STATUS.get(type(error), 400))


def _add_uploads(api: FastAPI, workspace: Workspace) -> None:
    async def take(request: Request, model: str, take_file: TakeFile, take_table: TakeTable) -> Response:
        content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        target = (await run_in_threadpool(workspace.model, model)).stored
        if content_type not in EXTENSIONS:
            return JSONResponse({"error": f"Content type '{content_type}' is none of {', '.join(EXTENSIONS)}."}, 415)
        result = await take_in(request.stream(), content_type, workspace.database, target, take_file, take_table)
        return JSONResponse(commands.plain(result))

    @api.post("/models/{model}/predictions", openapi_extra=BODY, tags=["in"])
    async def predictions(request: Request, model: str) -> Response:
        """Take in predictions. Answers what became of the rows; refused ones are kept with their reason."""
        return await take(request, model, ingest_file, ingest_table)

    @api.post("/models/{model}/labels", openapi_extra=BODY, tags=["in"])
    async def labels(request: Request, model: str) -> Response:
        """Join labels to predictions by id. Answers what became of the rows."""
        return await take(request, model, label_file, label_table)


def _add_readings(api: FastAPI, workspace: Workspace) -> None:
    @api.get("/models", tags=["out"])
    def models() -> list[dict[str, Any]]:
        """Every model: predictions, labels, last run and open alerts."""
        found: list[dict[str, Any]] = commands.status(workspace)["models"]
        return found

    @api.get("/findings", tags=["out"])
    def findings(
        model: str | None = None,
        region: Annotated[str | None, Query(description="a region's id, or 'whole'")] = None,
        metric: Annotated[str | None, Query(description="as accuracy or drift:*")] = None,
        start: From = None,
        end: To = None,
        latest: bool = False,
    ) -> list[dict[str, Any]]:
        """Figures that runs found, with interval, n and verdict."""
        return commands.findings(
            workspace,
            model=model,
            region=region,
            metric=metric,
            start=start.isoformat() if start else None,
            end=end.isoformat() if end else None,
            latest=latest,
        )

    @api.get("/alerts", tags=["out"])
    def alerts(
        state: Annotated[str, Query(pattern="^(open|closed|all)$")] = "all", model: str | None = None
    ) -> list[dict[str, Any]]:
        """Alerts, open ones first."""
        return commands.alerts_list(workspace, state=state, model=model)

    @api.get("/runs", tags=["out"])
    def runs(model: str | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> list[dict[str, Any]]:
        """Monitor runs, newest first."""
        return commands.runs(workspace, model=model, limit=limit)


def _add_health(api: FastAPI, workspace: Workspace) -> None:
    @api.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """The process is there."""
        return {"status": "live"}

    @api.get("/health/ready", tags=["health"], responses={503: {"description": "It does not"}})
    def ready() -> JSONResponse:
        """The database answers."""
        try:
            workspace.database.rows("SELECT 1")
        except (DriftmapError, duckdb.Error) as error:
            return JSONResponse({"status": "not ready", "error": str(error)}, 503)
        return JSONResponse({"status": "ready"})


def _add_local_commands(api: FastAPI, workspace: Workspace, secret: str) -> None:
    @api.post("/local/commands/{name}", include_in_schema=False)
    async def carry_out(request: Request, name: str) -> Response:
        given = request.headers.get(SECRET_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(given, secret.encode()):
            return JSONResponse({"error": "The server that owns the database refused the command."}, 403)
        if name not in commands.COMMANDS:
            raise NotFoundError(f"The server that owns the database does not know the command '{name}'.")
        configuration, arguments = unpack(await request.json())
        theirs = workspace.with_configuration(configuration)
        result = await run_in_threadpool(commands.COMMANDS[name], theirs, **arguments)
        return JSONResponse({"result": result})
