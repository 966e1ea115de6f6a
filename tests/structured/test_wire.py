"""What Bedrock is told of a schema: always something that it takes, or the schema is refused by name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.emulator.faults import RefusedError
from batchrun.emulator.schemas import check_strict, instance
from batchrun.structured.judge import SchemaJudge
from batchrun.structured.wire import UnsupportedError, strict


def one(schema, **more):
    """A schema of an object with one property."""
    return {"type": "object", "properties": {"a": schema}, "required": ["a"], **more}


def told(schema):
    """What Bedrock is told of that property."""
    return strict(one(schema)).schema["properties"]["a"]


def test_objects_take_nothing_beyond_their_properties():
    inner = {"type": "object", "properties": {"b": {"type": "boolean"}}}

    assert strict(one(inner)).schema["additionalProperties"] is False
    assert told(inner)["additionalProperties"] is False


def test_a_bound_that_decoding_does_not_keep_goes_into_the_description_and_is_checked_later():
    made = strict(one({"type": "integer", "minimum": 1, "maximum": 5, "description": "Stars."}))

    assert made.schema["properties"]["a"] == {"type": "integer", "description": "Stars.\n\n{minimum: 1, maximum: 5}"}
    assert made.checked_later == ["properties.a.minimum", "properties.a.maximum"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "string", "enum": ["a", "b"]}, {"enum": ["a", "b"]}),
        ({"const": 5}, {"const": 5}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "iri"}, {"type": "string", "description": '{format: "iri"}'}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "array", "items": {"type": "number"}, "minItems": 1},
            {"type": "array", "items": {"type": "number"}, "minItems": 1},
        ),
        (
            {"type": "array", "items": {"type": "number"}, "maxItems": 3},
            {"type": "array", "items": {"type": "number"}, "description": "{maxItems: 3}"},
        ),
    ],
    ids=str,
)
def test_a_schema_is_written_as_structured_output_takes_it(schema, expected):
    assert told(schema) == expected
    check_strict(strict(one(schema)).schema)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "properties.a.additionalProperties can only be",
        ),
        ({"type": "object"}, "properties.a is an object and needs properties"),
        ({"type": "array"}, "properties.a is an array and needs items"),
        ({"description": "anything"}, "properties.a needs a type"),
        (True, "properties.a must be a schema of its own"),
        ({"$ref": "#/$defs/nowhere"}, "leads nowhere"),
    ],
    ids=str,
)
def test_what_structured_output_cannot_do_is_refused_by_name(schema, says):
    with pytest.raises(UnsupportedError, match=says):
        strict(one(schema))


def test_a_schema_that_holds_itself_is_refused():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}

    with pytest.raises(UnsupportedError, match=r"holds itself \(#/\$defs/node\)"):
        strict(one({"$ref": "#/$defs/node"}, **{"$defs": {"node": node}}))


def test_definitions_that_are_followed_stay():
    schema = one({"$ref": "#/$defs/colour"}, **{"$defs": {"colour": {"enum": ["red", "blue"]}}})

    assert strict(schema).schema["$defs"] == {"colour": {"enum": ["red", "blue"]}}
    check_strict(strict(schema).schema)


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({f"p{n}": {"type": "string"} for n in range(25)}, "25 properties are not required"),
        ({f"p{n}": {"type": ["string", "null"]} for n in range(17)}, "17 values may be of several types"),
    ],
    ids=["optional", "unions"],
)
def test_too_much_choice_is_refused_here_as_it_is_there(properties, says):
    required = list(properties) if "17" in says else []
    schema = {"type": "object", "properties": properties, "required": required}

    with pytest.raises(UnsupportedError, match=says):
        strict(schema)
    closed = {**schema, "additionalProperties": False}
    with pytest.raises(RefusedError, match="inefficient"):
        check_strict(closed)


leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "maxLength": 40},
        {"type": "integer", "minimum": 3, "maximum": 9},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "string", "enum": ["a", "b", "c"]},
        {"type": ["integer", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
        {"const": "x"},
    ]
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "minItems": 1}, inner),
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)},
            st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(schemas, st.integers(0, 2**64 - 1))
def test_what_is_told_is_taken_by_the_service_and_what_fits_there_fits_here(schema, draw):
    import json

    whole = one(schema)
    answer = instance(check_strict(strict(whole).schema), draw)

    assert SchemaJudge(whole).problem(json.dumps(answer)) is None
