"""The table of formats: how a file of each is scanned, and how its rows are read."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from batchrun.storage.source import csv_text, json_lines, parquet
from batchrun.storage.source.facts import Facts

SCANNERS = {"parquet": parquet.facts, "jsonl": json_lines.facts, "csv": csv_text.facts}


def facts(path: Path, format_name: str) -> Facts:
    """Return what a scan of the file finds."""
    return SCANNERS[format_name](path)


def batches(
    path: Path, format_name: str, columns: pa.Schema, first_row: int, stop_row: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows `first_row` to `stop_row` of one file with at least `columns`, in small batches."""
    if format_name == "jsonl":
        return json_lines.batches(path, columns, first_row, stop_row)
    read = parquet.batches if format_name == "parquet" else csv_text.batches
    return read(path, columns.names, first_row, stop_row)
