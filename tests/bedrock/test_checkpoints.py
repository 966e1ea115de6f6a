"""Cache checkpoints: where they stand in a body, and what the prefixes before them are."""

import json

from batchrun.bedrock.body import Sampling, converse_arguments, invoke_body
from batchrun.bedrock.checkpoints import Checkpoints, Prefixes, surely_short, text_tokens
from batchrun.records import Message, Prompt

FIVE, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
POINT = {"cachePoint": {"type": "default"}}
TOOL = {"name": "look", "description": "Look.", "input_schema": {"type": "object"}}
TURNS = tuple(Message("user" if place % 2 == 0 else "assistant", f"turn {place}") for place in range(5))
ALL = Checkpoints(system=True, tools=True, messages=2, ttl="1h")


def asked(cache, prompt=None):
    sampling = Sampling(100, tools=(TOOL, {**TOOL, "name": "ask"}), cache=cache)
    return json.loads(invoke_body(prompt or Prompt("Be brief.", TURNS), sampling))


def keys(prompt, cache=ALL, tools=(TOOL,)):
    return [prefix.key for prefix in Prefixes(cache, tools).of(prompt)]


def test_each_part_ends_at_a_checkpoint_of_the_ttl():
    body = asked(ALL)

    assert [tool.get("cache_control") for tool in body["tools"]] == [None, HOUR]
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": HOUR}]
    assert [message["content"] for message in body["messages"]] == [
        "turn 0",
        [{"type": "text", "text": "turn 1", "cache_control": HOUR}],
        "turn 2",
        "turn 3",
        "turn 4",
    ]


def test_five_minutes_are_said_by_the_mark_alone():
    assert asked(Checkpoints(system=True))["system"][0]["cache_control"] == FIVE


def test_without_a_cache_a_body_is_as_it_was():
    body = asked(Checkpoints())

    assert body["system"] == "Be brief."
    assert "cache_control" not in json.dumps(body)


def test_all_turns_before_the_users_last_are_kept_also_before_a_prefill():
    prefilled = Prompt(None, (*TURNS, Message("assistant", "{")))
    for prompt in (Prompt(None, TURNS), prefilled):
        messages = asked(Checkpoints(messages=True), prompt)["messages"]
        marks = [place for place, message in enumerate(messages) if not isinstance(message["content"], str)]

        assert marks == [3]


def test_a_row_with_no_turn_beyond_those_kept_has_no_checkpoint_in_them():
    assert "cache_control" not in json.dumps(asked(Checkpoints(messages=5)))
    assert "cache_control" not in json.dumps(asked(Checkpoints(messages=True), Prompt(None, TURNS[:1])))


def test_converse_gets_a_cache_point_behind_each_part():
    cache = Checkpoints(system=True, tools=True, messages=2)
    arguments = converse_arguments(Prompt("Be brief.", TURNS), Sampling(100, tools=(TOOL,), cache=cache))

    assert arguments["system"] == [{"text": "Be brief."}, POINT]
    assert arguments["toolConfig"]["tools"][1:] == [POINT]
    assert arguments["messages"][1]["content"] == [{"text": "turn 1"}, POINT]
    assert [len(message["content"]) for message in arguments["messages"]] == [1, 2, 1, 1, 1]


def test_a_prefix_is_the_same_for_rows_that_share_all_before_it():
    first = keys(Prompt("Be brief.", TURNS))
    other_question = keys(Prompt("Be brief.", (*TURNS[:4], Message("user", "another"))))
    other_turn = keys(Prompt("Be brief.", (*TURNS[:1], Message("assistant", "no"), *TURNS[2:])))
    other_system = keys(Prompt("Be kind.", TURNS))
    other_tools = keys(Prompt("Be brief.", TURNS), tools=({**TOOL, "name": "ask"},))

    assert len(set(first)) == 3
    assert other_question == first
    assert (other_turn[:2], other_turn[2] != first[2]) == (first[:2], True)
    assert (other_system[0], set(other_system[1:]) & set(first)) == (first[0], set())
    assert set(other_tools) & set(first) == set()


def test_what_is_one_text_elsewhere_is_another_prefix():
    together = keys(Prompt("ab", TURNS), Checkpoints(system=True), ({"name": "x"},))
    apart = keys(Prompt("b", TURNS), Checkpoints(system=True), ({"name": "x"}, {"a": 1}))

    assert together != apart


def test_a_prefix_has_no_more_tokens_than_bytes_and_grows_from_part_to_part():
    prefixes = Prefixes(ALL, (TOOL,)).of(Prompt("Sei kurz, bitte. 请简短。" * 50, TURNS))

    assert [one.tokens for one in prefixes] == sorted(one.tokens for one in prefixes)
    assert [one.size_bytes for one in prefixes] == sorted(one.size_bytes for one in prefixes)
    assert prefixes[-1].tokens - prefixes[0].tokens <= prefixes[-1].size_bytes - prefixes[0].size_bytes


def test_characters_outside_ascii_are_a_token_each():
    assert text_tokens("a" * 3_500) == 1_000
    assert text_tokens("请" * 1_000) == 1_000


def test_a_prefix_is_surely_short_where_fifteen_per_cent_more_are_too_few():
    assert surely_short(3_561, 4_096)  # 3,561 × 1.15 = 4,095
    assert not surely_short(3_562, 4_096)
