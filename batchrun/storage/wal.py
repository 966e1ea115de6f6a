"""The write-ahead log of one range: a line per call sent and per outcome, so that a killed run loses neither.

A line is a checksum, a space and JSON. `sent` lines come before a call goes out, with the most that it may cost;
`unsettled` lines say that a call's end stays unknown; an `outcome` line is a row's end. The log is written to the
kernel at once: a killed process loses nothing of it, and rows paid for twice are at most those in flight.
"""

import json
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from batchrun.records import Outcome, Status, Totals, Usage
from batchrun.storage.ranges import Range

_UNSEEN = -1


@dataclass(slots=True)
class Replay:
    """What a log said when it was opened again."""

    torn_lines: int = 0
    in_flight: dict[int, float] = field(default_factory=dict)  # rows sent without an end, with their worst cost [USD]


class RangeLog:
    """The open log of a range: appends, and knows where each row's outcome stands. Memory: 8 bytes a row."""

    def __init__(self, path: Path, of: Range) -> None:
        self.range = of
        self.totals = Totals()
        self.replay = Replay()
        self._offsets = array("q", [_UNSEEN]) * of.rows
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._end = self._read_back()
            os.ftruncate(self._descriptor, self._end)
            for row, worst_usd in list(self.replay.in_flight.items()):
                self.unsettled(row, worst_usd)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __repr__(self) -> str:
        return f"RangeLog({self._path.name}, {self.totals.rows} of {self.range.rows} rows)"

    @property
    def complete(self) -> bool:
        """Tell whether every row of the range has its outcome."""
        return self.totals.rows == self.range.rows

    def has(self, row: int) -> bool:
        """Tell whether `row` has its outcome."""
        return self._offsets[row - self.range.first_row] != _UNSEEN

    def sent(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` goes out now and may cost up to `worst_usd`."""
        self._append(b'{"sent":%d,"usd":%.9f}' % (row, worst_usd))

    def unsettled(self, row: int, worst_usd: float) -> None:
        """Note that a call for `row` ended unknown: it may have been billed, up to `worst_usd`."""
        self._append(b'{"unsettled":%d,"usd":%.9f}' % (row, worst_usd))
        self.totals += Totals(unsettled_usd=worst_usd)

    def append(self, outcome: Outcome) -> None:
        """Write a row's outcome, its only one."""
        place = outcome.row - self.range.first_row
        if self._offsets[place] != _UNSEEN:
            raise ValueError(f"row {outcome.row} has an outcome already")
        start = self._end
        self._append(json.dumps({"outcome": _as_dict(outcome)}, separators=(",", ":")).encode())
        self._offsets[place] = start
        self._count(outcome)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes in row order, read from the file one by one."""
        with os.fdopen(os.dup(self._descriptor), "rb", buffering=1 << 16) as file:
            for offset in self._offsets:
                file.seek(offset)
                yield _outcome(json.loads(file.readline()[9:])["outcome"])

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._descriptor)

    def _append(self, line: bytes) -> None:
        whole = b"%08x %s\n" % (zlib.crc32(line), line)
        written = os.write(self._descriptor, whole)
        if written != len(whole):
            os.ftruncate(self._descriptor, self._end)
            raise OSError(28, f"only {written} of {len(whole)} bytes fitted")
        self._end += written

    def _count(self, outcome: Outcome) -> None:
        self.totals += Totals(1, {outcome.status.value: 1}, outcome.usage, outcome.cost_usd)

    def _read_back(self) -> int:
        """Read what an earlier run wrote; return where the last whole line ends [bytes]."""
        end = 0
        with os.fdopen(os.dup(self._descriptor), "rb", buffering=1 << 16) as file:
            for offset, line in _lines(file):
                if not line.endswith(b"\n"):
                    self.replay.torn_lines += 1
                    break
                end = offset + len(line)
                entry = _entry(line)
                if entry is None:
                    self.replay.torn_lines += 1
                else:
                    self._take(entry, offset)
        return end

    def _take(self, entry: Mapping[str, Any], offset: int) -> None:
        if "sent" in entry:
            self.replay.in_flight[entry["sent"]] = entry["usd"]
        elif "unsettled" in entry:
            self.replay.in_flight.pop(entry["unsettled"], None)
            self.totals += Totals(unsettled_usd=entry["usd"])
        elif "outcome" in entry:
            outcome = _outcome(entry["outcome"])
            self.replay.in_flight.pop(outcome.row, None)
            place = outcome.row - self.range.first_row
            if self._offsets[place] == _UNSEEN:
                self._offsets[place] = offset
                self._count(outcome)


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for line in file:
        yield offset, line
        offset += len(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, None if its checksum does not fit it."""
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:-1]):
            return None
        entry: dict[str, Any] = json.loads(line[9:])
    except ValueError:
        return None
    return entry


_PLAIN = tuple(one.name for one in fields(Outcome) if one.name != "usage")


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    entry = {name: value for name in _PLAIN if (value := getattr(outcome, name)) is not None}
    usage = outcome.usage
    entry["usage"] = [usage.input, usage.output, usage.cache_read, usage.cache_write]
    return entry


def _outcome(entry: dict[str, Any]) -> Outcome:
    return Outcome(**{**entry, "status": Status(entry["status"]), "usage": Usage(*entry["usage"])})
