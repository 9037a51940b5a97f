"""The command line. Others script against it: names, options, JSON and exit codes stay as they are."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from app import commands, ownership, tables
from app.starter import write_starter
from app.workspace import Workspace
from monitoring.configuration import CONFIGURATION_FILE, load_configuration
from storage.errors import DatabaseInUseError, DriftmapError

app = typer.Typer(
    help="Where a geospatial model is wrong, since when, and what changed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
alerts = typer.Typer(help="Alerts that runs opened.", no_args_is_help=True)
app.add_typer(alerts, name="alerts")


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"driftmap {version('driftmap')}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Where a geospatial model is wrong, since when, and what changed."""


def moment(text: str) -> str:
    """The ISO time `text` as it stands, once it is known to be one."""
    try:
        commands.moment(text)
    except DriftmapError as error:
        raise typer.BadParameter(str(error)) from error
    return text


class State(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    ALL = "all"


Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
Paths = Annotated[list[str], typer.Argument(help="Files, folders or patterns.", metavar="PATH...")]
ModelName = Annotated[str, typer.Option("--model", metavar="NAME", help="The model they belong to.")]
OneModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model.")]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", parser=moment, help="Windows from then on.")]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", parser=moment, help="Windows before it.")]
Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The dashboard's port.")]
ApiPort = Annotated[int, typer.Option("--api-port", min=0, max=65535, help="The HTTP API's port.")]
DEFAULT_CONFIG = Path(CONFIGURATION_FILE)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path(),
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Write a commented driftmap.yaml."""
    with explained():
        path = folder / config
        write_starter(path)
        if as_json:
            print_json({"configuration": str(path.resolve())})
        else:
            typer.echo(f"{path} is written. Edit it, then: driftmap ingest PATH... --model NAME")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to build it.")] = Path("demo"),
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Build and monitor it, no more.")] = False,
    host: Host = "127.0.0.1",
    port: Port = 5006,
    api_port: ApiPort = 8000,
    seed: Annotated[int | None, typer.Option("--seed", help="Another seed, another world.")] = None,
    as_json: Json = False,
) -> None:
    """Build a small world with a planted failure, monitor it and serve it."""
    with explained(), progress_bar() as progress:
        from app.demo import run_demo

        result = run_demo(folder, url=f"http://localhost:{port}", seed=seed, progress=progress)
    if as_json:
        print_json(result)
    else:
        tables.show(stdout(), "demo", result)
    if not no_serve:
        keep_serving(folder / CONFIGURATION_FILE, host, port, api_port, scheduled=True, to_stderr=as_json)


@app.command()
def regions(
    path: Annotated[Path, typer.Argument(help="A file of polygons.")],
    name: Annotated[str, typer.Option("--set", metavar="NAME", help="The region set to add or replace.")],
    id_column: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Has the ids.")] = None,
    name_column: Annotated[str | None, typer.Option("--name", metavar="COLUMN", help="Has the names.")] = None,
    parent_column: Annotated[
        str | None, typer.Option("--parent", metavar="COLUMN", help="Has the parents' ids.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Add a region set, or replace it."""
    carry_out(
        "regions",
        config,
        as_json,
        path=os.path.abspath(path),
        name=name,
        id_column=id_column,
        name_column=name_column,
        parent_column=parent_column,
    )


@app.command()
def ingest(
    paths: Paths,
    model: ModelName,
    model_version: Annotated[
        str | None,
        typer.Option("--model-version", metavar="V", help="The version, where rows name none."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Take in predictions: csv, parquet, geoparquet, geojson, gpkg, arrow."""
    result = carry_out("ingest", config, as_json, paths=absolute(paths), model=model, model_version=model_version)
    tell_failures(result)


@app.command()
def label(paths: Paths, model: ModelName, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Join labels to predictions by id."""
    tell_failures(carry_out("label", config, as_json, paths=absolute(paths), model=model))


@app.command()
def monitor(
    model: OneModel = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", parser=moment, help="As of then, not of now.")
    ] = None,
    backfill: Annotated[
        tuple[str, str] | None,
        typer.Option("--backfill", metavar="FROM TO", help="Every window of a span."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Judge the last window of each model, or every window of a span."""
    if backfill is not None:
        if at is not None:
            raise typer.BadParameter("--at and --backfill exclude each other.")
        for text in backfill:
            moment(text)
    runs = carry_out("monitor", config, as_json, model=model, at=at, backfill=backfill)
    failed = [run for run in runs if run["outcome"] != "done"]
    for run in failed:
        complain(f"Run of {run['model']} from {run['window_start'][:10]}: {run['message']}")
    if failed:
        raise typer.Exit(1)


@app.command()
def serve(
    config: Config = DEFAULT_CONFIG,
    host: Host = "127.0.0.1",
    port: Port = 5006,
    api_port: ApiPort = 8000,
    no_monitor: Annotated[bool, typer.Option("--no-monitor", help="Without the schedule.")] = False,
    as_json: Json = False,
) -> None:
    """Serve the dashboard and the HTTP API, and monitor on schedule."""
    keep_serving(config, host, port, api_port, scheduled=not no_monitor, as_json=as_json)


@app.command()
def compact(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Tidy up the database: fewer, fuller files, and none that nobody reads."""
    carry_out("compact", config, as_json)


@app.command()
def migrate(
    to: Annotated[str, typer.Option("--to", metavar="DATABASE", help="The lake: ducklake:postgres:dbname=….")],
    data_path: Annotated[
        str, typer.Option("--data-path", metavar="PATH", help="Its files: a shared folder, or s3://….")
    ],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Copy an embedded database into a lake, and prove that the two are equal."""
    with explained(), progress_bar() as progress:
        workspace = Workspace(load_configuration(config), progress=progress)
        result = commands.migrate(workspace, to, data_path)
    if as_json:
        print_json(result)
    else:
        tables.show(stdout(), "migrate", result)
    if not result["equal"]:
        complain("The lake is not equal to the file. Do not use it; the file is as it was.")
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"Equal. To use it, write into {config}:")
        typer.echo(f"database: {result['database']}\ndata_path: {result['data_path']}")


@app.command()
def status(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Predictions, labels, last run and open alerts of every model."""
    carry_out("status", config, as_json)


@app.command()
def findings(
    model: OneModel = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="ID", help="Only this region; 'whole' for the whole.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="NAME", help="Only this one: accuracy, 'drift:*'."),
    ] = None,
    start: From = None,
    end: To = None,
    latest: Annotated[bool, typer.Option("--latest", help="Only the last window of each figure.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """What runs found, with interval, n and verdict."""
    carry_out(
        "findings",
        config,
        as_json,
        model=model,
        region=region,
        metric=metric,
        start=start,
        end=end,
        latest=latest,
    )


@alerts.command("list")
def alerts_list(
    state: Annotated[State, typer.Option("--state", help="Which ones.")] = State.ALL,
    model: OneModel = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Alerts, open ones first."""
    carry_out("alerts list", config, as_json, state=state.value, model=model)


@alerts.command("show")
def alerts_show(
    alert: Annotated[str, typer.Argument(metavar="ID", help="The alert's id.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """One alert with its history."""
    carry_out("alerts show", config, as_json, alert=alert)


@app.command()
def runs(
    model: OneModel = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 100,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Monitor runs, newest first."""
    carry_out("runs", config, as_json, model=model, limit=limit)


def carry_out(command: str, config: Path, as_json: bool, **arguments: Any) -> Any:
    """Carry out `command` here, or through the server that owns the database, and print what it answers."""
    with explained(), progress_bar() as progress:
        configuration = load_configuration(config)
        with Workspace(configuration, progress=progress) as workspace:
            try:
                result = commands.COMMANDS[command](workspace, **arguments)
            except DatabaseInUseError:
                owner = ownership.current_owner(configuration.database_path)
                if owner is None:
                    raise
                result = ownership.send(owner, command, configuration, arguments)
    if as_json:
        print_json(result)
    else:
        tables.show(stdout(), command, result)
    return result


def keep_serving(
    config: Path,
    host: str,
    port: int,
    api_port: int,
    *,
    scheduled: bool,
    as_json: bool = False,
    to_stderr: bool = False,
) -> None:
    """Serve until somebody ends it."""

    def announce(dashboard: str, api: str) -> None:
        if as_json:
            print_json({"dashboard": dashboard, "api": api})
        else:
            lines = f"Dashboard: {dashboard}\nHTTP API:  {api}/docs\nStop with Ctrl+C."
            typer.echo(lines, err=to_stderr)

    with explained():
        from app import server

        with Workspace(load_configuration(config)) as workspace:
            workspace.prepare()
            server.serve(workspace, host, port, api_port, scheduled=scheduled, announce=announce)


def tell_failures(result: dict[str, Any]) -> None:
    for file in result["files"]:
        if file["error"] is not None:
            complain(file["error"])
    if result["failed"]:
        raise typer.Exit(1)


def absolute(paths: list[str]) -> list[str]:
    return [os.path.abspath(path) for path in paths]


@contextmanager
def explained() -> Iterator[None]:
    """Turn what goes wrong into one line on stderr and exit code 1."""
    try:
        yield
    except DriftmapError as error:
        complain(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        complain(str(error))
        raise typer.Exit(1) from None


@contextmanager
def progress_bar() -> Iterator[Any]:
    """A function that shows how far a command has come, on stderr where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)


def stdout() -> Console:
    """The console for results; wide where nobody reads it on a terminal, so that no cell is folded."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def complain(message: str) -> None:
    typer.echo(f"driftmap: {' '.join(message.split())}", err=True)


def main() -> None:
    """The entry point of the command `driftmap`."""
    app()


if __name__ == "__main__":
    main()
