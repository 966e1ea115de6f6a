"""The column of a schema, and that no answer whatsoever breaks the part that holds it."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.structured.column import AnswerColumn
from batchrun.structured.judge import SchemaJudge

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"]},
        "stars": {"type": "integer"},
        "score": {"type": "number"},
        "sure": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "seller": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "ids": {"type": "array", "items": {"type": "integer"}}},
        },
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "level": {"enum": [1, "top"]},
    },
    "required": ["label"],
}
COLUMN = AnswerColumn(SCHEMA)


def test_each_type_of_json_has_its_type_of_arrow():
    assert COLUMN.type == pa.struct(
        [
            ("label", pa.string()),
            ("stars", pa.int64()),
            ("score", pa.float64()),
            ("sure", pa.bool_()),
            ("note", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("seller", pa.struct([("name", pa.string()), ("ids", pa.list_(pa.int64()))])),
            ("either", pa.string()),
            ("map", pa.string()),
            ("level", pa.string()),
        ]
    )
    assert all(field.nullable for field in COLUMN.type)


def test_what_has_no_type_of_its_own_is_json_text_and_named():
    assert COLUMN.as_text == ["answer.either", "answer.map", "answer.level"]
    [cell] = COLUMN.array(['{"label": "good", "either": "é", "map": {"a": 1}, "level": 1}']).to_pylist()
    assert (cell["either"], cell["map"], cell["level"]) == ('"é"', '{"a": 1}', "1")


def test_an_answer_becomes_its_cell_and_what_it_lacks_is_null():
    answer = {"label": "bad", "stars": 5.0, "score": 3, "tags": ["a", None], "seller": {"ids": [1]}, "sure": True}

    assert COLUMN.array([json.dumps(answer), None]).to_pylist() == [
        {
            "label": "bad",
            "stars": 5,
            "score": 3.0,
            "sure": True,
            "note": None,
            "tags": ["a", None],
            "seller": {"name": None, "ids": [1]},
            "either": None,
            "map": None,
            "level": None,
        },
        None,
    ]


@pytest.mark.parametrize(
    "answer",
    [
        '{"stars": 9223372036854775808}',
        '{"stars": 1e300}',
        '{"score": 1e999}',
        '{"score": NaN}',
        '{"score": 1' + "0" * 400 + "}",
        '{"stars": 1' + "0" * 5_000 + "}",
        '{"map": ' + '{"a":' * 50_000,
        '{"map": ' + '{"a":' * 900 + "1" + "}" * 901,
        '{"label": "\\ud800"}',
        '{"stars": true}',
        '{"tags": {}}',
        '{"seller": []}',
        "[]",
        "7",
        "",
        "\x00",
    ],
    ids=lambda text: text[:30],
)
def test_no_answer_breaks_the_part(answer):
    array = COLUMN.array([answer, '{"label": "good"}'])

    array.validate(full=True)
    assert array[1].as_py()["label"] == "good"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ('{"label": "good"}', None),
        ('{"label": "good", "more": "than asked"}', None),
        ("", "empty, not JSON"),
        ('{"label"', "not JSON: Expecting ':' delimiter at character 8"),
        ('{"label": "ugly"}', 'answer.label does not fit enum = ["good", "bad"]'),
        ("{}", "answer lacks label"),
        ('{"label": "good", "stars": "5"}', 'answer.stars does not fit type = "integer"'),
        ('{"label": "good", "tags": ["a", 5]}', 'answer.tags[1] does not fit type = "string"'),
        ('{"label": "good", "map": {"a secret": "x"}}', 'answer.map does not fit type = "integer"'),
        ('{"label": "good", "stars": 9223372036854775808}', "a value of the answer does not fit into 64 bits"),
        ('{"label": "good", "score": 1e999}', "a value of the answer is larger than a double can be"),
        ('{"label": "good", "score": NaN}', "a value of the answer is NaN, which is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=lambda text: str(text)[:30],
)
def test_an_answer_is_judged_in_words_that_hold_nothing_of_it(answer, problem):
    assert SchemaJudge(SCHEMA).problem(answer) == problem


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(SCHEMA["properties"])), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(anything)
def test_whatever_the_judge_lets_through_is_a_cell_and_nothing_else_raises(value):
    answer = json.dumps(value)
    problem = SchemaJudge(SCHEMA).problem(answer)
    [cell] = COLUMN.array([answer]).to_pylist()

    assert problem is not None or cell is not None
