"""Whole runs with reasoning, tiers, tags and guardrails: what is asked, what is paid, what the result says."""

import json

import pytest

from batchrun.errors import InputError
from batchrun.planning import plan
from tests.run.rehearsal import job, numbered, rehearse

GUARDED = {"guardrail_id": "abc123", "guardrail_version": "1"}


def thinking(folder, prompts, api="invoke", **generation):
    told = {"max_tokens": 2_000, "thinking_budget_tokens": 1_024, **generation}
    return job(folder, prompts, generation=told, model={"api": api})


# Reasoning


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_reasoning_is_paid_as_output_and_kept_if_asked_for(tmp_path, api):
    prompt = ["Add. [[thinking_tokens=300]] [[output_tokens=50]]"]

    kept = rehearse(thinking(tmp_path, prompt, api, keep_thinking=True)).row(0)

    assert kept["output_tokens"] == 350
    assert kept["thinking"].split()[:2] == ["[emulated]", "thinking"]
    assert kept["text"].startswith("[emulated] Add.")
    assert "thinking thinking" not in kept["text"]
    assert list(kept).index("thinking") == list(kept).index("text") + 1


def test_reasoning_is_no_column_unless_asked_for(tmp_path):
    assert "thinking" not in rehearse(thinking(tmp_path, ["Add."])).row(0)


def test_the_budget_stays_inside_what_a_call_holds(tmp_path):
    ended = rehearse(thinking(tmp_path, ["Add."]))

    [book] = ended.stats["pools"].values()
    assert book["largest_hold_tokens"] == ended.row(0)["input_tokens"] + 2_000


def test_with_auto_no_call_has_less_than_the_budget(tmp_path):
    spec = thinking(tmp_path, numbered(150, "Add. [[thinking_tokens=20]]"), max_tokens="auto", max_tokens_ceiling=8_000)

    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"ok": 150}
    assert ended.stats["refused"] == {}
    assert ended.summary["max_tokens"]["learnt"] > 1_024


def test_an_output_may_not_go_on_with_another_budget(tmp_path):
    rehearse(thinking(tmp_path, ["Add."]))

    with pytest.raises(InputError, match=r"generation\.thinking_budget_tokens: was 1024, is 1500"):
        rehearse(thinking(tmp_path, ["Add."], thinking_budget_tokens=1_500))


def test_reasoning_goes_with_structured_output(tmp_path):
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}

    row = rehearse(thinking(tmp_path, ["Add."], schema=schema, keep_thinking=True)).row(0)

    assert row["answer"] == json.loads(row["text"])
    assert row["thinking"].startswith("[emulated]")


# Tier, tags, guardrail


def test_the_tier_that_came_back_is_in_the_result(tmp_path):
    ended = rehearse(job(tmp_path, ["Hi"], model={"service_tier": "reserved"}))

    assert ended.row(0)["service_tier"] == "reserved"


def test_a_tier_that_the_card_does_not_have_is_named_by_plan(tmp_path):
    warnings = plan(job(tmp_path, ["Hi"], model={"service_tier": "flex"}))["warnings"]

    assert 'model.service_tier = "flex": claude-haiku-4-5 has default, reserved by its card' in warnings


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_what_a_guardrail_blocks_is_refused_and_its_words_are_kept(tmp_path, api):
    prompts = ["Hi", "Hi [[guardrail=INTERVENED]]"]

    ended = rehearse(job(tmp_path, prompts, model={"api": api, **GUARDED}))

    assert [row["status"] for row in ended.rows()] == ["ok", "refused"]
    assert ended.row(1)["stop_reason"] == "guardrail_intervened"
    assert ended.row(1)["text"].startswith("[emulated] Sorry")


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_tags_are_on_every_call_and_may_change_between_starts(tmp_path, api):
    first = rehearse(
        job(tmp_path, numbered(3), model={"api": api, "request_metadata": {"run": "1"}}, limits={"rows": 2})
    )
    again = rehearse(job(tmp_path, numbered(3), model={"api": api, "request_metadata": {"run": "2"}}))

    assert first.stats["request_metadata"] == {'{"run": "1"}': 2}
    assert again.stats["request_metadata"] == {'{"run": "2"}': 1}
