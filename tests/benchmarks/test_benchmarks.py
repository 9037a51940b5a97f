"""Every benchmark runs in a tiny world, says what it should, and its answers are exact where it compares them."""

import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
ROWS = 3_000
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def _benchmarks_can_be_imported() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a benchmark as from the command line; the JSON that it prints, which is also in its file of results."""

    def run(name: str, *arguments: str, store: bool = True) -> dict[str, Any]:
        given = ["--rows", str(ROWS), "--json", "--cache", str(cache), "--results", str(cache / "results")]
        given += ["--store", str(cache / "store.duckdb")] if store else []
        monkeypatch.setattr(sys, "argv", [name, *given, *arguments])
        importlib.import_module(name).main()
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert json.loads((cache / "results" / f"{name}-3k.json").read_text()) == printed
        assert (printed["benchmark"], printed["rows"]) == (name, ROWS)
        assert printed["machine"]["duckdb"]
        return printed

    return run


def test_a_day_of_the_world_is_the_same_whatever_else_is_made(cache: Path) -> None:
    world = importlib.import_module("world")
    one, other = world.World(ROWS, cache=cache), world.World(ROWS, cache=cache / "other")
    whole = pa.concat_tables(one.groups(range(world.DAYS)))
    assert whole.num_rows == ROWS
    assert whole.equals(pa.concat_tables(other.day(day) for day in range(world.DAYS)))
    assert pa.concat_tables(pq.read_table(part) for part in one.parts()).equals(whole)
    assert not whole.equals(pa.concat_tables(world.World(ROWS, seed=2).groups(range(world.DAYS))))


def test_the_world_has_a_map_and_labels_that_are_right_where_confidence_says_so(cache: Path) -> None:
    world = importlib.import_module("world")
    table = world.World(90_000, cache=cache).day(0, 40_000).to_pandas()
    assert table["id"].is_unique
    assert table["time"].is_monotonic_increasing
    labelled = table[table["label"].notna()]
    assert len(labelled) / len(table) == pytest.approx(0.6, abs=0.01)
    right = labelled["label"] == labelled["predicted"]
    sure = labelled["confidence"] > 0.9
    assert right[sure].mean() > 0.93 > right[~sure].mean()
    patch = world.patches(table["lon"].to_numpy(), table["lat"].to_numpy(), 1)
    assert np.mean(np.array(world.CLASSES)[patch] == table["predicted"]) == pytest.approx(0.8 + 0.2 / 6, abs=0.01)


def test_late_labels_are_for_predictions_that_have_none(cache: Path, tmp_path: Path) -> None:
    world = importlib.import_module("world").World(ROWS, cache=cache)
    rows = pa.concat_tables(pq.read_table(part) for part in world.parts()).to_pandas()
    late = pq.read_table(world.late_labels(500, tmp_path)).to_pandas()
    assert 400 < len(late) <= 500
    assert late["id"].is_unique
    assert set(late["id"]) <= set(rows.loc[rows["label"].isna(), "id"])


def test_ingest(run: Run) -> None:
    found = run("ingest", "--append", "40")
    assert found["ingest"]["rows_per_second"] > 0
    assert (found["append"]["rows"], found["repeat"]["rows"]) == (40, ROWS)
    assert found["disk"]["database_bytes"] > 0


def test_labels_leave_the_store_as_it_was(run: Run) -> None:
    assert run("labels", "--labels", "300")["labels"] == run("labels", "--labels", "300")["labels"] > 200


def test_regions(run: Run) -> None:
    found = run("regions", store=False)
    assert found["regions"] == 300
    assert found["exact"] == {"answers_compared": ROWS, "answers_that_differ": 0}


@pytest.mark.slow
def test_interaction(run: Run) -> None:
    found = run("interaction", "--moves", "20", "--brushes", "1", "--sample", "5")
    assert found["moves"]["events"] == 20
    assert set(found["moves"]["of"]) > {"errors", "confidence", "predicted", "uncertainty", "density", "last 7 days"}
    assert len(found["brushes"]["of"]) == 15
    assert found["exact"]["answers_compared"] == 30
    assert found["exact"]["which"] == []
    assert found["baseline"]["times_faster_p50"] > 0


@pytest.mark.slow
def test_monitor_run(run: Run) -> None:
    found = run("monitor_run", "--features", "2", "--moves", "2", "--regions", "1", store=False)
    assert found["monitor"]["findings"] > 300
    assert found["memory"]["worker_peak_mib"] > 0
    assert found["dashboard"]["meanwhile"]["events"] > 0


@pytest.mark.slow
def test_users(run: Run) -> None:
    found = run("users", "--users", "2", "--seconds", "4")
    assert found["wait"]["events"] >= 2
    assert found["moves_without_an_image"] == 0
    assert found["server_memory"]["peak_mib"] >= found["server_memory"]["start_mib"] > 0


def test_charts_and_table_hold_what_the_results_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    charts = importlib.import_module("charts")
    machine = importlib.import_module("harness").machine()
    (tmp_path / "results").mkdir()
    for rows, slow in ((10_000_000, 80.0), (100_000_000, 160.0)):
        found = {
            "benchmark": "interaction",
            "rows": rows,
            "moves": {"p95_ms": slow, "p50_ms": 31.4},
            "machine": machine,
        }
        (tmp_path / "results" / f"interaction-{rows}.json").write_text(json.dumps(found))
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{charts.START}\nold\n{charts.END}\nafter\n")
    monkeypatch.setattr(sys, "argv", ["charts", "--results", str(tmp_path / "results"), "--docs", str(tmp_path)])
    charts.main()
    text = page.read_text()
    assert "| Pan or zoom: map and all charts, p95 | 80 ms | ≤ 100 ✓ | 160 ms | ≤ 150 ✗ |" in text
    assert "becomes 2.00 times slower" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "pan or zoom, p95" in (tmp_path / "images" / "performance-interaction.svg").read_text()


def test_make_bench_runs_every_benchmark_of_a_size() -> None:
    makefile = (ROOT / "Makefile").read_text()
    run = set(re.findall(r"benchmarks/(\w+)\.py", makefile))
    measuring = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "measured(" in path.read_text()}
    assert run == measuring - {"harness", "lake"} | {"charts"}  # a lake needs a PostgreSQL
