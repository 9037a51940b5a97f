"""Rows a second that driftmap takes in from Parquet, beside what DuckDB takes to copy the same file into a table.

    python benchmarks/ingest.py --rows 1000000 --json

driftmap checks every row, finds its region, and writes the roll-ups; DuckDB's `CREATE TABLE AS` does none of it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as parquet
from world import MODEL, labels, machine, predictions, write_regions

from storage.catalog import register_model
from storage.database import Database
from storage.ingest import ingest_file
from storage.labels import label_file
from storage.regions import load_regions


def measure(rows: int, seed: int, folder: Path) -> dict[str, object]:
    table = predictions(rows, seed)
    source, marks = folder / "predictions.parquet", folder / "labels.parquet"
    parquet.write_table(table, source, compression="zstd")
    marked = labels(table)
    parquet.write_table(marked, marks, compression="zstd")
    baseline = copy_time(source, folder / "copy.duckdb")
    with Database.open(str(folder / "driftmap.duckdb")) as database:
        load_regions(database, "districts", write_regions(folder))
        register_model(database, MODEL)
        first = ingest_file(database, MODEL, source)
        second = label_file(database, MODEL, marks)
        started = time.perf_counter()
        again = ingest_file(database, MODEL, source)
        repeated = time.perf_counter() - started
    assert (first.accepted, second.accepted, again.unchanged) == (rows, marked.num_rows, rows)
    size = (folder / "driftmap.duckdb").stat().st_size
    return {
        "rows": rows,
        "features": len(MODEL.features),
        "ingest_seconds": round(first.seconds, 2),
        "ingest_rows_per_second": round(rows / first.seconds),
        "baseline": "CREATE TABLE AS FROM read_parquet",
        "baseline_seconds": round(baseline, 2),
        "baseline_rows_per_second": round(rows / baseline),
        "slower_than_baseline": round(first.seconds / baseline, 2),
        "labels": marked.num_rows,
        "labels_per_second": round(marked.num_rows / second.seconds),
        "repeat_rows_per_second": round(rows / repeated),
        "database_bytes": size,
        "parquet_zstd_bytes": source.stat().st_size,
        "database_to_parquet": round(size / source.stat().st_size, 2),
        "machine": machine(),
    }


def copy_time(source: Path, target: Path) -> float:
    """Seconds that DuckDB takes to copy the file into a table of a new database, the checkpoint included."""
    started = time.perf_counter()
    with duckdb.connect(str(target)) as connection:
        connection.execute("CREATE TABLE prediction AS FROM read_parquet(?)", [str(source)])
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.rows, options.seed, Path(folder))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
