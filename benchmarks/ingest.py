"""Rows a second that driftmap takes in from Parquet, beside what DuckDB takes to copy the same files into a table.

    python benchmarks/ingest.py --rows 1000000 --json

driftmap checks every row, finds its region, and writes the roll-ups; DuckDB's `CREATE TABLE AS` does none of it.
Then: the first file once more, and one more day of rows. The size of the database is that of its closed file before
those two. With --store the database is made anew there, and left as it was before them.
"""

import argparse
import time
from pathlib import Path

import duckdb
from harness import Figures, fill, measured, opened, options, ratio
from world import DAYS, World

from storage.database import Database
from storage.ingest import ingest_file


def measure(world: World, chosen: argparse.Namespace, folder: Path) -> Figures:
    parts = world.parts()
    path = chosen.store or folder / "driftmap.duckdb"
    for old in (path, path.with_name(path.name + ".wal")):
        old.unlink(missing_ok=True)
    with Database.open(str(path)) as database:
        taken = fill(database, world)
    ours, size, parquet = sum(taken), path.stat().st_size, sum(part.stat().st_size for part in parts)
    baseline = copy_time(parts, folder / "copy.duckdb")
    count = chosen.append or max(1, world.rows // DAYS)
    with opened(world, chosen, folder, changes=True) as database:
        started = time.perf_counter()
        again = ingest_file(database, world.model, parts[0])
        repeated = time.perf_counter() - started
        assert again.unchanged == again.rows, again
        day = world.next_day(count, folder)
        started = time.perf_counter()
        added = ingest_file(database, world.model, day)
        appended = time.perf_counter() - started
        assert added.accepted == count, added
    return {
        "features": world.features,
        "files": len(parts),
        "ingest": {
            "seconds": round(ours, 2),
            "rows_per_second": round(world.rows / ours),
            "slowest_file_seconds": round(max(taken), 2),
        },
        "baseline": {
            "what": "DuckDB: CREATE TABLE AS FROM read_parquet, checkpoint included",
            "seconds": round(baseline, 2),
            "rows_per_second": round(world.rows / baseline),
        },
        "times_slower_than_baseline": ratio(ours, baseline),
        "repeat": {"rows": again.rows, "seconds": round(repeated, 2), "rows_per_second": round(again.rows / repeated)},
        "append": {"rows": count, "seconds": round(appended, 2), "rows_per_second": round(count / appended)},
        "disk": {"database_bytes": size, "parquet_zstd_bytes": parquet, "database_to_parquet": ratio(size, parquet)},
    }


def copy_time(sources: list[Path], target: Path) -> float:
    """Seconds that DuckDB takes to copy the files into a table of a new database, the checkpoint included."""
    started = time.perf_counter()
    with duckdb.connect(str(target)) as connection:
        connection.execute("CREATE TABLE prediction AS FROM read_parquet(?)", [[str(source) for source in sources]])
    taken = time.perf_counter() - started
    target.unlink()
    return taken


def main() -> None:
    append = ("--append", {"type": int, "help": "rows of the day that is appended; a ninetieth of --rows by default"})
    measured("ingest", options(__doc__, append), measure)


if __name__ == "__main__":
    main()
