"""Integers in JSON that would be rounded without a word: those that neither 64 bits nor a double can say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.types as kind

SAID_BY_DOUBLES = 15  # digits: a double says every integer of so many
# Leaves digits and points standing: a megabyte is looked through in 1.4 ms, by a regular expression in 20.
_NUMBERS = bytes(byte if byte in b"0123456789." else ord(" ") for byte in range(256))


@dataclass(frozen=True, slots=True)
class Rounded:
    """Where such an integer stands: in which of the lines, in which column, and how many digits it has."""

    line: int
    column: str
    digits: int


def first_rounded(lines: Sequence[bytes], schema: pa.Schema) -> Rounded | None:
    """Return the first integer that is not what it was once `lines` are read as `schema`; they are whole JSON objects.

    pyarrow reads a column as doubles where one of its numbers has a fraction, an exponent or more than 64 bits. An
    integer that a double stands for as it is written is none of these: other languages write 1e20 with all its zeros.
    """
    doubles = {field.name: field.type for field in schema if _has_doubles(field.type)}
    if not doubles or not _may_hold_one(b"".join(lines)):
        return None
    for at, line in enumerate(lines):
        if _may_hold_one(line):
            row: Mapping[str, Any] = json.loads(line, parse_int=_read)
            for name, given in doubles.items():
                if found := _found(row.get(name), given):
                    return Rounded(at, name, len(found.removeprefix("-")))
    return None


class _Inexact(str):
    """The digits of an integer that is no double."""

    __slots__ = ()


def _may_hold_one(text: bytes) -> bool:
    return any(len(word) > SAID_BY_DOUBLES and b"." not in word for word in text.translate(_NUMBERS).split())


def _read(digits: str) -> int | _Inexact:
    value, near = int(digits), float(digits)
    return value if value in (int(near), int(Decimal(repr(near)))) else _Inexact(digits)


def _has_doubles(given: pa.DataType) -> bool:
    if kind.is_list(given):
        return _has_doubles(given.value_type)
    if kind.is_struct(given):
        return any(_has_doubles(field.type) for field in given)
    return bool(kind.is_floating(given))


def _found(value: object, given: pa.DataType) -> _Inexact | None:
    """Return the first such integer within a value of a type."""
    if isinstance(value, _Inexact):
        return value if kind.is_floating(given) else None
    inside: list[tuple[object, pa.DataType]] = []
    if isinstance(value, list) and kind.is_list(given):
        inside = [(one, given.value_type) for one in value]
    elif isinstance(value, dict) and kind.is_struct(given):
        inside = [(value.get(field.name), field.type) for field in given]
    return next((found for one in inside if (found := _found(*one)) is not None), None)
