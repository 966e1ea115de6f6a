"""A job's JSON Schema: read from text, and checked before anything is sent."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

DEEPEST = 32  # schemas in each other; Python's own bound would be a crash
NOT_INSTALLED = "needs the package jsonschema: pip install 'batchrun[schema]'"
ANSWER_TOOL = "give_answer"  # the forced tool whose input is the answer, where a schema cannot be asked for as such

Schema = Mapping[str, Any]


def schema_in(text: str) -> Any:
    """Read a schema file's JSON.

    Raises ValueError saying what is wrong.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def check_schema(schema: object) -> Schema:
    """Return a JSON Schema that describes an object, with nothing in it that leads outside.

    Raises ValueError saying where it is wrong, or that jsonschema is not installed.
    """
    if not isinstance(schema, Mapping):
        raise ValueError('must be a JSON Schema: a table with type = "object" and properties')
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), Mapping) or not schema["properties"]:
        raise ValueError('must describe an object: type = "object" and at least one of properties')
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:  # also of text that no UTF-8 can carry
        raise ValueError(f"holds what JSON cannot: {error}") from None
    try:
        import jsonschema  # an extra, and slow to import: only a job with a schema waits for it
        from jsonschema.exceptions import SchemaError
    except ImportError:
        raise ValueError(NOT_INSTALLED) from None
    for where, part in subschemas(schema):
        reference = part.get("$ref", "#")
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise ValueError(f'{where}$ref = {json.dumps(reference)} leads outside: only "#/$defs/…" can be followed')
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as error:
        where = ".".join(str(step) for step in error.absolute_path)
        raise ValueError(f"is no JSON Schema: {where + ': ' if where else ''}{error.message}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return schema


# Where a schema holds further ones: by name, in a list, or alone.
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_ALONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")


def subschemas(schema: Schema, where: str = "", depth: int = 0) -> Iterator[tuple[str, Schema]]:
    """Yield a schema and all in it, each with where it stands (`properties.a.`).

    Raises ValueError if they are nested deeper than any answer needs.
    """
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    yield where, schema
    for key in _NAMED:
        inner = schema.get(key)
        for name, one in inner.items() if isinstance(inner, Mapping) else ():
            if isinstance(one, Mapping):
                yield from subschemas(one, f"{where}{key}.{name}.", depth + 1)
    for key in _LISTED:
        listed = schema.get(key)
        for place, one in enumerate(listed if isinstance(listed, list | tuple) else ()):
            if isinstance(one, Mapping):
                yield from subschemas(one, f"{where}{key}[{place}].", depth + 1)
    for key in _ALONE:
        if isinstance(one := schema.get(key), Mapping):
            yield from subschemas(one, f"{where}{key}.", depth + 1)


def _no_constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is not JSON")
