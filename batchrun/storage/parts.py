"""Parts: a range's outcomes, streamed in small row groups into one Parquet file that appears whole or not at all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.records import Outcome, Totals
from batchrun.storage.files import named
from batchrun.storage.part_facts import KEY, PartFacts, sign
from batchrun.storage.ranges import Range
from batchrun.storage.schema import FEW_VALUES, NO_EXTRAS, RESULT, Extras, result_columns
from batchrun.storage.store import Store

ROW_GROUP_BYTES = 4_000_000  # plain; a reader of the result needs no more memory than a few of these
ROWS_PER_CHUNK = 256
# Statistics of the other columns would repeat pieces of prompts and answers in the footer.
STATISTICS = ["row", "status"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where parts go and what all of them share."""

    store: Store
    schema: pa.Schema
    run_id: str
    emulated: bool
    extras: Extras = NO_EXTRAS


def write_part(
    target: Target, of: Range, totals: Totals, outcomes: Iterable[Outcome], kept: Iterable[pa.RecordBatch]
) -> None:
    """Stream a range's outcomes, in row order, into its part; it appears in data/ whole and synced, or not at all.

    Raises OSError if it cannot be written; nothing of it is left then.
    """
    beside = target.store.tmp / of.part_name
    facts = PartFacts(of.number, of.first_row, of.last_row, target.run_id, target.emulated, totals)
    try:
        with named(beside):
            with pq.ParquetWriter(
                beside,
                target.schema,
                compression="zstd",
                use_dictionary=FEW_VALUES,
                write_statistics=STATISTICS,
                write_page_checksum=True,
            ) as writer:
                for table in _row_groups(target, outcomes, kept):
                    writer.write_table(table, row_group_size=table.num_rows)
                writer.add_key_value_metadata({KEY.decode(): facts.to_json()})
            sign(beside, facts)
        target.store.publish(beside, of.part)
    except BaseException:
        beside.unlink(missing_ok=True)  # on a full disk, half a part would keep the log from growing
        raise


def _row_groups(target: Target, outcomes: Iterable[Outcome], kept: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    chunks: list[pa.RecordBatch] = []
    size_bytes = 0
    for chunk in _chunks(target, outcomes, kept):
        chunks.append(chunk)
        size_bytes += chunk.nbytes
        if size_bytes >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(chunks)
            chunks, size_bytes = [], 0
    if chunks:
        yield pa.Table.from_batches(chunks)


def _chunks(target: Target, outcomes: Iterable[Outcome], kept: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield small batches of whole result rows: few where answers or carried-over cells are long."""
    carries = len(target.schema) > 1 + len(RESULT) + len(target.extras.fields)
    carried = _Carried(kept)
    some: list[Outcome] = []
    size_bytes, most = 0, ROWS_PER_CHUNK
    for outcome in outcomes:
        if not some and carries:
            most = carried.at_hand()
        some.append(outcome)
        size_bytes += len(outcome.text or "") + len(outcome.thinking or "") + len(outcome.tool_calls or "")
        if len(some) >= most or size_bytes >= ROW_GROUP_BYTES // 4:
            yield _batch(target, some, carried)
            some, size_bytes = [], 0
    if some:
        yield _batch(target, some, carried)


class _Carried:
    """Deals out the spooled columns in slices of the batches that they came in."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._rest: pa.RecordBatch | None = None

    def at_hand(self) -> int:
        """Return how many rows can be taken at once: at least 1."""
        while self._rest is None or not self._rest.num_rows:
            self._rest = next(self._batches, None)
            if self._rest is None:
                raise OSError("the spool of carried-over columns has fewer rows than the log")
        return min(int(self._rest.num_rows), ROWS_PER_CHUNK)

    def take(self, rows: int) -> dict[str, pa.Array]:
        """Return the columns of the next rows; none where nothing is carried over."""
        if self._rest is None:
            return {}
        piece, self._rest = self._rest.slice(0, rows), self._rest.slice(rows)
        return dict(zip(piece.schema.names, piece.columns, strict=True))


def _batch(target: Target, some: Sequence[Outcome], carried: _Carried) -> pa.RecordBatch:
    columns: dict[str, Any] = {**result_columns(some), **target.extras.columns(some), **carried.take(len(some))}
    return pa.record_batch([columns[field.name] for field in target.schema], schema=target.schema)
