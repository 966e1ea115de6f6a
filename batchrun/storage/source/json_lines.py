"""JSON Lines: an object a line; the columns are those of all lines together, and a missing key is null."""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.types as kind

from batchrun.errors import InputError
from batchrun.storage.source.batches import cut, pieces
from batchrun.storage.source.column_types import unified
from batchrun.storage.source.facts import MARK_EVERY_BYTES, Facts, Marks, last_mark, naming
from batchrun.storage.source.input_file import InputFile
from batchrun.storage.source.json_numbers import first_rounded

BLOCK_BYTES = 1 << 20  # of whole lines; a longer line is a block of its own
DEEPEST = 100  # a guess: each level is a level of the column's type
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]')  # a string or a bracket
BOM = b"\xef\xbb\xbf"


def facts(file: InputFile) -> Facts:
    """Return rows, columns and digest; the whole file is parsed, and so is every fault of it found.

    Blank lines do not count. Text stays text, whatever it looks like (pyarrow would make dates of it). Numbers are
    int64 where all of a column's are, else float64. Raises InputError with the line that is not a JSON object in
    UTF-8, whose value is of another kind than those before it, or whose integer a float64 would round.
    """
    digest = hashlib.sha256()
    rows = 0
    schema = pa.schema([])
    marks: list[tuple[int, int]] = []
    next_mark = MARK_EVERY_BYTES
    for block in _blocks(file):
        if block.first_byte >= next_mark:
            marks.append((rows, block.first_byte))
            next_mark = block.first_byte + MARK_EVERY_BYTES
        digest.update(block.raw)
        rows += len(block.lines)
        schema, clashes = unified([("before", schema), ("here", _inferred(file, block))])
        for name, clash in clashes.items():
            raise InputError(
                f"{file}: lines {block.first_line} to {block.last_line}: column {name!r} is {clash.other_type}, "
                f"before it was {clash.first_type}"
            )
        if rounded := first_rounded(block.lines, schema):
            raise InputError(
                f"{file}: line {block.numbers[rounded.line]}: column {rounded.column!r} holds an integer of "
                f"{rounded.digits} digits that would be rounded, since neither the column's numbers nor it are all of "
                "64 bits; put it in quotes, and it is text"
            )
    return Facts(rows=rows, digest=digest.hexdigest(), schema=schema, marks=tuple(marks))


def batches(
    file: InputFile, schema: pa.Schema, first_row: int, stop_row: int, marks: Marks = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows `first_row` to `stop_row` of the file as `schema`; blocks before are counted, not parsed."""
    block_stop, first_byte = last_mark(marks, first_row)
    for block in _blocks(file, first_byte):
        block_first, block_stop = block_stop, block_stop + len(block.lines)
        skip = max(0, first_row - block_first)
        rows = min(stop_row, block_stop) - block_first - skip
        if rows > 0:
            with naming(file):
                table = _parsed(block.lines[skip : skip + rows], schema)
            for batch in cut(table.to_batches(), 0, rows):
                yield from pieces(batch)
        if block_stop >= stop_row:
            return


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole lines; `lines` are those that are not blank, `numbers` their line numbers from where reading began, 1."""

    first_byte: int
    raw: bytes
    lines: Sequence[bytes]
    numbers: Sequence[int]
    first_line: int
    last_line: int


def _blocks(file: InputFile, first_byte: int = 0) -> Iterator[_Block]:
    with naming(file), _buffered(file) as opened:
        opened.seek(first_byte)
        line = 1
        while raw := opened.readlines(BLOCK_BYTES):
            whole = b"".join(raw)
            if first_byte == 0:
                raw[0] = raw[0].removeprefix(BOM)
            kept = [(number, text) for number, text in enumerate(raw, line) if text.strip()]
            yield _Block(
                first_byte, whole, [text for _, text in kept], [number for number, _ in kept], line, line + len(raw) - 1
            )
            line += len(raw)
            first_byte += len(whole)


def _buffered(file: InputFile) -> BinaryIO:
    opened = file.open()
    return io.BufferedReader(opened, BLOCK_BYTES) if isinstance(opened, io.RawIOBase) else opened


def _inferred(file: InputFile, block: _Block) -> pa.Schema:
    """Return the columns of one block, dates back to text."""
    for number, line in zip(block.numbers, block.lines, strict=True):
        # pyarrow crashes on lines that are only `null`: nothing but objects may reach it.
        text = line.strip()
        if not (text.startswith(b"{") and text.endswith(b"}")):
            raise InputError(f"{file}: line {number}: not a JSON object")
        if _is_deep(text):  # pyarrow's parser would end the process
            raise InputError(f"{file}: line {number}: objects and lists are nested more than {DEEPEST} deep")
    try:
        block.raw.decode()
        table = _parsed(block.lines, None)
    except (UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{file}: {_first_fault(block, str(error))}") from error
    if table.num_rows != len(block.lines):
        raise InputError(f"{file}: {_first_fault(block, 'more than one object on a line')}")
    return pa.schema([(field.name, _text_again(field.type)) for field in table.schema])


def _is_deep(line: bytes) -> bool:
    """Tell whether objects and lists stand more than DEEPEST deep in each other; most lines are seen to at a glance."""
    if line.count(b"{") + line.count(b"[") <= DEEPEST:
        return False
    depth = 0
    for token in _TOKEN.finditer(line):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if depth > DEEPEST:
            return True
    return False


def _parsed(lines: Sequence[bytes], schema: pa.Schema | None) -> pa.Table:
    """Return the rows of `lines` as one chunk: with the columns of `schema`, or with those that are inferred."""
    text = b"".join(lines)
    known = {} if schema is None else {"explicit_schema": schema, "unexpected_field_behavior": "ignore"}
    if not text:
        return pa.table({})
    return pj.read_json(
        io.BytesIO(text),
        read_options=pj.ReadOptions(block_size=len(text) + 1, use_threads=False),
        parse_options=pj.ParseOptions(**known),
    )


def _text_again(given: pa.DataType) -> pa.DataType:
    """Return `given` with text where pyarrow saw a time."""
    if kind.is_temporal(given):
        return pa.string()
    if kind.is_list(given):
        return pa.list_(_text_again(given.value_type))
    if kind.is_struct(given):
        return pa.struct([(field.name, _text_again(field.type)) for field in given])
    return given


def _first_fault(block: _Block, message: str) -> str:
    """Return line and reason of the block's first fault; without the text of the line, which may be private."""
    for number, line in zip(block.numbers, block.lines, strict=True):
        try:
            json.loads(line.decode())
        except UnicodeDecodeError as error:
            return f"line {number}: not UTF-8 at byte {error.start + 1} of the line"
        except json.JSONDecodeError as error:
            return f"line {number}: not JSON: {error.msg} at character {error.colno}"
        except ValueError:  # an integer of thousands of digits
            return f"line {number}: a number that cannot be read"
    if row := re.search(r" in row (\d+)$", message):
        return f"line {block.numbers[int(row[1])]}: {message.removesuffix(row[0])}"
    return f"lines {block.first_line} to {block.last_line}: {message}"
