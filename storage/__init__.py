"""What is kept: DuckDB, ingest, labels, regions, roll-ups, queries."""
