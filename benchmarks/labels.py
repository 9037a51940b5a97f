"""Seconds that late labels take onto predictions that are there, beside DuckDB's bare UPDATE.

    python benchmarks/labels.py --rows 1000000 --labels 1000000 --json

driftmap checks every label, finds its prediction by id and brings every roll-up up to date, in one transaction. The
baseline is `UPDATE … FROM` on a table that has ids and labels alone. The labels are of predictions of all 90 days that
had none: 40% of them have none, so a world of a million rows takes 400,000 at most.
"""

import argparse
import time
from pathlib import Path

import duckdb
from harness import Figures, measured, opened, options, ratio
from world import World

from storage.labels import label_file


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    labels = world.late_labels(chosen.labels, folder)
    bare = update_time(world, labels, folder / "bare.duckdb")
    with opened(world, chosen, folder, changes=True) as database:
        started = time.perf_counter()
        result = label_file(database, world.model, labels)
        ours = time.perf_counter() - started
        assert result.accepted == result.rows, result
        started = time.perf_counter()
        again = label_file(database, world.model, labels)
        repeated = time.perf_counter() - started
        assert again.unchanged == again.rows, again
    return {
        "labels": result.rows,
        "label": {
            "seconds": round(ours, 2),
            "labels_per_second": round(result.rows / ours),
        },
        "repeat": {"seconds": round(repeated, 2)},
        "baseline": {"what": "DuckDB: UPDATE … FROM on a table of ids and labels", "seconds": round(bare, 2)},
        "times_slower_than_baseline": ratio(ours, bare),
    }


def update_time(world: World, labels: Path, target: Path) -> float:
    """Seconds of the bare UPDATE, as one transaction, without a checkpoint."""
    with duckdb.connect(str(target)) as connection:
        connection.execute(
            "CREATE TABLE prediction AS SELECT id, label FROM read_parquet(?)", [[str(part) for part in world.parts()]]
        )
        connection.execute("CHECKPOINT")
        started = time.perf_counter()
        connection.execute(
            f"""UPDATE prediction SET label = late.label FROM read_parquet('{labels}') AS late
                WHERE prediction.id = late.id"""
        )
        taken = time.perf_counter() - started
    target.unlink()
    return taken


def main() -> None:
    number = ("--labels", {"type": int, "default": 1_000_000, "help": "late labels, at most"})
    measured("labels", options(__doc__, number), measure)


if __name__ == "__main__":
    main()
