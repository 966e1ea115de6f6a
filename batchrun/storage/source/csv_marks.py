"""Places in a large CSV file where a row begins: a newline may be part of a quoted field, so all are looked at once."""

import csv
import io
from collections.abc import Iterator

from batchrun.storage.source.facts import MARK_EVERY_BYTES, Marks
from batchrun.storage.source.input_file import InputFile

LARGEST_FIELD = 1 << 30  # characters; Python's own limit is 131,072


def marks_of(file: InputFile, rows: int) -> Marks:
    """Return the marks of a CSV file that pyarrow found `rows` rows in; none for a small one.

    Python's parser counts along, which reads quotes as pyarrow does. Should the two not agree on the rows, there are
    no marks, and reading begins at the start.
    """
    if file.version().size_bytes <= MARK_EVERY_BYTES:
        return ()
    before = csv.field_size_limit(LARGEST_FIELD)
    try:
        with file.open() as opened:
            # In Latin-1 a character is a byte, so lengths are places; quotes, commas and newlines are the same.
            text = io.TextIOWrapper(opened, encoding="latin-1", newline="\n")
            marks, found = _marks(text)
    except csv.Error:
        return ()
    finally:
        csv.field_size_limit(before)
    return tuple(marks) if found == rows else ()


def _marks(text: io.TextIOWrapper) -> tuple[list[tuple[int, int]], int]:
    """Return the marks and how many rows there are; the header is none, and a blank line neither."""
    lines = _Lines(text)
    marks: list[tuple[int, int]] = []
    next_mark = MARK_EVERY_BYTES
    rows = -1
    for row in csv.reader(lines):
        rows += bool(row)
        if lines.stop_byte >= next_mark:
            marks.append((rows, lines.stop_byte))
            next_mark = lines.stop_byte + MARK_EVERY_BYTES
    return [mark for mark in marks if mark[0] < rows], max(0, rows)


class _Lines:
    """The lines of a file, and where the last one ended."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.stop_byte = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.stop_byte += len(line)
            yield line
