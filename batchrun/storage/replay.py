"""Replay: what the log of a range says, read line by line at a start, in a proof, or for an estimate."""

from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from batchrun.records import NOTHING_SPENT, Outcome, Spent
from batchrun.storage.log_lines import content_of, outcome_of
from batchrun.storage.ranges import Range
from batchrun.storage.sums import Sums

UNSEEN = -1  # an offset: the row has no outcome
LATEST = 4_000  # answers whose lengths a replay remembers


class Replay:
    """What a log says, read line by line. Memory: 8 bytes a row, and the calls without an end."""

    def __init__(self, of: Range, lines: Iterable[bytes]) -> None:
        self.sums = Sums()
        self.torn_lines = 0  # torn, damaged, or of rows that are not this range's
        self.end = 0  # of the last whole line [bytes]
        self.in_flight: dict[int, float] = {}  # rows sent without an end, with their worst cost [USD]
        self.spent: dict[int, Spent] = {}  # rows without an outcome, with what they had for certain
        self.again: str | None = None  # digest of the part that the log was made from
        self.earlier: dict[int, int] = {}  # rows that are sent again, and where the outcome stands that they had
        self.lengths: deque[int] = deque(maxlen=LATEST)  # of the latest answers [tokens]
        self.offsets = array("q", [UNSEEN]) * of.rows
        self._of = of
        for line in lines:
            if not line.endswith(b"\n"):
                self.torn_lines += 1
                break
            content = content_of(line)
            if content is None or not self._take(content):
                self.torn_lines += 1
            self.end += len(line)

    def __repr__(self) -> str:
        return f"Replay({self.sums.rows} of {self._of.rows} rows, {self.torn_lines} torn lines)"

    def _take(self, content: Mapping[str, Any]) -> bool:
        """Take a line's content; return whether it is about a row of this range."""
        if "outcome" in content:
            return self._take_outcome(outcome_of(content["outcome"]))
        if "again" in content:
            self.again = content["again"]
            return True
        if "earlier" in content:
            outcome = outcome_of(content["earlier"])
            self.earlier[outcome.row] = self.end
            self._spend(outcome.row, Spent(outcome.cost_usd, outcome.attempts))
            return True
        row = content.get("sent", content.get("unsettled", content.get("paid")))
        if row is None or not self._of.first_row <= row < self._of.stop_row:
            return False
        if "sent" in content:
            self.in_flight[row] = content["usd"]
            return True
        self.in_flight.pop(row, None)
        if "paid" in content:
            self._spend(row, Spent(content["usd"], 1))
        else:
            self.sums.unsettled_usd += content["usd"]
        return True

    def _take_outcome(self, outcome: Outcome) -> bool:
        place = outcome.row - self._of.first_row
        if not 0 <= place < self._of.rows:
            return False
        self.in_flight.pop(outcome.row, None)
        self.sums.waiting_usd -= self.spent.pop(outcome.row, NOTHING_SPENT).usd
        if self.offsets[place] == UNSEEN:  # the first of two counts, as it would have without a kill
            self.offsets[place] = self.end
            self.sums.add(outcome)
            if outcome.stop_reason is not None:
                self.lengths.append(outcome.usage.output)
        else:  # two machines answered the row: only one counts, and both were paid for
            self.sums.unsettled_usd += outcome.cost_usd
        return True

    def _spend(self, row: int, more: Spent) -> None:
        self.sums.waiting_usd += more.usd
        self.spent[row] = self.spent.get(row, NOTHING_SPENT).plus(more)


def read_log(path: Path, of: Range) -> Replay:
    """Return what a log says, and leave it as it is."""
    with path.open("rb") as file:
        return Replay(of, file)


def made_from(path: Path) -> str | None:
    """Return the digest of the part that a log was made from, None for a log of rows that never were in a part."""
    with path.open("rb") as file:
        return again_of(file.readline())


def again_of(log: bytes) -> str | None:
    """Return the same of a log's content, or of its first line."""
    again = (content_of(log[: log.find(b"\n") + 1]) or {}).get("again")
    return str(again) if again is not None else None
