"""The output folder of a run: which rows are done, where outcomes go, and which ranges are ready to become parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from batchrun.errors import StorageError
from batchrun.records import Outcome, Spent, Status, Totals
from batchrun.storage.again import outcomes_of
from batchrun.storage.files import sync_folder
from batchrun.storage.leftovers import find_leftovers
from batchrun.storage.lengths import latest_lengths
from batchrun.storage.open_range import OpenRange
from batchrun.storage.parts import Target
from batchrun.storage.ranges import Range, Ranges, spans
from batchrun.storage.replay import Replay, read_log
from batchrun.storage.sums import Sums

MOST_OPEN_RANGES = 64  # bounds open files and the logs to replay; a choice


@dataclass(frozen=True, slots=True)
class Found:
    """What earlier runs left in the folder, in numbers."""

    parts: int
    rows: int
    torn_lines: int
    in_flight: int
    again: int  # rows without an outcome that had one before: they are sent again on demand


class Output:
    """Takes outcomes row by row, and turns whole ranges into parts.

    Done means: in a part, or in a log. Nothing is kept in memory but a few bytes a row of the open ranges.
    """

    def __init__(self, target: Target, ranges: Ranges, kept: pa.Schema) -> None:
        """Open the store of `target`; `kept` are the input columns that parts carry over, perhaps none.

        Raises StorageError if a part is not of this run.
        """
        self.target = target
        self.ranges = ranges
        self._sums = Sums()
        self._wal = target.store.wal
        self._kept = kept
        self._open: dict[int, OpenRange] = {}
        self._done: set[int] = set()
        self._on_complete: Callable[[Range], None] | None = None
        self.found = self._go_on()

    def __repr__(self) -> str:
        return (
            f"Output({self.target.store.name}, {len(self._done)} of {len(self.ranges)} parts, {len(self._open)} open)"
        )

    @property
    def not_ok(self) -> int:
        """Return how many rows ended other than ok."""
        return self._sums.rows - self._sums.by_status.get(Status.OK.value, 0)

    @property
    def totals(self) -> Totals:
        """Return the sums over all rows that have their outcome."""
        return self._sums.totals

    @property
    def finished(self) -> bool:
        """Tell whether every range has become its part."""
        return len(self._done) == len(self.ranges)

    @property
    def open_ranges(self) -> int:
        """Return how many ranges are begun and not yet parts."""
        return len(self._open)

    def spans_to_read(self) -> Iterator[tuple[int, int]]:
        """Yield (first row, stop row) of the input that must be passed: ranges without a part, those begun first.

        Were others first, as many open ranges as there may be could wait for rows behind the one that is held up.
        """
        waiting = [one for one in self.ranges if one.number not in self._done]
        begun = [one for one in waiting if one.number in self._open]
        fresh = [one for one in waiting if one.number not in self._open]
        yield from spans([*begun, *fresh])

    def when_complete(self, tell: Callable[[Range], None]) -> None:
        """Name whom to tell when a range is ready to become a part, each once."""
        self._on_complete = tell

    def range_of(self, row: int) -> Range:
        """Return the range that `row` lies in."""
        return self.ranges.containing(row)

    def begins(self, row: int) -> bool:
        """Tell whether reading `row` begins a range that is not open yet."""
        return self.range_of(row).number not in self._open

    def is_part(self, of: Range) -> bool:
        """Tell whether a range has become its part."""
        return of.number in self._done

    def has(self, row: int) -> bool:
        """Tell whether a row has its outcome."""
        of = self.range_of(row)
        return of.number in self._done or (of.number in self._open and self._open[of.number].log.has(row))

    def outcomes_in(self, of: Range) -> Iterator[Outcome]:
        """Yield the outcomes that a range has so far, in row order, from its part or its log."""
        if of.number in self._done:
            return outcomes_of(self.target.store, of) if of.rows else iter(())
        return self._open[of.number].log.so_far() if of.number in self._open else iter(())

    def accept(self, first_row: int, carried: pa.RecordBatch) -> list[int]:
        """Take the next rows of one range as the reader passes them; return the numbers of those not done yet.

        `carried` holds the columns that the part carries over, perhaps none, for rows from `first_row` on.
        """
        one = self._opened(self.range_of(first_row))
        rows = one.accept(first_row, carried)
        self._tell_if_complete(one)
        return rows

    def sent(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` goes out now."""
        self._open[self.range_of(row).number].log.sent(row, worst_usd)

    def unsettled(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` ended without an answer and may have been billed up to `worst_usd`."""
        self._open[self.range_of(row).number].log.unsettled(row, worst_usd)
        self._sums.unsettled_usd += worst_usd

    def paid(self, row: int, spent_usd: float) -> None:
        """Note what an answer for `row` cost that is not its last; its outcome's cost will contain it."""
        self._open[self.range_of(row).number].log.paid(row, spent_usd)
        self._sums.waiting_usd += spent_usd

    def spent(self, row: int) -> Spent:
        """Return what a row that has no outcome yet had for certain."""
        return self._open[self.range_of(row).number].log.spent(row)

    def latest_lengths(self) -> Iterator[int]:
        """Yield the lengths of the latest answers that logs and parts hold [tokens], the oldest of them first."""
        return latest_lengths(
            self.target.store,
            self.ranges,
            lambda of: self._open[of.number].log.replay if of.number in self._open else None,
        )

    def record(self, outcome: Outcome) -> None:
        """Write a row's outcome to its log; on return it outlives the process."""
        one = self._open[self.range_of(outcome.row).number]
        spent = one.log.spent(outcome.row)
        if outcome.stop_reason is None and (earlier := one.log.earlier(outcome.row)) is not None:
            outcome = _no_better(earlier, outcome)
        one.log.append(outcome)
        self._sums.add(outcome)
        self._sums.waiting_usd -= spent.usd
        self._tell_if_complete(one)

    def write_part(self, of: Range) -> None:
        """Turn a complete range into its part and remove its log; meant for a thread beside the event loop.

        Raises OSError, or StorageError if an outcome has no place in the schema; the log stays.
        """
        try:
            self._open[of.number].write_part(self.target)
        except (pa.ArrowException, OverflowError) as error:
            raise StorageError(str(error)) from error
        self._done.add(of.number)
        del self._open[of.number]

    @property
    def unsynced(self) -> bool:
        """Tell whether a power cut could take outcomes; a kill never does."""
        return any(one.log.unsynced for one in list(self._open.values()))  # a thread removes what became a part

    def sync(self) -> None:
        """Bring all logs to the disk; meant for a thread beside the event loop.

        Raises OSError if the disk did not take one.
        """
        for one in list(self._open.values()):
            if one.log.unsynced:
                one.log.sync()
        sync_folder(self._wal)

    def flush(self) -> None:
        """Copy what was appended to the logs to where another machine finds it; meant for a thread."""
        self.target.store.flush_logs([one.range.log_name for one in list(self._open.values())])

    def close(self) -> None:
        """Close the logs of ranges that did not become parts; they stay for the next start."""
        for one in self._open.values():
            one.close()
        self._open.clear()

    def _go_on(self) -> Found:
        """Count what earlier starts did, and replay the logs of the ranges that they began."""
        left = find_leftovers(self.target, self.ranges)
        for number, totals in left.done.items():
            self._sums.add_totals(totals)
            self._done.add(number)
        torn = in_flight = again = 0
        for of in left.begun:
            replay, totals = self._replayed(of)
            self._sums.add_totals(totals)
            torn += replay.torn_lines
            in_flight += len(replay.in_flight)
            again += len(replay.earlier.keys() & replay.spent.keys())
        for path in left.spools:
            path.unlink()
        return Found(len(self._done), self._sums.rows, torn, in_flight, again)

    def _replayed(self, of: Range) -> tuple[Replay, Totals]:
        if len(self._open) < MOST_OPEN_RANGES:
            log = self._opened(of).log
            return log.replay, log.totals
        # A retry may have made any number of logs: the others are opened when the reader comes to them.
        replay = read_log(self._wal / of.log_name, of)
        replay.sums.unsettled_usd += sum(replay.in_flight.values())
        return replay, replay.sums.totals

    def _opened(self, of: Range) -> OpenRange:
        if of.number not in self._open:
            self._open[of.number] = OpenRange(of, self._wal, self._kept)
        return self._open[of.number]

    def _tell_if_complete(self, one: OpenRange) -> None:
        if one.becomes_complete() and self._on_complete is not None:
            self._on_complete(one.range)


def _no_better(earlier: Outcome, outcome: Outcome) -> Outcome:
    """Return what a row keeps that was sent again and got no answer: the one it had, since that was paid for."""
    if earlier.stop_reason is None:
        return outcome
    return replace(
        earlier,
        cost_usd=outcome.cost_usd,
        attempts=outcome.attempts,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        finished_at=outcome.finished_at,
    )
