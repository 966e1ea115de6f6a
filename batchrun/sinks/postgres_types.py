"""Arrow's types as PostgreSQL has them, and rows as the text that its COPY reads.

What is nested becomes jsonb. PostgreSQL's text holds no NUL: U+FFFD takes its place.
"""

import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.sinks.nested import is_list
from batchrun.sinks.plain import is_moment, iso, plain, seconds
from batchrun.sinks.text import is_text

TYPES = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20)",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.date64(): "date",
}
NO_NUL = "\N{REPLACEMENT CHARACTER}"
# In the order in which they must be replaced.
ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", NO_NUL))
TAB = pa.scalar("\t", pa.large_string())
BEFORE_YEAR_1 = "^(-|0000-)"  # which PostgreSQL writes in another way
JSON_ESCAPE = re.compile(r"\\(u0000|.)")


def type_of(kind: pa.DataType) -> str:
    """Return PostgreSQL's type for one of Arrow's."""
    if kind in TYPES:
        return TYPES[kind]
    if isinstance(kind, pa.BaseExtensionType):
        return type_of(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return type_of(kind.value_type)
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})" if 0 <= kind.scale <= kind.precision else "numeric"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    if pa.types.is_time(kind):
        return "time"
    if pa.types.is_duration(kind):
        return "interval"
    if is_nested(kind):
        return "jsonb"
    return "text" if is_text(kind) or pa.types.is_null(kind) else "bytea"


def is_nested(kind: pa.DataType) -> bool:
    """Tell whether cells of this type are lists, structs or maps."""
    return bool(pa.types.is_struct(kind) or pa.types.is_map(kind) or is_list(kind))


def copy_text(batch: pa.RecordBatch) -> bytes:
    r"""Return the rows of a batch as COPY reads them: a line each, tabs between cells, \N for null."""
    columns = [_cells(column).cast(pa.large_string()) for column in batch.columns]
    lines = pc.binary_join_element_wise(*columns, TAB, null_handling="replace", null_replacement="\\N")
    return "".join(f"{line}\n" for line in lines.to_pylist()).encode()


def _cells(array: pa.Array) -> pa.Array:
    """Return the cells of a column as text, escaped."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _cells(array.storage)
    if pa.types.is_dictionary(kind):
        return _cells(array.dictionary_decode())
    if is_moment(kind):
        said = iso(array)
        return pc.if_else(pc.match_substring_regex(said, BEFORE_YEAR_1), None, said)
    if pa.types.is_duration(kind):
        return pc.binary_join_element_wise(seconds(array).cast(pa.string()), "seconds", " ")
    if is_nested(kind):
        return _escaped(pa.array([None if cell is None else _json(cell) for cell in plain(array)], pa.string()))
    if is_text(kind):
        return _escaped(array.cast(pa.large_string()))
    if type_of(kind) == "bytea":
        return pa.array([None if cell is None else rf"\\x{cell.hex()}" for cell in array.to_pylist()], pa.string())
    return array.cast(pa.float32() if pa.types.is_float16(kind) else kind).cast(pa.string())


def _escaped(array: pa.Array) -> pa.Array:
    for character, written in ESCAPES:
        array = pc.replace_substring(array, character, written)
    return array


def _json(cell: Any) -> str:
    written = json.dumps(cell, ensure_ascii=False, allow_nan=False)
    return JSON_ESCAPE.sub(lambda escape: NO_NUL if escape[1] == "u0000" else escape[0], written)
