"""A row's own conversation: what its turns may hold, and what is refused by name."""

import json

import pytest

from batchrun.bedrock.turns import Turns, turns_from
from batchrun.records import Message
from tests.pictures import png

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


USE = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"word": "fell"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "a hill"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": png()}}


def test_blocks_go_through_checked_and_images_are_told_by_their_bytes():
    turns = turns_from(
        [
            {"role": "user", "content": [IMAGE, {"text": "Hi", "type": "text", "id": None}]},
            {"role": "assistant", "content": [{**USE, "input": json.dumps(USE["input"])}]},
            {"role": "user", "content": [RESULT]},
        ]
    )

    image, text = turns.messages[0].content
    assert image["source"]["media_type"] == "image/png"
    assert text == {"type": "text", "text": "Hi"}
    assert (list(turns.messages[1].content), list(turns.messages[2].content)) == ([USE], [RESULT])
    assert turns.uses_tools
    assert [one.tokens for one in turns.images] == [11]


@pytest.mark.parametrize(
    ("role", "block", "says"),
    [
        ("user", 5, "block 0 is no table"),
        ("user", {"type": "document"}, "block 0 of type 'document': user messages take text, image, tool_result"),
        ("user", USE, "of type 'tool_use': user messages take"),
        ("assistant", RESULT, "of type 'tool_result': assistant messages take text, tool_use"),
        ("user", {"type": "text", "text": ""}, "has a text that is no text"),
        ("user", {**IMAGE, "source": {"data": "%"}}, "has data that is no base64"),
        ("user", {**IMAGE, "source": {"data": 5}}, "has data that is neither bytes nor base64"),
        ("user", {**IMAGE, "source": {"data": b"BM"}}, "is no image that Bedrock takes"),
        ("assistant", {**USE, "input": "[]"}, "has an input that is no object"),
        ("assistant", {**USE, "name": None}, "lacks or misplaces 'name'"),
        ("user", {**RESULT, "content": [USE]}, "holds another tool block"),
        ("user", {**RESULT, "content": [{"type": "text"}]}, "lacks or misplaces 'text'"),
    ],
    ids=str,
)
def test_a_block_that_cannot_be_sent_is_refused_with_its_place(role, block, says):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [block]}]
    given = turns if role == "assistant" else [{"role": "user", "content": [block]}]

    with pytest.raises(ValueError, match=says):
        turns_from(given)
