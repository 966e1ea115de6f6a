"""Keys that say what a request may hold: structured output, reasoning, tools, images, tier, guardrail, metadata."""

import json

import pytest

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}


def test_a_schema_may_stand_in_a_file(build, tmp_path):
    (tmp_path / "answer.json").write_text(json.dumps(SCHEMA))

    assert build(**{"generation.schema_file": "answer.json"}).generation.schema_ == SCHEMA


def test_a_schema_file_that_cannot_be_used_is_named(refusal, tmp_path):
    (tmp_path / "answer.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")

    lines = [refusal(**{"generation.schema_file": name}) for name in ("answer.json", "list.json", "none.json")]

    assert [len(line) for line in lines] == [1, 1, 1]
    assert "is not JSON: Expecting property name" in lines[0][0]
    assert "must be a JSON Schema" in lines[1][0]
    assert "no such file" in lines[2][0]
    assert all(line.startswith("x.toml: generation.schema_file = ") for [line] in lines)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"generation.schema": {"type": "object"}},
            'generation.schema: must describe an object: type = "object" and at least one of properties',
        ),
        (
            {"generation.schema": SCHEMA, "prompt.prefill": "{"},
            "generation.schema: goes without prompt.prefill: the schema begins the answer",
        ),
        ({"generation.thinking_budget_tokens": 1_023}, "generation.thinking_budget_tokens = 1023: must be ≥ 1024"),
        (
            {"generation.thinking_budget_tokens": 2_048},
            "generation.thinking_budget_tokens = 2048: must be < generation.max_tokens = 512: what is left of it is "
            "for the answer",
        ),
        (
            {
                "generation.max_tokens": "auto",
                "generation.max_tokens_ceiling": 2_048,
                "generation.thinking_budget_tokens": 2_048,
            },
            "generation.thinking_budget_tokens = 2048: must be < generation.max_tokens_ceiling = 2048: what is left "
            "of it is for the answer",
        ),
        (
            {
                "generation.max_tokens": 4_096,
                "generation.thinking_budget_tokens": 2_048,
                "generation.temperature": 0.2,
            },
            "generation.thinking_budget_tokens = 2048: goes only with generation.temperature left out or 1",
        ),
        (
            {"generation.max_tokens": 4_096, "generation.thinking_budget_tokens": 2_048, "generation.top_p": 0.9},
            "generation.thinking_budget_tokens = 2048: goes only with generation.top_p left out or ≥ 0.95",
        ),
        (
            {"generation.max_tokens": 4_096, "generation.thinking_budget_tokens": 2_048, "prompt.prefill": "{"},
            "generation.thinking_budget_tokens = 2048: goes without prompt.prefill: reasoning begins the answer",
        ),
        (
            {
                "generation.max_tokens": 4_096,
                "generation.thinking_budget_tokens": 2_048,
                "generation.schema": SCHEMA,
                "model.api": "converse",
            },
            'model.api = "converse": cannot carry generation.schema with thinking_budget_tokens: Converse gets the '
            'schema as a forced tool, and the model does not reason before one; use api = "invoke"',
        ),
        (
            {"generation.keep_thinking": True},
            "generation.keep_thinking = true: has no effect without generation.thinking_budget_tokens",
        ),
        (
            {"prompt.tools": [{"name": "look up", "input_schema": {"type": "object"}}]},
            "prompt.tools[0].name = (7 characters): must be 1 to 64 letters, digits, '_' or '-'",
        ),
        (
            {"prompt.tools": [{"name": "give_answer", "input_schema": {"type": "object"}}]},
            "prompt.tools[0].name = (11 characters): is taken: choose another name",
        ),
        ({"prompt.tools": [{"name": "a"}]}, "prompt.tools[0].input_schema: required"),
        (
            {"prompt.tools": [{"name": "a", "input_schema": {"type": "string"}}]},
            'prompt.tools[0].input_schema: must be a JSON Schema with type = "object"',
        ),
        (
            {"prompt.tools": [{"name": "a", "input_schema": {"type": "object", "anyOf": []}}]},
            "prompt.tools[0].input_schema: takes no anyOf beside type",
        ),
        (
            {"prompt.tools": [{"name": "a", "input_schema": {"type": "object"}}] * 2},
            "prompt.tools = (2 tables): names a more than once",
        ),
        (
            {"prompt.tools": [{"name": "a", "input_schema": {"type": "object"}}], "generation.schema": SCHEMA},
            "generation.schema: goes without prompt.tools: an answer is a tool call or fits the schema",
        ),
        ({"prompt.images": "photo"}, "prompt.images = (5 characters): must be a list"),
        (
            {"model.service_tier": "flex", "model.api": "converse"},
            'model.service_tier = "flex": cannot go with api = "converse": the SDK\'s Converse knows no tier; '
            'use api = "invoke"',
        ),
        (
            {"model.service_tier": "cheap"},
            'model.service_tier = "cheap": must be "default", "priority", "flex" or "reserved"',
        ),
        (
            {"model.guardrail_id": "abc123"},
            'model.guardrail_version: required with model.guardrail_id, for example guardrail_version = "1"',
        ),
        (
            {"model.guardrail_version": "1"},
            'model.guardrail_version = "1": has no effect without model.guardrail_id',
        ),
        (
            {"model.guardrail_id": "Mine!", "model.guardrail_version": "1"},
            'model.guardrail_id = "Mine!": must be an ID such as "gr1abc2def3g" or the ARN of a guardrail',
        ),
        (
            {"model.guardrail_id": "abc123", "model.guardrail_version": "latest"},
            'model.guardrail_version = "latest": must be a number in quotes such as "1", or "DRAFT"',
        ),
        (
            {"model.request_metadata": {f"t{n}": "x" for n in range(17)}},
            "model.request_metadata: must hold at most 16 tags",
        ),
        (
            {"model.request_metadata": {"team": "Grüße"}},
            "model.request_metadata: takes letters, digits, blanks and :_@$#=/+,.- in keys and values, at most 256 "
            "each",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(refusal, keys, line):
    assert refusal(**keys) == [f"x.toml: {line}"]


def test_reasoning_goes_with_a_temperature_of_one(build):
    keys = {"generation.max_tokens": 4_096, "generation.thinking_budget_tokens": 2_048, "generation.temperature": 1}

    assert build(**keys).generation.thinking_budget_tokens == 2_048
