"""JSON Schemas of structured output: what the API refuses in them, and an instance for every prompt."""

import json
import re
from collections.abc import Mapping
from typing import Any

from batchrun.emulator.faults import invalid

_WHERE = "output_config.format.schema"
_ANNOTATIONS = {"title", "description", "$defs", "definitions", "$schema", "$id", "$comment", "default", "examples"}
_KNOWN = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems"},
    "string": {"format", "pattern"},
    "integer": set[str](),
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
_MOST_OPTIONAL = 24
_MOST_UNIONS = 16
_DEEPEST = 64
_BOUND = re.compile(r"(minimum|maximum|minLength|maxLength|minItems|maxItems): (-?\d+(?:\.\d+)?)")
_SAMPLES = {
    "date-time": "2026-11-03T11:59:17Z",
    "time": "11:59:17Z",
    "date": "2026-11-03",
    "duration": "P1D",
    "email": "emulated@example.org",
    "hostname": "example.org",
    "uri": "https://example.org/emulated",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def check_strict(schema: object) -> Mapping[str, Any]:
    """Return a schema that structured output takes; raises RefusedError in the API's words."""
    if not isinstance(schema, Mapping):
        raise invalid(f"{_WHERE}: Input should be an object")
    counts = {"optional": 0, "unions": 0}
    _check(schema, schema, counts, ())
    if counts["optional"] > _MOST_OPTIONAL:
        raise invalid(
            f"Schemas contains too many optional parameters ({counts['optional']}), which would make grammar "
            f"compilation inefficient. Reduce the number of optional parameters in your tool schemas "
            f"(limit: {_MOST_OPTIONAL})."
        )
    if counts["unions"] > _MOST_UNIONS:
        raise invalid(
            f"Schemas contains too many parameters with union types ({counts['unions']} parameters with type arrays or "
            f"anyOf), which would make grammar compilation inefficient (limit: {_MOST_UNIONS})."
        )
    return schema


def instance(schema: Mapping[str, Any], draw: int) -> Any:
    """Return a value that fits `schema`, another for every `draw`."""
    return _instance(schema, schema, draw, 0)


def _check(schema: object, root: Mapping[str, Any], counts: dict[str, int], inside: tuple[str, ...]) -> None:
    if not isinstance(schema, Mapping):
        raise invalid(f"{_WHERE}: Invalid schema: {json.dumps(schema)}")
    for name in ("$defs", "definitions"):
        for one in schema.get(name, {}).values():
            _check(one, root, counts, inside)
    if "$ref" in schema:
        reference = str(schema["$ref"])
        if reference in inside or len(inside) > _DEEPEST:
            raise invalid(f"{_WHERE}: Circular reference detected in schema definitions: {reference}")
        _check(_referred(root, reference), root, counts, (*inside, reference))
    elif "oneOf" in schema:
        raise invalid(f"{_WHERE}: Schema type 'oneOf' is not supported")
    elif "enum" in schema:
        if any(isinstance(value, list | dict) for value in schema["enum"]):
            raise invalid(f"{_WHERE}: Enum values must be strings, numbers, booleans or null")
    elif variants := [key for key in ("anyOf", "allOf") if key in schema]:
        counts["unions"] += "anyOf" in schema
        for one in [one for key in variants for one in schema[key]]:
            _check(one, root, counts, inside)
    elif "const" not in schema:
        kinds = schema.get("type")
        counts["unions"] += isinstance(kinds, list)
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            _check_type(str(kind), schema, root, counts, inside)


def _check_type(
    kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], counts: dict[str, int], inside: tuple[str, ...]
) -> None:
    if kind not in _KNOWN:
        raise invalid(f"{_WHERE}: Schema type '{kind}' is not supported" if kind != "None" else f"{_WHERE}: Invalid")
    known = _KNOWN[kind] | _ANNOTATIONS | {"type"}
    if isinstance(schema["type"], list):
        known = known.union(*_KNOWN.values())
    strange = sorted(schema.keys() - known)
    if strange:
        some = "property" if len(strange) == 1 else "properties"
        verb = "is" if len(strange) == 1 else "are"
        raise invalid(f"{_WHERE}: For '{kind}' type, {some} {', '.join(reversed(strange))} {verb} not supported")
    if kind == "object":
        if schema.get("additionalProperties") is not False:
            raise invalid(f"{_WHERE}: For 'object' type, 'additionalProperties' must be explicitly set to false")
        properties = schema.get("properties", {})
        counts["optional"] += len(properties.keys() - set(schema.get("required", ())))
        for one in properties.values():
            _check(one, root, counts, inside)
    elif kind == "array":
        if schema.get("minItems", 0) not in (0, 1):
            raise invalid(f"{_WHERE}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
        if "items" in schema:
            _check(schema["items"], root, counts, inside)
    elif kind == "string" and "format" in schema and schema["format"] not in _FORMATS:
        raise invalid(f"{_WHERE}: String format '{schema['format']}' is not supported")


def _referred(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    if not reference.startswith("#") or found is None:
        raise invalid(f"{_WHERE}: Invalid $ref: {reference}")
    return found


def _bounds(description: object) -> dict[str, float]:
    """Return the bounds that a description tells of, as SDKs put those there that the API does not take."""
    told = _BOUND.findall(description) if isinstance(description, str) else ()
    return {name: float(value) if "." in value else int(value) for name, value in told}


def _instance(schema: Any, root: Mapping[str, Any], draw: int, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if "$ref" in schema:
        return _instance(_referred(root, str(schema["$ref"])), root, draw, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][draw % len(schema["enum"])]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _instance(schema[key][draw % len(schema[key])], root, draw, depth + 1)
    schema = {**_bounds(schema.get("description")), **schema}
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[draw % len(kind)]
    match kind:
        case "object":
            required = set(schema.get("required", ()))
            properties = schema.get("properties", {})
            return {
                name: _instance(one, root, draw >> place & 0xFFFFFFFF, depth + 1)
                for place, (name, one) in enumerate(properties.items())
                if name in required or draw >> place & 1
            }
        case "array":
            wanted = max(int(schema.get("minItems", 0)), min(1 + draw % 2, int(schema.get("maxItems", 2))))
            return [_instance(schema.get("items"), root, draw + place, depth + 1) for place in range(wanted)]
        case "string":
            return _SAMPLES.get(schema.get("format", ""), _text(schema, draw))
        case "integer" | "number":
            return _number(schema, draw, whole=kind == "integer")
        case "boolean":
            return bool(draw & 1)
    return None


def _text(schema: Mapping[str, Any], draw: int) -> str:
    text = f"[emulated] {draw % 1_000}"
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", len(text) + 1_000)]


def _number(schema: Mapping[str, Any], draw: int, *, whole: bool) -> float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 100) - 1)
    number = least + draw % (max(0, int(most - least)) + 1)
    return int(number) if whole else float(number)
