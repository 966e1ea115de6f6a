"""CSV: a header, then text: `007` stays `007`, an empty field is "" and never null, and a row has all its fields."""

import codecs
import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from batchrun.errors import InputError
from batchrun.storage.source.batches import cut, pieces
from batchrun.storage.source.column_types import repeated_names
from batchrun.storage.source.csv_marks import marks_of
from batchrun.storage.source.facts import Facts, Marks, last_mark, naming
from batchrun.storage.source.input_file import InputFile

BLOCK_BYTES = 1 << 18  # pyarrow reads ahead: measured 43 MB with this, 85 MB with 1 MiB
LARGEST_BLOCK_BYTES = 1 << 30  # a row above this is more likely a quote that was never closed


def facts(file: InputFile) -> Facts:
    """Return rows, columns and digest; the whole file is parsed, and so is every fault of it found.

    Fields are separated by commas and may be quoted, with newlines inside; blank lines do not count; UTF-8.
    Raises InputError: two columns of one name, a row of another width, a quote that is never closed, other bytes.
    """
    digest = _digest(file)
    names, has_rows = _header(file)
    rows = 0
    last = None
    if has_rows:
        for batch in _parsed(file, names, names):
            rows += batch.num_rows
            last = batch if batch.num_rows else last
    if last is not None and "\n" in last.column(last.num_columns - 1)[-1].as_py() and not _ends_with_quote(file):
        raise InputError(f"{file}: the quote that opens the last field of row {rows + 1} is never closed")
    schema = pa.schema([(name, pa.string()) for name in names])
    return Facts(rows=rows, digest=digest, schema=schema, marks=marks_of(file, rows))


def _digest(file: InputFile) -> str:
    """Return the digest of the file's bytes.

    Raises InputError if they are not UTF-8: pyarrow would meet that in places where it can only print it.
    """
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    with naming(file), file.open() as opened:
        block = b"."
        while block:
            block = opened.read(BLOCK_BYTES)
            digest.update(block)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = opened.tell() - len(error.object) + error.start + 1
                raise InputError(f"{file}: not UTF-8 at byte {at}") from None
    return digest.hexdigest()


def batches(
    file: InputFile, columns: Sequence[str], first_row: int, stop_row: int, marks: Marks = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows `first_row` to `stop_row` of the file; those since the mark before are parsed and dropped."""
    names, _ = _header(file)
    row, first_byte = last_mark(marks, first_row)
    for batch in cut(_parsed(file, names, columns, first_byte), first_row - row, stop_row - first_row):
        yield from pieces(batch)


@dataclass(slots=True)
class _RaggedRow:
    """Remembers where pyarrow met a row of another width: its own message would repeat the row's text."""

    found: list[str] = field(default_factory=list)

    def __call__(self, row: pc.InvalidRow) -> str:
        self.found.append(
            f"row {row.number} (the header is row 1) has {row.actual_columns} fields, the header has "
            f"{row.expected_columns}"
        )
        return "error"


def _parsed(
    file: InputFile, names: Sequence[str], columns: Sequence[str], first_byte: int = 0
) -> Iterator[pa.RecordBatch]:
    """Yield the rows from `first_byte` on, 0 being the header's; begins again where a row is longer than a block."""
    done = 0
    block_bytes = BLOCK_BYTES
    while True:
        try:
            for batch in cut(_blocks(file, names, columns, (first_byte, block_bytes)), done, 1 << 62):
                done += batch.num_rows
                yield batch
        except pa.ArrowInvalid as error:
            # The one fault that a larger block cures; pyarrow tells it from others only by its words.
            if "straddl" not in str(error) or block_bytes >= LARGEST_BLOCK_BYTES:
                raise InputError(f"{file}: {error}") from error
            block_bytes *= 8
        else:
            return


def _blocks(
    file: InputFile, names: Sequence[str], columns: Sequence[str], bounds: tuple[int, int]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows from a byte on, in blocks of a size: `bounds`."""
    first_byte, block_bytes = bounds
    ragged = _RaggedRow()
    has_header = not first_byte
    try:
        with (
            _opened(file, first_byte) as text,
            pc.open_csv(
                text,
                read_options=pc.ReadOptions(
                    block_size=block_bytes, use_threads=False, column_names=None if has_header else list(names)
                ),
                parse_options=pc.ParseOptions(newlines_in_values=True, invalid_row_handler=ragged),
                convert_options=pc.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), include_columns=columns, strings_can_be_null=False
                ),
            ) as blocks,
        ):
            yield from blocks
    except pa.ArrowInvalid as error:
        if ragged.found:
            raise InputError(f"{file}: {ragged.found[0]}") from error
        raise


@contextmanager
def _opened(file: InputFile, first_byte: int) -> Iterator[Any]:
    """Yield what pyarrow takes, from a byte on."""
    if not first_byte:
        yield file.for_pyarrow()
        return
    with file.open() as opened:
        opened.seek(first_byte)
        yield opened


def _header(file: InputFile) -> tuple[list[str], bool]:
    """Return the column names, and whether anything follows them; a file without a line has neither."""
    with (
        naming(file),
        file.open() as opened,
        io.TextIOWrapper(opened, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        try:
            names = next((names for names in csv.reader(text, strict=True) if names), [])
            ",".join(names).encode()  # rows may lie in the same block of text: they are for pyarrow to judge
            has_rows = any(line.strip("\r\n") for line in text)
        except (csv.Error, UnicodeEncodeError) as error:
            raise InputError(f"{file}: the header is not CSV in UTF-8: {error}") from error
    for name in repeated_names(pa.schema([(name, pa.string()) for name in names])):
        raise InputError(f"{file}: two columns are called {name!r}; the header has {', '.join(names)}")
    return names, has_rows


def _ends_with_quote(file: InputFile) -> bool:
    """Tell whether the last byte before the file's final newlines is a quote."""
    with naming(file), file.open() as opened:
        opened.seek(max(0, opened.seek(0, 2) - 4096))
        return opened.read().rstrip(b"\r\n").endswith(b'"')
