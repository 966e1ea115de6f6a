"""Repeated ids are found without holding the ids: hashes by slices of the hash space, then the rows by name."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from batchrun.storage.source.rows import Source

Hashes: TypeAlias = "array[int]"  # quoted: Python 3.11 has no array[int] when it runs

HASHES_PER_PASS = 8_000_000  # 64 MB
BUCKETS = 256  # so that only 1/256 of the hashes is ever in a set, which takes ten times the room
REPEATED_HELD = 100_000  # hashes from which the examples are drawn; the count of repeated rows is not bounded
EXAMPLES = 5
SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class RepeatedId:
    """An id and the first rows that have it."""

    text: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class IdFaults:
    """What is wrong with an id column; false if nothing is."""

    nulls: int
    null_rows: tuple[int, ...]  # the first of them
    repeats: int  # rows whose id an earlier row has
    examples: tuple[RepeatedId, ...]

    def __bool__(self) -> bool:
        return bool(self.nulls or self.repeats)

    def __str__(self) -> str:
        parts = [f"{self.nulls} rows have no id, such as row {self.null_rows[0]}"] if self.nulls else []
        if self.repeats:
            shown = "; ".join(f"{each.text!r} in rows {', '.join(map(str, each.rows))}" for each in self.examples)
            parts.append(f"{self.repeats} rows repeat the id of an earlier row: {shown}")
        return "; ".join(parts) or "ids are unique"


def duplicate_ids(source: Source, column: str, hashes_per_pass: int = HASHES_PER_PASS) -> IdFaults:
    """Return the rows of `source` whose value of `column` is null or occurs before.

    Values are compared as text. Memory is `hashes_per_pass` times 8 bytes; the column is read once for each slice of
    that many rows, and once more for the examples if there are any.
    """
    source.require([column], "input.id")
    passes = max(1, -(-source.rows // hashes_per_pass))
    nulls = _Nulls()
    repeats = 0
    repeated: set[int] = set()
    for slice_index in range(passes):
        hashes = _hashes(source, column, slice_index, passes, nulls if slice_index == 0 else _Nulls())
        for again in _seen_before(hashes):
            repeats += 1
            if len(repeated) < REPEATED_HELD:
                repeated.add(again)
    return IdFaults(nulls.count, tuple(nulls.rows), repeats, _examples(source, column, repeated) if repeated else ())


@dataclass(slots=True)
class _Nulls:
    """Counts rows without an id and keeps the first of them."""

    count: int = 0
    rows: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        self.count += 1
        if len(self.rows) < EXAMPLES:
            self.rows.append(row)


def _hashes(source: Source, column: str, slice_index: int, passes: int, nulls: _Nulls) -> list[Hashes]:
    """Return the hashes of one slice, in buckets; equal ones share a bucket."""
    buckets = [array("q") for _ in range(BUCKETS)]
    for first_row, ids in _ids(source, column):
        for row, text in enumerate(ids, first_row):
            if text is None:
                nulls.add(row)
            elif (number := hash(text)) % passes == slice_index:
                buckets[number // passes % BUCKETS].append(number)
    return buckets


def _seen_before(buckets: list[Hashes]) -> Iterator[int]:
    """Yield each hash once for every time that it comes again."""
    for bucket in buckets:
        seen: set[int] = set()
        for number in bucket:
            if number in seen:
                yield number
            seen.add(number)


def _examples(source: Source, column: str, repeated: set[int]) -> tuple[RepeatedId, ...]:
    """Return the first ids in row order whose hash is repeated, each with its first rows."""
    rows_of: dict[str | bytes, list[int]] = {}
    for first_row, ids in _ids(source, column):
        for row, text in enumerate(ids, first_row):
            if text is None or hash(text) not in repeated:
                continue
            if text in rows_of or len(rows_of) < EXAMPLES:
                rows = rows_of.setdefault(text, [])
                rows += [row] if len(rows) < EXAMPLES else []
    return tuple(RepeatedId(_shown(text), tuple(rows)) for text, rows in rows_of.items() if len(rows) > 1)


def _shown(text: str | bytes) -> str:
    """Return the beginning of an id: it may have a megabyte."""
    shown = text[: SHOWN_CHARACTERS + 1]
    shown = shown if isinstance(shown, str) else shown.decode(errors="backslashreplace")
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…"


def _ids(source: Source, column: str) -> Iterator[tuple[int, Sequence[str | bytes | None]]]:
    """Yield the number of a first row and the ids from there on, as what can be hashed well."""
    for batch in source.read([column], 0, source.rows):
        ids = batch.batch.column(0)
        if pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type):
            ids = ids.cast(pa.large_binary())  # text that is not UTF-8 is an id too
        values = ids.to_pylist()
        # Text, since Python hashes -1 and -2 alike, and integers modulo 2**61 - 1.
        yield batch.first_row, [v if v is None or isinstance(v, str | bytes) else str(v) for v in values]
