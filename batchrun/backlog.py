"""The backlog: input rows on their way to the workers, read in a thread and handed out one by one."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import anyio
import pyarrow as pa

from batchrun.cells import rows_of
from batchrun.storage.output import MOST_OPEN_RANGES, Output
from batchrun.storage.source import RowBatch

Span = tuple[int, int]  # first row, stop row


@dataclass(frozen=True, slots=True)
class InputRow:
    """One row of the input that is still to be sent, with the cells that the prompt reads."""

    row: int
    cells: Mapping[str, Any] | str  # a text says why the row cannot be read


@dataclass(frozen=True, slots=True)
class Columns:
    """Which input columns the prompt reads and which the result carries over."""

    prompt: Sequence[str]
    kept: Sequence[str]

    @property
    def all(self) -> list[str]:
        """Return each column once."""
        return list(dict.fromkeys([*self.prompt, *self.kept]))


class Backlog:
    """Passes the input's rows to the output's bookkeeping and those not done yet to the workers.

    At most one batch is read ahead. Reading stops while as many ranges are open as the output may have.
    """

    def __init__(
        self, read: Callable[[int, int], Iterator[RowBatch]], columns: Columns, output: Output, spans: Sequence[Span]
    ) -> None:
        """Take a function that reads input rows from a first to a stop row, and the spans of rows that are wanted."""
        self._read = read
        self._columns = columns
        self._output = output
        self._spans = spans
        self._rows: deque[InputRow] = deque()
        self._taking = anyio.Lock(fast_acquire=True)
        self._send, self._receive = anyio.create_memory_object_stream[list[InputRow]](1)
        self._range_closed = anyio.Event()
        self._stopped = False
        self.waiting = 0  # workers that wait for the reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._send.close()

    async def read(self) -> None:
        """Read all rows that the output lacks, or until stopped."""
        with self._send:
            for first_row, stop_row in self._wanted():
                batches = self._read(first_row, stop_row)
                # A read that hangs holds up nobody who stops: the thread ends when the store answers or gives up.
                while (
                    batch := await anyio.to_thread.run_sync(next, batches, None, abandon_on_cancel=True)
                ) is not None:
                    await self._pass(batch)
                    if self._stopped:
                        return

    async def next(self) -> InputRow | None:
        """Return the next row to send, None after the last."""
        while not self._rows:
            self.waiting += 1
            try:
                async with self._taking:
                    if not self._rows:
                        self._rows.extend(await self._receive.receive())
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                return None
            finally:
                self.waiting -= 1
        return self._rows.popleft()

    def stop(self) -> None:
        """Hand out no more rows; the reader ends too, wherever it waits."""
        self._stopped = True
        self._rows.clear()
        self._receive.close()
        self._range_closed.set()

    def range_closed(self) -> None:
        """Go on reading if the number of open ranges held it up."""
        self._range_closed.set()

    def _wanted(self) -> Iterator[Span]:
        for first_row, stop_row in self._output.spans_to_read():
            for first, stop in self._spans:
                if max(first, first_row) < min(stop, stop_row):
                    yield max(first, first_row), min(stop, stop_row)

    async def _pass(self, batch: RowBatch) -> None:
        for first_row, piece in self._by_range(batch):
            while self._output.begins(first_row) and self._output.open_ranges >= MOST_OPEN_RANGES:
                if self._stopped:
                    return
                self._range_closed = anyio.Event()
                await self._range_closed.wait()
            rows = self._output.accept(first_row, piece.select(self._columns.kept))
            if rows:
                wanted = piece.select(self._columns.prompt)
                if len(rows) < piece.num_rows:
                    wanted = wanted.take(pa.array([row - first_row for row in rows]))
                try:
                    await self._send.send(
                        [InputRow(row, cells) for row, cells in zip(rows, rows_of(wanted), strict=True)]
                    )
                except anyio.BrokenResourceError:
                    return  # stopped

    def _by_range(self, batch: RowBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        row = batch.first_row
        while row < batch.stop_row:
            stop_row = min(batch.stop_row, self._output.range_of(row).stop_row)
            yield row, batch.batch.slice(row - batch.first_row, stop_row - row)
            row = stop_row
