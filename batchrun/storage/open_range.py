"""A range that is begun: its log, the spool of its carried-over columns, and whether the reader has passed it."""

from pathlib import Path

import pyarrow as pa

from batchrun.storage.parts import Target, write_part
from batchrun.storage.ranges import Range
from batchrun.storage.spool import Spool
from batchrun.storage.wal import RangeLog


class OpenRange:
    """Takes a range from its first row passed to its part; `kept` are the columns carried over, perhaps none."""

    def __init__(self, of: Range, wal: Path, kept: pa.Schema) -> None:
        self.range = of
        self.log = RangeLog(wal / of.log_name, of)
        self._wal = wal
        self._kept = kept
        self._spool: Spool | None = None
        self._reached = of.first_row  # up to where the reader has passed every row
        self._told = False

    def __repr__(self) -> str:
        return f"OpenRange({self.log}, {'passed' if self._passed else 'not passed yet'})"

    def accept(self, first_row: int, carried: pa.RecordBatch) -> list[int]:
        """Take the next rows as the reader passes them; return the numbers of those without an outcome.

        A reader that leaves out rows, as a probe does, may take no range to its part: a later start passes all of it.
        """
        stop_row = first_row + carried.num_rows
        if first_row == self._reached:
            self._reached = stop_row
            if self._kept.names:
                if self._spool is None:
                    self._spool = Spool(self._wal / self.range.spool_name, self._kept)
                self._spool.append(carried)
            if self._passed and self._spool is not None:
                self._spool.finish()
        return [row for row in range(first_row, stop_row) if not self.log.has(row)]

    @property
    def _passed(self) -> bool:
        return self._reached == self.range.stop_row

    def becomes_complete(self) -> bool:
        """Tell, once, that every row has its outcome and its carried-over columns have passed."""
        if self._told or not (self._passed and self.log.complete):
            return False
        self._told = True
        return True

    def write_part(self, target: Target) -> None:
        """Write the part, then remove log and spool.

        Raises OSError if the part cannot be written; both stay then.
        """
        spooled = self._spool.batches() if self._spool is not None else ()
        write_part(target, self.range, self.log.totals, self.log.outcomes(), spooled)
        target.store.remove_log(self.range.log_name)
        if self._spool is not None:
            self._spool.remove()
        self.close()

    def close(self) -> None:
        """Close the log; it stays for the next start."""
        self.log.close()
