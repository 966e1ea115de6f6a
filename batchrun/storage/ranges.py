"""Ranges: the input's rows cut into pieces that become one part each; a range once cut is never cut again."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DATA = "data"  # the folder of an output with its parts, and nothing else
LOG_SUFFIX = ".log"
SPOOL_SUFFIX = ".kept.arrow"


@dataclass(frozen=True, slots=True)
class Range:
    """Rows `first_row` to `stop_row` (exclusive) of the input, which become part `number`."""

    number: int
    first_row: int
    stop_row: int

    @property
    def rows(self) -> int:
        """Return how many rows the range holds."""
        return self.stop_row - self.first_row

    @property
    def last_row(self) -> int:
        """Return the number of its last row, one below the first where it is empty."""
        return self.stop_row - 1

    @property
    def part_name(self) -> str:
        """Return the file name of its part."""
        return f"part-{self.number:06d}.parquet"

    @property
    def part(self) -> str:
        """Return the name of its part among the objects of the output."""
        return f"{DATA}/{self.part_name}"

    @property
    def log_name(self) -> str:
        """Return the file name of its write-ahead log."""
        return f"{self.number:06d}{LOG_SUFFIX}"

    @property
    def spool_name(self) -> str:
        """Return the file name of its spool."""
        return f"{self.number:06d}{SPOOL_SUFFIX}"


class Ranges:
    """All ranges of an output, from the stretches of rows that its runs took on, one after the other.

    A first run limited to 2,500 rows and a second without a limit make two stretches: [2500, 7500] of 10,000 rows.
    An input without rows makes one empty stretch, and that one empty range: its part holds no row but the schema, so
    that a reader of the folder finds an empty table. It stays the first part when the input grows.
    """

    def __init__(self, stretches: Iterable[int], rows_per_part: int) -> None:
        self.rows_per_part = rows_per_part
        self.stretches = list(stretches)
        self._all = list(self._cut())
        self._firsts = [one.first_row for one in self._all]

    def __iter__(self) -> Iterator[Range]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Range:
        return self._all[number]

    def containing(self, row: int) -> Range:
        """Return the range that `row` lies in."""
        return self._all[bisect_right(self._firsts, row) - 1]

    def meeting(self, first_row: int, stop_row: int) -> list[Range]:
        """Return the ranges that hold any of the rows `first_row` to `stop_row` (exclusive)."""
        return [one for one in self._all if one.first_row < stop_row and one.stop_row > first_row]

    @property
    def rows(self) -> int:
        """Return how many rows are cut into ranges."""
        return sum(self.stretches)

    def extended_to(self, rows: int) -> "Ranges":
        """Return the ranges with further ones for the rows up to `rows`; itself where they reach that far."""
        if rows <= self.rows:
            return self
        return Ranges([*self.stretches, rows - self.rows], self.rows_per_part)

    def _cut(self) -> Iterator[Range]:
        number = first_row = 0
        for stretch in self.stretches:
            end = first_row + stretch
            if not stretch:
                yield Range(number, first_row, end)
                number += 1
            while first_row < end:
                stop_row = min(first_row + self.rows_per_part, end)
                yield Range(number, first_row, stop_row)
                number, first_row = number + 1, stop_row


def spans(ranges: Iterable[Range]) -> Iterator[tuple[int, int]]:
    """Yield (first row, stop row) of neighbouring ranges taken together, so that a file is read once over."""
    first_row: int | None = None
    stop_row = 0
    for one in ranges:
        if first_row is not None and one.first_row == stop_row:
            stop_row = one.stop_row
            continue
        if first_row is not None:
            yield first_row, stop_row
        first_row, stop_row = one.first_row, one.stop_row
    if first_row is not None:
        yield first_row, stop_row
