"""The table of formats: how a file of each is scanned, and how its rows are read."""

from collections.abc import Iterator

import pyarrow as pa

from batchrun.storage.source import csv_text, json_lines, parquet
from batchrun.storage.source.facts import Facts, Marks
from batchrun.storage.source.input_file import InputFile

SCANNERS = {"parquet": parquet.facts, "jsonl": json_lines.facts, "csv": csv_text.facts}


def facts(file: InputFile, format_name: str) -> Facts:
    """Return what a scan of the file finds."""
    return SCANNERS[format_name](file)


def batches(
    file: InputFile, format_name: str, columns: pa.Schema, rows: tuple[int, int], marks: Marks
) -> Iterator[pa.RecordBatch]:
    """Yield the rows `rows` (the first, and the one after the last) of one file with at least `columns`."""
    if format_name == "parquet":
        return parquet.batches(file, columns.names, *rows)
    if format_name == "jsonl":
        return json_lines.batches(file, columns, *rows, marks)
    return csv_text.batches(file, columns.names, *rows, marks)
