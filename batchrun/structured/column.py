"""The column `answer`: what Arrow type a schema becomes, and the cell that an answer becomes in it.

One type for all parts, from the schema alone and never from data: string, integer as int64, number as double, boolean,
enum by its type, arrays and objects recursively, always nullable. What has no type of its own is JSON text.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from batchrun.structured.definition import Schema

LEAST, MOST = -(2**63), 2**63 - 1  # of int64
# With one of these a value may be of several types, or of one that is told elsewhere.
_INDIRECT = {"anyOf", "oneOf", "allOf", "not", "if", "$ref", "$dynamicRef", "patternProperties", "prefixItems"}

Cell = Callable[[Any], Any]


class AnswerColumn:
    """The column of a schema; `as_text` names the fields that are JSON text (`answer.tags`)."""

    def __init__(self, schema: Schema) -> None:
        self.as_text: list[str] = []
        self.type, self.cell = self._made(schema, "answer")

    def __repr__(self) -> str:
        return f"AnswerColumn({self.type})"

    def array(self, answers: Sequence[str | None]) -> pa.Array:
        """Return the column of some answers, each JSON text or None.

        What does not fit is null: answers were judged before, and no part may fail for one of them.
        """
        return pa.array([self._safe(answer) for answer in answers], self.type)

    def _safe(self, answer: str | None) -> Any:
        try:
            return None if answer is None else self.cell(json.loads(answer))
        except (ValueError, RecursionError):
            return None

    def _made(self, schema: object, where: str) -> tuple[pa.DataType, Cell]:
        made = self._typed(schema, where) if isinstance(schema, Mapping) else None
        if made is None:
            self.as_text.append(where)
            return pa.string(), _json_text
        return made

    def _typed(self, schema: Schema, where: str) -> tuple[pa.DataType, Cell] | None:
        kind = _one_type(schema)
        if kind is None or _INDIRECT & schema.keys():
            return None
        if kind == "array":
            items = schema.get("items")
            return self._list(items, where) if isinstance(items, Mapping) and items else None
        if kind == "object":
            properties = schema.get("properties")
            if not properties or schema.get("additionalProperties", False) is not False:
                return None
            return self._struct(properties, where)
        return _SCALARS.get(kind)

    def _list(self, items: Schema, where: str) -> tuple[pa.DataType, Cell]:
        of, cell = self._made(items, f"{where}[]")

        def cells(value: Any) -> Any:
            if value is None:
                return None
            return [cell(one) for one in _instance(value, list)]

        return pa.list_(of), cells

    def _struct(self, properties: Mapping[str, Any], where: str) -> tuple[pa.DataType, Cell]:
        made = {name: self._made(one, f"{where}.{name}") for name, one in properties.items()}

        def cells(value: Any) -> Any:
            if value is None:
                return None
            given = _instance(value, dict)
            return {name: cell(given.get(name)) for name, (_, cell) in made.items()}

        return pa.struct([pa.field(name, of) for name, (of, _) in made.items()]), cells


def _one_type(schema: Schema) -> str | None:
    """Return the type of a value that is not null, None where there are several."""
    kind = schema.get("type")
    kinds: Sequence[Any] = kind if isinstance(kind, list | tuple) else [kind] if kind is not None else []
    if not kinds and isinstance(schema.get("enum"), list | tuple):
        kinds = ["string" if isinstance(one, str) else "null" if one is None else "other" for one in schema["enum"]]
    real = {one for one in kinds if one != "null"}
    return str(real.pop()) if len(real) == 1 else None


def _instance(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _string(value: Any) -> str | None:
    return None if value is None else _unicode(_instance(value, str))


def _boolean(value: Any) -> bool | None:
    return None if value is None else bool(_instance(value, bool))


def _int64(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError("is no whole number")
    whole = int(value)  # JSON Schema takes 5.0 for an integer
    if not LEAST <= whole <= MOST:
        raise ValueError("does not fit into 64 bits")
    return whole


def _double(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is larger than a double can be")
    return number


def _json_text(value: Any) -> str | None:
    return None if value is None else _unicode(json.dumps(value, ensure_ascii=False))


def _unicode(text: str) -> str:
    """Return text without lone surrogates: JSON can spell them, no Parquet file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


_SCALARS: dict[str, tuple[pa.DataType, Cell]] = {
    "string": (pa.string(), _string),
    "integer": (pa.int64(), _int64),
    "number": (pa.float64(), _double),
    "boolean": (pa.bool_(), _boolean),
}
