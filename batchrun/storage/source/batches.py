"""A batch is a run of rows that is small enough to hold: about a megabyte, and never more than 4,096 rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

BATCH_BYTES = 1 << 20  # a guess: large enough that the cost per batch vanishes, small against 250 MB
BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows `first_row` to `stop_row` (not included), counted from 0 over all input files."""

    first_row: int
    batch: pa.RecordBatch

    @property
    def rows(self) -> int:
        """Return how many rows the batch holds."""
        return int(self.batch.num_rows)

    @property
    def stop_row(self) -> int:
        """Return the number of the row after the last one."""
        return self.first_row + self.rows


def cut(batches: Iterable[pa.RecordBatch], skip: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the next `rows` rows after the first `skip`; fewer if `batches` end early, and none is read in vain."""
    if rows <= 0:
        return
    for batch in batches:
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        kept = batch.slice(skip, rows)
        skip = 0
        rows -= kept.num_rows
        yield kept
        if rows == 0:
            return


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield `batch` in slices of at most BATCH_ROWS rows and, on average, BATCH_BYTES bytes."""
    step = rows_per_batch(batch.nbytes, batch.num_rows)
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def rows_per_batch(size_bytes: int, rows: int) -> int:
    """Return how many rows of a stretch of `rows` rows and `size_bytes` bytes make one batch: at least 1."""
    if size_bytes <= 0:
        return BATCH_ROWS
    return max(1, min(BATCH_ROWS, rows * BATCH_BYTES // size_bytes))
