"""The write-ahead log of one range: a line per call sent and per outcome, so that a killed run loses neither.

`sent` lines come before a call goes out, with the most that it may cost; `unsettled` lines say that a call's end stays
unknown; `paid` lines what an answer cost that is not the row's last; an `outcome` line is a row's end. A log that sends
rows of a part again begins with an `again` line and has an `earlier` line for each of those rows.

Lines are written to the kernel at once: a killed process loses none, and rows paid for twice are at most those in
flight. What a power cut takes is a matter of `sync`.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from batchrun.records import NOTHING_SPENT, Outcome, Spent, Totals
from batchrun.storage.log_lines import content_of, outcome_line, outcome_of, paid_line, sent_line, unsettled_line
from batchrun.storage.ranges import Range
from batchrun.storage.replay import UNSEEN, read_log

_READ_BYTES = 4096  # most lines fit; a longer one takes a second read


class RangeLog:
    """The open log of a range: appends, and knows where each row's outcome stands."""

    def __init__(self, path: Path, of: Range) -> None:
        self.range = of
        self._path = path
        self._unsynced = True  # a new log has a name to be synced, and a killed run synced not all of an old one
        self._closed = False
        self._closing = Lock()  # a thread syncs beside the event loop
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self.replay = read_log(path, of)
            self._sums, self._offsets, self._end = self.replay.sums, self.replay.offsets, self.replay.end
            self._spent, self._earlier = self.replay.spent, self.replay.earlier
            os.ftruncate(self._descriptor, self._end)
            for row, worst_usd in self.replay.in_flight.items():
                self.unsettled(row, worst_usd)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __repr__(self) -> str:
        return f"RangeLog({self._path.name}, {self._sums.rows} of {self.range.rows} rows)"

    @property
    def totals(self) -> Totals:
        """Return the sums over the outcomes so far."""
        return self._sums.totals

    @property
    def complete(self) -> bool:
        """Tell whether every row of the range has its outcome."""
        return self._sums.rows == self.range.rows

    def has(self, row: int) -> bool:
        """Tell whether `row` has its outcome."""
        return self._offsets[row - self.range.first_row] != UNSEEN

    def sent(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` goes out now and may cost up to `worst_usd`."""
        self._append(sent_line(row, worst_usd))

    def unsettled(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` ended unknown: it may have been billed, up to `worst_usd`."""
        self._append(unsettled_line(row, worst_usd))
        self._sums.unsettled_usd += worst_usd

    def paid(self, row: int, spent_usd: float) -> None:
        """Note that a call for `row` cost `spent_usd`, and that another one goes out for it."""
        self._append(paid_line(row, spent_usd))
        self._sums.waiting_usd += spent_usd
        self._spent[row] = self.spent(row).plus(Spent(spent_usd, 1))

    def spent(self, row: int) -> Spent:
        """Return what a row without an outcome had for certain."""
        return self._spent.get(row, NOTHING_SPENT)

    def earlier(self, row: int) -> Outcome | None:
        """Return the outcome that a row had which is sent again; None for any other."""
        offset = self._earlier.get(row)
        return outcome_of(self._content(row, offset, "earlier")) if offset is not None else None

    def append(self, outcome: Outcome) -> None:
        """Write a row's outcome, its only one."""
        place = outcome.row - self.range.first_row
        if self._offsets[place] != UNSEEN:
            raise ValueError(f"row {outcome.row} has an outcome already")
        start = self._end
        self._append(outcome_line(outcome))
        self._offsets[place] = start
        self._sums.add(outcome)
        self._sums.waiting_usd -= self._spent.pop(outcome.row, NOTHING_SPENT).usd

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes in row order, read from the file one by one.

        Raises OSError if a line does not read back as it was written; the next start then sends its row again.
        """
        for row, offset in enumerate(self._offsets, self.range.first_row):
            yield outcome_of(self._content(row, offset, "outcome"))

    def so_far(self) -> Iterator[Outcome]:
        """Yield the outcomes that there are, in row order, read from the file one by one."""
        for row, offset in enumerate(self._offsets, self.range.first_row):
            if offset != UNSEEN:
                yield outcome_of(self._content(row, offset, "outcome"))

    @property
    def unsynced(self) -> bool:
        """Tell whether a power cut could take something of the log; a kill never does."""
        return self._unsynced

    def sync(self) -> None:
        """Bring to the disk what was appended; meant for a thread beside the event loop.

        Raises OSError if the disk did not take it: what it has of the log is not known any more.
        """
        with self._closing:
            if not self._closed:
                self._unsynced = False  # first: what is appended meanwhile may miss this one
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; it stays."""
        with self._closing:
            self._closed = True
            os.close(self._descriptor)

    def _content(self, row: int, offset: int, kind: str) -> Sequence[Any]:
        content = content_of(self._line(offset)) if offset != UNSEEN else None
        if content is None:
            raise OSError(errno.EIO, f"the outcome of row {row} does not read back", str(self._path))
        values: Sequence[Any] = content[kind]
        return values

    def _line(self, offset: int) -> bytes:
        """Return the line that begins at `offset`; reads in place, since rows end in another order than theirs."""
        length = _READ_BYTES
        while True:
            piece = os.pread(self._descriptor, length, offset)
            stop = piece.find(b"\n") + 1
            if stop or len(piece) < length:
                return piece[:stop]
            length *= 4

    def _append(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error  # a descriptor has no name to show
        if written != len(line):
            os.ftruncate(self._descriptor, self._end)
            raise OSError(
                errno.ENOSPC,
                f"{os.strerror(errno.ENOSPC)}: only {written} of {len(line)} bytes fitted",
                str(self._path),
            )
        self._end += written
        self._unsynced = True
