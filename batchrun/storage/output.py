"""The output folder of a run: which rows are done, where outcomes go, and which ranges are ready to become parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from batchrun.errors import StorageError
from batchrun.records import Outcome, Totals
from batchrun.storage.parts import PartFacts, Target, read_facts, write_part
from batchrun.storage.ranges import Range, Ranges, spans
from batchrun.storage.spool import Spool
from batchrun.storage.wal import RangeLog

MOST_OPEN_RANGES = 64  # bounds open files and the logs to replay; the design's number


@dataclass(frozen=True, slots=True)
class Found:
    """What earlier runs left in the folder."""

    parts: int
    rows: int
    torn_lines: int
    in_flight: int


class Output:
    """Takes outcomes row by row, and turns whole ranges into parts.

    Done means: in a part, or in a log. Nothing is kept in memory but a few bytes a row of the open ranges.
    """

    def __init__(self, target: Target, wal: Path, ranges: Ranges, kept: pa.Schema) -> None:
        """Open the folder of `target`; `kept` are the input columns that parts carry over, perhaps none.

        Raises StorageError if a part is not of this run.
        """
        self.target = target
        self.ranges = ranges
        self.totals = Totals()
        self._wal = wal
        self._kept = kept
        self._logs: dict[int, RangeLog] = {}
        self._spools: dict[int, Spool] = {}
        self._passed: set[int] = set()
        self._done: set[int] = set()
        self._on_complete: Callable[[Range], None] | None = None
        self.found = self._look()

    def __repr__(self) -> str:
        return (
            f"Output({self.target.data.parent}, {len(self._done)} of {len(self.ranges)} parts, {len(self._logs)} open)"
        )

    @property
    def finished(self) -> bool:
        """Tell whether every range has become its part."""
        return len(self._done) == len(self.ranges)

    @property
    def open_ranges(self) -> int:
        """Return how many ranges are begun and not yet parts."""
        return len(self._logs)

    def spans_to_read(self) -> Iterator[tuple[int, int]]:
        """Yield (first row, stop row) of the input that must be passed: ranges without a part, those begun first."""
        waiting = [one for one in self.ranges if one.number not in self._done]
        yield from spans(waiting)

    def when_complete(self, tell: Callable[[Range], None]) -> None:
        """Name whom to tell when a range is ready to become a part, each once."""
        self._on_complete = tell

    def range_of(self, row: int) -> Range:
        """Return the range that `row` lies in."""
        return self.ranges.containing(row)

    def begins(self, row: int) -> bool:
        """Tell whether reading `row` begins a range that is not open yet."""
        return self.range_of(row).number not in self._logs

    def accept(self, first_row: int, carried: pa.RecordBatch) -> list[int]:
        """Take the next rows of one range as the reader passes them; return the numbers of those not done yet.

        `carried` holds the columns that the part carries over, perhaps none, for rows from `first_row` on.
        """
        of = self.range_of(first_row)
        log = self._open(of)
        stop_row = first_row + carried.num_rows
        if self._kept.names:
            self._spool(of, carried)
        if stop_row == of.stop_row:
            self._passed.add(of.number)
            if of.number in self._spools:
                self._spools[of.number].finish()
            self._tell_if_complete(of, log)
        return [row for row in range(first_row, stop_row) if not log.has(row)]

    def sent(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` goes out now."""
        self._logs[self.range_of(row).number].sent(row, worst_usd)

    def unsettled(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` ended unknown."""
        self._logs[self.range_of(row).number].unsettled(row, worst_usd)
        self.totals += Totals(unsettled_usd=worst_usd)

    def record(self, outcome: Outcome) -> None:
        """Write a row's outcome to its log; on return it outlives the process."""
        of = self.range_of(outcome.row)
        log = self._logs[of.number]
        log.append(outcome)
        self.totals += Totals(1, {outcome.status.value: 1}, outcome.usage, outcome.cost_usd)
        self._tell_if_complete(of, log)

    def write_part(self, of: Range) -> None:
        """Turn a complete range into its part and remove its log; meant for a thread beside the event loop."""
        log, spool = self._logs[of.number], self._spools.get(of.number)
        write_part(self.target, of, log.totals, log.outcomes(), spool.batches() if spool else ())
        self._forget(of)

    def close(self) -> None:
        """Close the logs of ranges that did not become parts; they stay for the next start."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def _look(self) -> Found:
        """List the parts, and replay the logs of the ranges that have none."""
        torn = in_flight = 0
        names = {path.name for path in self.target.data.iterdir()}
        for of in self.ranges:
            log_path = self._log_path(of)
            if of.part_name in names:
                self.totals += self._own_part(of).totals
                self._done.add(of.number)
                log_path.unlink(missing_ok=True)  # a kill between rename and removal left it
            elif log_path.exists():
                log = self._open(of)
                self.totals += log.totals
                torn += log.replay.torn_lines
                in_flight += len(log.replay.in_flight)
        return Found(len(self._done), self.totals.rows, torn, in_flight)

    def _own_part(self, of: Range) -> PartFacts:
        path = self.target.data / of.part_name
        facts = read_facts(path)
        if (facts.run_id, facts.first_row, facts.last_row) != (self.target.run_id, of.first_row, of.stop_row - 1):
            raise StorageError(
                f"{path}: is not this output's part: it holds rows {facts.first_row} to {facts.last_row} of run "
                f"{facts.run_id}, expected {of.first_row} to {of.stop_row - 1} of {self.target.run_id}; "
                "move it away and run again to have its rows sent again"
            )
        return facts

    def _open(self, of: Range) -> RangeLog:
        if of.number not in self._logs:
            self._logs[of.number] = RangeLog(self._log_path(of), of)
        return self._logs[of.number]

    def _spool(self, of: Range, batch: pa.RecordBatch) -> None:
        if of.number not in self._spools:
            self._spools[of.number] = Spool(self._wal / f"{of.number:06d}.kept.arrow", self._kept)
        self._spools[of.number].append(batch)

    def _tell_if_complete(self, of: Range, log: RangeLog) -> None:
        """A range is complete when every row has its outcome and its carried-over columns have passed."""
        if log.complete and of.number in self._passed:
            self._passed.discard(of.number)
            if self._on_complete is not None:
                self._on_complete(of)

    def _forget(self, of: Range) -> None:
        self._logs.pop(of.number).close()
        self._log_path(of).unlink()
        spool = self._spools.pop(of.number, None)
        if spool is not None:
            spool.remove()
        self._done.add(of.number)

    def _log_path(self, of: Range) -> Path:
        return self._wal / f"{of.number:06d}.log"
