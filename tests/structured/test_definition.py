"""A job's schema is checked when the job is read, and says where it is wrong."""

import subprocess
import sys

import pytest

from batchrun.structured.definition import NOT_INSTALLED, check_schema, schema_in

RIGHT = {"type": "object", "properties": {"stars": {"type": "integer", "minimum": 1}}, "required": ["stars"]}


def nested(depth: int) -> dict:
    schema: dict = {"type": "object", "properties": {"a": {"type": "string"}}}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_a_right_schema_comes_back():
    assert check_schema(RIGHT) is RIGHT


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (5, "must be a JSON Schema"),
        ({"type": "array", "items": {}}, "must describe an object"),
        ({"type": "object"}, "at least one of properties"),
        ({"type": "object", "properties": {}}, "at least one of properties"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "properties.a.type: 'strin'"),
        ({"type": "object", "properties": {"a": {"minimum": "5"}}}, "properties.a.minimum"),
        ({"type": "object", "properties": {"a": {"$ref": "https://x/y"}}}, r'properties.a.\$ref = "https://x/y" leads'),
        ({"type": "object", "properties": {"\ud800": {"type": "string"}}}, "holds what JSON cannot"),
        ({"type": "object", "properties": {"a": {"maximum": float("inf")}}}, "holds what JSON cannot"),
        (nested(40), "nested more than 32 deep"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_schema_is_refused_with_where_and_why(schema, says):
    with pytest.raises(ValueError, match=says):
        check_schema(schema)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON: Expecting property name .* at line 1, column 2"),
        ("", "is not JSON: Expecting value"),
        ('{"a": NaN}', "holds NaN, which is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=["cut", "empty", "NaN", "deep"],
)
def test_a_schema_file_that_is_no_json_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        schema_in(text)


def test_a_missing_package_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(ValueError, match=r"pip install 'batchrun\[schema\]'") as refusal:
        check_schema(RIGHT)
    assert str(refusal.value) == NOT_INSTALLED


def test_a_job_without_a_schema_needs_no_jsonschema():
    program = "import sys; sys.modules['jsonschema'] = None; import batchrun.assembly, batchrun.planning, batchrun.cli"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
