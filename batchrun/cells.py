"""Cells: input rows as Python values, also where a batch holds one that Python cannot represent."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

# What pyarrow raises for text that is not UTF-8, dates beyond the year 9999, and the like.
_UNREADABLE = (ValueError, OverflowError, pa.ArrowException)


def rows_of(batch: pa.RecordBatch) -> Iterator[Mapping[str, Any] | str]:
    """Yield each row's cells by column, or what is wrong with a cell of it."""
    try:
        rows = batch.to_pylist()
    except _UNREADABLE:
        yield from (_row(batch, place) for place in range(batch.num_rows))
        return
    yield from rows


def _row(batch: pa.RecordBatch, place: int) -> Mapping[str, Any] | str:
    cells = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            cells[name] = column[place].as_py()
        except _UNREADABLE as error:
            return f"column {name!r} cannot be read: {type(error).__name__}: {error}"
    return cells
