"""What commands answer, as tables for people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

VERDICTS = {
    "ok": "● ok",
    "warning": "▲ warning",
    "critical": "■ critical",
    "insufficient data": "◌ insufficient data",
}
MODELS = ("model", "versions", "predictions", "labelled", "from", "to", "last run", "open alerts")
FINDINGS = ("model", "version", "region", "window", "metric", "value", "interval", "n", "verdict")
ALERTS = ("id", "state", "severity", "model", "region", "metric", "value", "interval", "n", "opened")
COLOURS = {"warning": "yellow", "critical": "red", "insufficient data": "dim"}


def show(console: Console, command: str, result: Any) -> None:
    """Print what `command` answered."""
    TABLES[command](console, result)


def ingest(console: Console, result: dict[str, Any]) -> None:
    files = table("file", "accepted", "replaced", "unchanged", "refused", numbers=(1, 2, 3, 4))
    for file in result["files"]:
        if file["error"] is None:
            add(
                files,
                Path(file["source"]).name,
                *(f"{file[count]:,}" for count in ("accepted", "replaced", "unchanged")),
                f"{sum(file['refused'].values()):,}",
            )
            for reason, count in file["refused"].items():
                add(files, f"  refused: {reason}", "", "", "", f"{count:,}")
            if file["outside_regions"]:
                add(files, f"  outside every region: {file['outside_regions']:,}")
            if file["repaired"]:
                add(files, f"  polygons repaired: {file['repaired']:,}")
    if files.rows:
        console.print(files)


def regions(console: Console, result: dict[str, Any]) -> None:
    console.print(f"{result['region_set']}: {result['loaded']:,} regions.", highlight=False)
    if result.get("repaired"):
        console.print(f"Invalid polygons repaired: {', '.join(result['repaired'])}.", markup=False)
    if result.get("reassigned"):
        console.print(f"{result['reassigned']:,} predictions assigned anew.", highlight=False)


def compact(console: Console, result: dict[str, Any]) -> None:
    console.print(
        f"{result['rows_before']:,} rows of roll-ups are now {result['rows_after']:,}; "
        f"{result['weeks_sorted']:,} weeks of predictions sorted.",
        highlight=False,
    )
    if "files_before" in result:
        console.print(
            f"{result['files_before']:,} data files are now {result['files_after']:,}; "
            f"{result['snapshots_ended']:,} snapshots ended, {result['files_deleted']:,} files deleted.",
            highlight=False,
        )


def migrate(console: Console, result: dict[str, Any]) -> None:
    rows = table("table", "rows", "rows there", "checksum", "", numbers=(1, 2, 3))
    for each in result["tables"]:
        equal = "equal" if each["equal"] else "DIFFERENT"
        add(rows, each["table"], f"{each['rows']:,}", f"{each['rows_there']:,}", each["checksum"], equal)
    console.print(rows)


def runs(console: Console, result: list[dict[str, Any]]) -> None:
    if not result:
        console.print("No runs yet. 'driftmap monitor' makes one.")
        return
    rows = table("run", "model", "window", "outcome", "predictions", "findings", "message", numbers=(4, 5))
    for run in result:
        add(
            rows,
            run["id"],
            run["model"],
            window(run),
            run["outcome"],
            f"{run['predictions']:,}",
            f"{run['findings']:,}",
            run["message"],
        )
    console.print(rows)


def status(console: Console, result: dict[str, Any]) -> None:
    console.print(f"Database: {result['database']}", highlight=False, markup=False)
    if not result["models"]:
        console.print("No models yet. Add one under models: in driftmap.yaml.")
        return
    rows = table(
        *MODELS,
        numbers=(2, 3, 7),
    )
    for model in result["models"]:
        run = model["last_run"]
        add(
            rows,
            model["model"],
            ", ".join(model["versions"]),
            f"{model['predictions']:,}",
            f"{model['labelled']:,}",
            day(model["first"]),
            day(model["last"]),
            f"{window(run)} {run['outcome']}" if run else "none",
            str(model["open_alerts"]),
        )
    console.print(rows)


def findings(console: Console, result: list[dict[str, Any]]) -> None:
    if not result:
        console.print("No findings. 'driftmap monitor' makes some, once there are predictions.")
        return
    rows = table(
        *FINDINGS,
        numbers=(5, 6, 7),
    )
    for finding in result:
        add(
            rows,
            finding["model"],
            finding["version"],
            place(finding),
            window(finding),
            finding["metric"],
            figure(finding["value"]),
            interval(finding),
            f"{finding['n']:,}",
            verdict(finding["verdict"]),
        )
    console.print(rows)


def alerts(console: Console, result: list[dict[str, Any]]) -> None:
    if not result:
        console.print("No alerts.")
        return
    rows = table(
        *ALERTS,
        numbers=(6, 7, 8),
    )
    for alert in result:
        add(
            rows,
            alert["id"],
            alert["state"],
            verdict(alert["severity"]),
            alert["model"],
            place(alert),
            alert["metric"],
            figure(alert["value"]),
            interval(alert),
            f"{alert['n']:,}",
            day(alert["opened_at"]),
        )
    console.print(rows)


def alert(console: Console, result: dict[str, Any]) -> None:
    alerts(console, [result])
    console.print(result["message"], highlight=False, markup=False)
    console.print(result["url"], highlight=False, markup=False, soft_wrap=True)
    history = table("when", "event", "by", "detail")
    for event in result["events"]:
        add(history, event["happened_at"], event["event"], event["actor"], event["detail"])
    console.print(history)


def demo(console: Console, result: dict[str, Any]) -> None:
    console.print(f"Planted in: {', '.join(result['planted'])}", highlight=False, markup=False)
    alerts(console, result["alerts"])


TABLES: dict[str, Callable[[Console, Any], None]] = {
    "demo": demo,
    "ingest": ingest,
    "label": ingest,
    "regions": regions,
    "compact": compact,
    "migrate": migrate,
    "monitor": runs,
    "status": status,
    "findings": findings,
    "alerts list": alerts,
    "alerts show": alert,
    "runs": runs,
}


def table(*headings: str, numbers: tuple[int, ...] = ()) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, heading in enumerate(headings):
        made.add_column(heading, justify="right" if position in numbers else "left", overflow="fold")
    return made


def add(rows: Table, *cells: str | Text) -> None:
    """Add a row of plain text: a region's name is never read as markup."""
    rows.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def figure(value: float | None) -> str:
    """Three significant digits."""
    return "" if value is None else f"{value:#.3g}".rstrip(".")


def interval(finding: dict[str, Any]) -> str:
    if finding["lower"] is None or finding["upper"] is None:
        return ""
    return f"{figure(finding['lower'])}–{figure(finding['upper'])}"


def place(finding: dict[str, Any]) -> str:
    if finding["region"] is None:
        return "the whole"
    return finding["region_name"] or finding["region"]


def verdict(text: str) -> Text:
    return Text(VERDICTS[text], style=COLOURS.get(text, ""))


def window(record: dict[str, Any]) -> str:
    """A half-open window as its first and the day after its last."""
    return f"{day(record['window_start'])} – {day(record['window_end'])}"


def day(moment: str | None) -> str:
    return moment[:10] if moment else ""
