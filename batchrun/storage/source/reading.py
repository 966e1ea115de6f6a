"""Reading one file: only if it is still the one that was scanned, and in the types of the whole input."""

from collections.abc import Iterator

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.storage.source import formats
from batchrun.storage.source.batches import BATCH_ROWS
from batchrun.storage.source.column_types import as_type
from batchrun.storage.source.facts import naming
from batchrun.storage.source.input_file import InputFile
from batchrun.storage.source.source_file import SourceFile


def file_batches(
    file: SourceFile, at: InputFile, wanted: pa.Schema, first_row: int, stop_row: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows `first_row` to `stop_row` of `file` (its own numbering) with the columns `wanted`.

    Raises InputError if the file has changed since it was scanned or a value does not fit its column's type.
    """
    refuse_if_changed(file, at)
    given = dict(file.partitions)
    own = pa.schema([field for field in file.schema if field.name in wanted.names and field.name not in given])
    rows = 0
    for batch in _own_batches(file, at, own, first_row, stop_row):
        rows += batch.num_rows
        yield _shaped(batch, wanted, given, at)
    if rows != stop_row - first_row:
        raise InputError(f"{at}: changed since it was scanned: rows {first_row} to {stop_row} are {rows} rows now")


def refuse_if_changed(file: SourceFile, at: InputFile) -> None:
    """Raise InputError if the file is not the one scanned; a new time of change alone is looked into."""
    with naming(at):
        now = at.version()
    if now.size_bytes != file.size_bytes:
        raise InputError(f"{at}: changed since it was scanned: {file.size_bytes} bytes then, {now.size_bytes} now")
    if not now.is_same(file.version) and formats.facts(at, file.format).digest != file.digest:
        raise InputError(f"{at}: changed since it was scanned: as long as before, other content")


def _own_batches(
    file: SourceFile, at: InputFile, own: pa.Schema, first_row: int, stop_row: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows with the file's `own` columns; a file of which none is used need not be opened."""
    if own.names:
        with naming(at):
            yield from formats.batches(at, file.format, own, (first_row, stop_row), file.marks)
        return
    for row in range(first_row, stop_row, BATCH_ROWS):
        yield _without_columns(min(BATCH_ROWS, stop_row - row))


def _shaped(batch: pa.RecordBatch, wanted: pa.Schema, given: dict[str, str | None], at: InputFile) -> pa.RecordBatch:
    """Return `batch` with exactly the columns and types of `wanted`."""
    if not wanted.names:
        return _without_columns(batch.num_rows)
    columns = []
    for field in wanted:
        if field.name in given:
            columns.append(pa.repeat(pa.scalar(given[field.name], field.type), batch.num_rows))
            continue
        try:
            columns.append(as_type(batch.column(field.name), field.type))
        except pa.ArrowException as error:
            raise InputError(f"{at}: column {field.name!r} does not fit {field.type}: {error}") from error
    return pa.record_batch(columns, schema=wanted)


def _without_columns(rows: int) -> pa.RecordBatch:
    """Return a batch that has only a number of rows."""
    return pa.RecordBatch.from_struct_array(pa.nulls(rows, pa.struct([])))
