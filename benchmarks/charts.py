"""Draw docs/images/performance-*.svg and write the table in docs/performance.md from benchmarks/results.

python benchmarks/charts.py
"""

import argparse
import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

Results = dict[str, dict[int, dict[str, Any]]]  # by benchmark and rows
ROOT = Path(__file__).parents[1]
START, END = "<!-- results -->", "<!-- end of results -->"
M = 1_000_000
GREY, BLUE, RED, GREEN = "#808890", "#2f7fb8", "#d9363e", "#3d9a6a"


@dataclass(frozen=True)
class Line:
    """One line of the table: a figure of a benchmark, and what it should be, by rows."""

    label: str
    benchmark: str
    figure: str
    unit: str
    targets: dict[int, float] = field(default_factory=dict)
    meets: Callable[[float, float], bool] = operator.le

    def value(self, results: Results, rows: int) -> float | None:
        return figure(results.get(self.benchmark, {}).get(rows, {}), self.figure)


LINES = (
    Line("Pan or zoom: map and all charts, p95", "interaction", "moves.p95_ms", "ms", {10 * M: 100, 100 * M: 150}),
    Line("Pan or zoom, p50", "interaction", "moves.p50_ms", "ms"),
    Line("Brushes and pairs of them, p50", "interaction", "brushes.p50_ms", "ms", {10 * M: 62}),
    Line("Brushes that roll-ups answer, p95", "interaction", "from_rows.without.p95_ms", "ms", {10 * M: 150}),
    Line("Brushes that need rows, p95", "interaction", "from_rows.with_rows.p95_ms", "ms", {10 * M: 1000}),
    Line("First look after opening", "interaction", "first_look_ms", "ms"),
    Line("First brush after opening", "interaction", "first_brush_ms", "ms"),
    Line(
        "Times faster than datashader in memory, p50", "interaction", "baseline.times_faster_p50", "×",
        {10 * M: 10, 100 * M: 50}, operator.ge,
    ),
    Line("Ten people panning: wait, p95", "users", "wait.p95_ms", "ms", {100 * M: 500}),
    Line("Ten people panning: memory of the server", "users", "server_memory.peak_mib", "MiB", {100 * M: 2048}),
    Line("Ingest", "ingest", "ingest.rows_per_second", "rows/s", {10 * M: 500_000}, operator.ge),
    Line("Ingest, times as long as DuckDB's copy", "ingest", "times_slower_than_baseline", "×"),
    Line("Append a day", "ingest", "append.seconds", "s", {100 * M: 10}),
    Line("Database, times the size of zstd Parquet", "ingest", "disk.database_to_parquet", "×", {100 * M: 1.5}),
    Line("A million late labels", "labels", "label.seconds", "s", {10 * M: 5, 100 * M: 10}),
    Line("Region assignment", "regions", "points_per_second", "points/s", {M: M}, operator.ge),
    Line("Region assignment, times faster than STRtree", "regions", "times_faster_than_baseline", "×"),
    Line("Monitor run", "monitor_run", "monitor.seconds", "s", {10 * M: 120}),
    Line("Monitor run: memory", "monitor_run", "memory.together_at_most_mib", "MiB", {10 * M: 4096}),
    Line("Dashboard meanwhile, times slower, p95", "monitor_run", "dashboard.times_slower_p95", "×", {10 * M: 2}),
)  # fmt: skip


def read(folder: Path) -> Results:
    results: Results = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if "benchmark" in found:
            results.setdefault(found["benchmark"], {})[found["rows"]] = found
    return results


def figure(found: dict[str, Any], path: str) -> float | None:
    """The figure at `path`, as in 'moves.p95_ms'; None where there is none."""
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def table(results: Results) -> Iterator[str]:
    sizes = sorted({rows for runs in results.values() for rows in runs})
    yield "| | " + " | ".join(f"{millions(rows)} | target" for rows in sizes) + " |"
    yield "| --- |" + " ---: | :--- |" * len(sizes)
    for line in LINES:
        cells = []
        for rows in sizes:
            value, target = line.value(results, rows), line.targets.get(rows)
            shown = "" if value is None else f"{number(value)} {line.unit}"
            sign = "≤" if line.meets is operator.le else "≥"
            wanted = "" if target is None else f"{sign} {number(target)}"
            if value is not None and target is not None:
                wanted += " ✓" if line.meets(value, target) else " ✗"
            cells += [shown, wanted]
        yield f"| {line.label} | " + " | ".join(cells) + " |"
    slower = growth(results)
    if slower is not None:
        met = "✓" if slower <= 1.5 else "✗"
        yield ""
        yield f"From 10 to 100 million rows a pan or zoom (p95) becomes {slower:.2f} times slower (target ≤ 1.5 {met})."
    compared = [figure(run, "exact.answers_compared") or 0 for runs in results.values() for run in runs.values()]
    differ = [figure(run, "exact.answers_that_differ") or 0 for runs in results.values() for run in runs.values()]
    yield ""
    yield f"Answers held against plain ones in these runs: {number(sum(compared))}; different: {number(sum(differ))}."
    yield ""
    yield from sorted({machine(run["machine"]) for runs in results.values() for run in runs.values()})


def growth(results: Results) -> float | None:
    ten, hundred = (figure(results.get("interaction", {}).get(rows, {}), "moves.p95_ms") for rows in (10 * M, 100 * M))
    return hundred / ten if ten and hundred else None


def machine(on: dict[str, Any]) -> str:
    return (
        f"Measured on {on['cores']} cores and {on['memory_gib']:.0f} GiB, {on['system']}, Python {on['python']}, "
        f"DuckDB {on['duckdb']}, datashader {on['datashader']}, HoloViews {on['holoviews']}, "
        f"Evidently {on['evidently']}."
    )


def millions(rows: int) -> str:
    return f"{rows / M:g} million" if rows >= M else f"{rows:,}"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def draw(results: Results, folder: Path) -> None:
    """One chart a question; each against the number of rows."""
    interaction, ingest = results.get("interaction", {}), results.get("ingest", {})
    lines(
        folder / "performance-interaction.svg", "milliseconds", (
            ("datashader over rows in memory, p50", interaction, "baseline.datashader.p50_ms", GREY),
            ("pan or zoom, p95", interaction, "moves.p95_ms", RED),
            ("pan or zoom, p50", interaction, "moves.p50_ms", BLUE),
            ("brushes, p50", interaction, "brushes.p50_ms", GREEN),
        ),
    )  # fmt: skip
    lines(
        folder / "performance-ingest.svg", "seconds", (
            ("ingest", ingest, "ingest.seconds", BLUE),
            ("DuckDB: CREATE TABLE AS", ingest, "baseline.seconds", GREY),
            ("late labels", results.get("labels", {}), "label.seconds", GREEN),
            ("append a day", ingest, "append.seconds", RED),
        ),
    )  # fmt: skip
    lines(
        folder / "performance-size.svg", "MiB", (
            ("database", ingest, "disk.database_bytes", BLUE),
            ("zstd Parquet", ingest, "disk.parquet_zstd_bytes", GREY),
            ("memory of the server, ten people", results.get("users", {}), "server_memory.peak_mib", RED),
        ),
    )  # fmt: skip


def lines(path: Path, unit: str, shown: tuple[tuple[str, dict[int, dict[str, Any]], str, str], ...]) -> None:
    shape, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for label, runs, name, colour in shown:
        points = [(rows, figure(run, name)) for rows, run in sorted(runs.items())]
        known = [(rows, value / 2**20 if name.endswith("_bytes") else value) for rows, value in points if value]
        if known:
            axes.plot(*zip(*known, strict=True), marker="o", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="predictions", ylabel=unit)
    axes.grid(color="#80889033")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape.savefig(path, metadata={"Date": None})
    plt.close(shape)


def write_table(page: Path, results: Results) -> None:
    text = page.read_text(encoding="utf-8")
    body = "\n".join(table(results))
    found = re.subn(f"{START}.*?{END}", lambda _: f"{START}\n{body}\n{END}", text, flags=re.DOTALL)
    assert found[1] == 1, f"{page} lacks the markers"
    page.write_text(found[0], encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    chosen = parser.parse_args()
    mpl.rcParams.update({"svg.hashsalt": "driftmap", "svg.fonttype": "none", "font.size": 9})
    results = read(chosen.results)
    draw(results, chosen.docs / "images")
    write_table(chosen.docs / "performance.md", results)


if __name__ == "__main__":
    main()
