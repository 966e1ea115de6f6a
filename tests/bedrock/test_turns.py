"""A row's own conversation: what its turns may hold, and what is refused by name."""

import json

import pytest

from batchrun.bedrock.turns import Turns, turns_from
from batchrun.records import Message

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize("value", [TURNS, json.dumps(TURNS)], ids=["list", "JSON text"])
def test_a_messages_cell_is_a_list_or_its_json(value: object):
    assert turns_from(value) == Turns(None, (Message("user", "Hi"), Message("assistant", "Hello")), [])


def test_a_first_system_message_is_the_system_prompt():
    turns = turns_from([{"role": "system", "content": "Be brief."}, *TURNS])

    assert turns.system == "Be brief."
    assert turns.messages[0] == Message("user", "Hi")


def test_content_may_be_a_list_of_text_blocks():
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert turns_from([{"role": "user", "content": blocks}]).messages == (Message("user", "ab"),)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "non-empty list"),
        ([], "non-empty list"),
        ("{}", "non-empty list"),
        ("not JSON", "Expecting value"),
        ("[" * 100_000, "nested too deeply"),
        (["Hi"], "message 0 must have a role"),
        ([{"role": "tool", "content": "x"}], "message 0 must have a role"),
        ([{"role": "user", "content": None}], r"message 0 \(user\) has no text content"),
        ([{"role": "user", "content": ""}], "has no text content"),
        ([{"role": "user", "content": []}], "has no text content"),
        ([{"role": "user", "content": [{"type": "image"}]}], "block 0 of type 'image' lacks or misplaces 'source'"),
        ([{"role": "assistant", "content": "x"}], "must be the user's"),
        ([{"role": "system", "content": "x"}], "must be the user's"),
        ([*TURNS, {"role": "system", "content": "x"}], "only the first message may be a system message"),
    ],
)
def test_what_is_no_list_of_messages_is_refused_with_what_is_wrong(value: object, says: str):
    with pytest.raises(ValueError, match=says):
        turns_from(value)
