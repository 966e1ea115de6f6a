"""The rows of all files under one numbering: which columns they have, and any stretch of them in small batches."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from batchrun.storage.s3 import Connection
from batchrun.storage.source.batches import RowBatch
from batchrun.storage.source.columns import Columns
from batchrun.storage.source.input_file import located
from batchrun.storage.source.reading import file_batches
from batchrun.storage.source.source_file import SourceFile


class Source:
    """The input of a run: `rows` rows in `files`, numbered from 0 in that order.

    `schema` has every column of every file that has rows, in one type. A column that is not in all of them, or
    whose types have nothing in common, is an error only for who uses it. No rows at all is no error here.
    """

    def __init__(
        self, base: Path, files: Sequence[SourceFile], missing: Collection[str] = (), store: Connection | None = None
    ) -> None:
        """Take the files in order; those named in `missing` are known from before and not there any more."""
        self.base = base
        self._store = store or Connection()
        self.files = tuple(files)
        self.missing = frozenset(missing)
        self._stops = list(accumulate(file.rows for file in self.files))
        self._columns = Columns(base, self.files)

    def __repr__(self) -> str:
        return f"Source({len(self.files)} files, {self.rows} rows, columns {', '.join(self.schema.names)})"

    @property
    def rows(self) -> int:
        """Return how many rows all files have."""
        return self._stops[-1] if self._stops else 0

    @property
    def schema(self) -> pa.Schema:
        """Return the columns with the types that `read` yields; those of folders are text."""
        return self._columns.schema

    def require(self, columns: Sequence[str], what: str) -> None:
        """Raise InputError unless every file with rows has `columns` in types that fit; `what` is who asks."""
        self._columns.require(columns, what)

    def read(self, columns: Sequence[str], first_row: int, stop_row: int) -> Iterator[RowBatch]:
        """Return the rows `first_row` to `stop_row` in order, each batch with exactly `columns` in that order.

        Nulls come through. One file is open at a time. Within a row group, or a text file, the rows before
        `first_row` are decoded again: read one long stretch rather than many short ones.
        Raises InputError at once if a column will not do; while reading, if a file is not what was scanned.
        """
        if not 0 <= first_row <= stop_row <= self.rows:
            raise ValueError(f"rows {first_row} to {stop_row} of {self.rows}")
        self.require(columns, "input")
        return self._read(self._columns.only(columns), first_row, stop_row)

    def _read(self, wanted: pa.Schema, first_row: int, stop_row: int) -> Iterator[RowBatch]:
        row = first_row
        index = bisect_right(self._stops, first_row)
        while row < stop_row:
            file, file_first = self.files[index], self._first_row(index)
            stop = min(stop_row, self._stops[index]) - file_first
            at = located(file.name, file.version, self.base, self._store)
            for batch in file_batches(file, at, wanted, row - file_first, stop):
                yield RowBatch(row, batch)
                row += batch.num_rows
            index += 1

    def _first_row(self, index: int) -> int:
        return self._stops[index] - self.files[index].rows
