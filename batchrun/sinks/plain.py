"""Cells as JSON can say them: what is no number, text, truth, list or table of its own becomes text.

Bytes become base64, moments ISO 8601 in UTC, decimals their digits, durations seconds; NaN and infinities null; a map
becomes a list of {"key": …, "value": …}.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.sinks.nested import is_list, pairs_of
from batchrun.sinks.text import is_text

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

Is = Callable[[pa.DataType], bool]


def plain_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch as JSON objects."""
    names = batch.schema.names
    for cells in zip(*(plain(column) for column in batch.columns), strict=True):
        yield dict(zip(names, cells, strict=True))


def plain(array: pa.Array) -> list[Any]:
    """Return the cells of a column as JSON values."""
    kind = array.type
    for is_kind, values in KINDS:
        if is_kind(kind):
            return values(array)
    return list(array.to_pylist())  # whole numbers, truths, text


def iso(array: pa.Array) -> pa.Array:
    """Return moments, dates and times as ISO 8601; a moment with a time zone is said in UTC and ends in Z.

    What is more than 32,767 years away from the year 0, which is as far as Arrow's calendar goes, is null.
    """
    kind = array.type
    if not pa.types.is_timestamp(kind):
        return _in_calendar(array.cast(pa.string()))
    naive = array.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit)) if kind.tz else array
    said = pc.replace_substring(_in_calendar(naive.cast(pa.string())), " ", "T", max_replacements=1)
    return pc.binary_join_element_wise(said, "Z", "") if kind.tz else said


def _in_calendar(said: pa.Array) -> pa.Array:
    return pc.if_else(pc.starts_with(said, "<"), None, said)  # Arrow says <value out of range: …>


def seconds(array: pa.Array) -> pa.Array:
    """Return durations in seconds."""
    return pc.divide(array.cast(pa.int64()).cast(pa.float64(), safe=False), float(PER_SECOND[array.type.unit]))


def _floats(array: pa.Array) -> list[Any]:
    wide = array.cast(pa.float64())
    return list(pc.if_else(pc.is_finite(wide), wide, None).to_pylist())


def _base64(array: pa.Array) -> list[Any]:
    return [None if cell is None else b64encode(cell).decode() for cell in array.to_pylist()]


def _objects(array: pa.Array) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [plain(child) for child in array.flatten()]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    known = array.is_valid().to_pylist()
    return [
        dict(zip(names, cells, strict=True)) if is_known else None for cells, is_known in zip(rows, known, strict=True)
    ]


def _lists(array: pa.Array) -> list[Any]:
    cells = iter(plain(array.flatten()))
    lengths = pc.list_value_length(array).to_pylist()
    known = array.is_valid().to_pylist()
    return [list(islice(cells, length)) if is_known else None for length, is_known in zip(lengths, known, strict=True)]


def _pairs(array: pa.Array) -> list[Any]:
    return _lists(pairs_of(array))


def _is_binary(kind: pa.DataType) -> bool:
    one_of = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return not is_text(kind) and any(is_kind(kind) for is_kind in one_of)


def is_moment(kind: pa.DataType) -> bool:
    """Tell whether cells of this type are moments, dates or times of day."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind))


KINDS: tuple[tuple[Is, Callable[[pa.Array], list[Any]]], ...] = (
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, lambda array: array.cast(pa.string()).to_pylist()),
    (is_moment, lambda array: iso(array).to_pylist()),
    (pa.types.is_duration, lambda array: seconds(array).to_pylist()),
    (_is_binary, _base64),
    (pa.types.is_dictionary, lambda array: plain(array.dictionary_decode())),
    (pa.types.is_struct, _objects),
    (pa.types.is_map, _pairs),  # before lists: Arrow's maps are lists of pairs
    (is_list, _lists),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), lambda array: plain(array.storage)),
)
