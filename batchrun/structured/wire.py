"""What Bedrock is told of a schema: its structured output takes a part of JSON Schema and refuses the rest.

Which part: Anthropic's SDK, as of 2026-10, and the API's own refusals. A bound that Bedrock does not take goes into the
description, as that SDK does it, and is checked in the answer; what cannot be left out without changing what the schema
says is refused by name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchrun.structured.definition import Schema

FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
PRIMITIVE = (str, int, float, bool, type(None))
# Properties that are not required, and parameters with anyOf or a list of types, over the whole schema: the guide at
# platform.claude.com/docs/en/build-with-claude/structured-outputs, and the refusals of Bedrock that are quoted in
# github.com/vercel/ai/pull/17268 (2026-07). A third limit, "compiled grammar is too large", has no published number.
MOST_OPTIONAL = 24
MOST_UNIONS = 16
_ANNOTATIONS = {"$schema", "$id", "$comment", "title", "examples", "default", "deprecated", "readOnly", "writeOnly"}


class UnsupportedError(ValueError):
    """A schema that Bedrock's structured output does not take; the message begins with where."""


@dataclass(slots=True)
class Strict:
    """A schema as structured output takes it, and which bounds are left to the check of the answer."""

    schema: dict[str, Any] = field(default_factory=dict)
    checked_later: list[str] = field(default_factory=list)


def strict(schema: Schema) -> Strict:
    """Return `schema` as Bedrock's structured output takes it.

    Raises UnsupportedError naming what it does not take and cannot do without.
    """
    writer = _Writer(schema)
    made = writer.written(schema, "", ())
    if writer.optional > MOST_OPTIONAL:
        raise UnsupportedError(
            f"{writer.optional} properties are not required; structured output takes {MOST_OPTIONAL}"
        )
    if writer.unions > MOST_UNIONS:
        raise UnsupportedError(f"{writer.unions} values may be of several types; at most {MOST_UNIONS} can be so")
    return Strict(made, writer.checked_later)


class _Writer:
    def __init__(self, root: Schema) -> None:
        self.checked_later: list[str] = []
        self.optional = 0
        self.unions = 0
        self._root = root

    def written(self, schema: Schema, where: str, inside: Sequence[str]) -> dict[str, Any]:
        """Write one schema; `inside` are the references that it stands in."""
        rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        made: dict[str, Any] = {}
        for key in ("$defs", "definitions"):
            if isinstance(defs := rest.pop(key, None), Mapping):
                made[key] = {name: self.written(one, f"{where}{key}.{name}.", inside) for name, one in defs.items()}
        if (reference := rest.pop("$ref", None)) is not None:
            self._follow(reference, where, inside)
            return {**made, "$ref": reference}
        kind = rest.pop("type", None)
        literal = self._literal(rest)
        if literal is not None:
            made |= literal
        elif variants := self._variants(rest, kind):
            self.unions += "anyOf" in variants
            made |= {
                key: [self.written(one, f"{where}{key}[{place}].", inside) for place, one in enumerate(listed)]
                for key, listed in variants.items()
            }
        elif kind is None:
            raise UnsupportedError(f"{_name(where)} needs a type, an enum, anyOf or $ref")
        else:
            made |= self._typed(str(kind), rest, where, inside)
        self._describe(made, schema.get("description"), rest, where)
        return made

    def _literal(self, rest: dict[str, Any]) -> dict[str, Any] | None:
        values = rest.get("enum")
        if isinstance(values, list | tuple) and all(isinstance(value, PRIMITIVE) for value in values):
            return {"enum": list(rest.pop("enum"))}
        if "const" in rest and isinstance(rest["const"], PRIMITIVE):
            return {"const": rest.pop("const")}
        return None

    def _variants(self, rest: dict[str, Any], kind: object) -> dict[str, Sequence[Schema]]:
        if isinstance(kind, list | tuple):  # "string or null" is written out: each with the bounds of all
            bounds, kinds = dict(rest), list(kind)
            rest.clear()
            return {"anyOf": [{"type": one} if one == "null" else {"type": one, **bounds} for one in kinds]}
        for key, told in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
            listed = rest.get(key)
            if isinstance(listed, list | tuple) and all(isinstance(one, Mapping) for one in listed):
                del rest[key]
                return {told: listed}
        return {}

    def _typed(self, kind: str, rest: dict[str, Any], where: str, inside: Sequence[str]) -> dict[str, Any]:
        made: dict[str, Any] = {"type": kind}
        if kind == "object":
            made |= self._object(rest, where, inside)
        elif kind == "array":
            items = rest.pop("items", None)
            if not isinstance(items, Mapping) or not items:
                raise UnsupportedError(f"{_name(where)} is an array and needs items")
            made["items"] = self.written(items, f"{where}items.", inside)
            if rest.get("minItems") in (0, 1):
                made["minItems"] = rest.pop("minItems")
        elif kind == "string" and rest.get("format") in FORMATS:
            made["format"] = rest.pop("format")
        return made

    def _object(self, rest: dict[str, Any], where: str, inside: Sequence[str]) -> dict[str, Any]:
        if rest.pop("additionalProperties", False) is not False:
            raise UnsupportedError(f"{where}additionalProperties can only be false")
        properties = rest.pop("properties", None)
        if not isinstance(properties, Mapping) or not properties:
            raise UnsupportedError(f"{_name(where)} is an object and needs properties")
        required = list(rest.pop("required", ()))
        self.optional += len(properties.keys() - set(required))
        return {
            "properties": {
                name: self.written(_as_mapping(one, f"{where}properties.{name}"), f"{where}properties.{name}.", inside)
                for name, one in properties.items()
            },
            "required": required,
            "additionalProperties": False,
        }

    def _follow(self, reference: str, where: str, inside: Sequence[str]) -> None:
        """Refuse a schema that holds itself."""
        if reference in inside:
            raise UnsupportedError(f"{_name(where)} holds itself ({reference})")
        found: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(step) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or found is self._root:
            raise UnsupportedError(f"{_name(where)}: {reference} leads nowhere in $defs")
        _Writer(self._root).written(found, where, (*inside, reference))

    def _describe(self, made: dict[str, Any], description: object, rest: dict[str, Any], where: str) -> None:
        """Tell the model of bounds that the decoding does not keep."""
        rest.pop("description", None)
        told = [str(description)] if description else []
        if rest:
            self.checked_later += [f"{where}{key}" for key in rest]
            told.append("{" + ", ".join(f"{key}: {json.dumps(value)}" for key, value in rest.items()) + "}")
        if told:
            made["description"] = "\n\n".join(told)


def _as_mapping(schema: object, where: str) -> Schema:
    if not isinstance(schema, Mapping):
        raise UnsupportedError(f"{where} must be a schema of its own, not {json.dumps(schema)}")
    return schema


def _name(where: str) -> str:
    return where.rstrip(".") or "the schema"
