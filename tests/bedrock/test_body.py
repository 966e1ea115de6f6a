"""Request bodies of both APIs from one form, answers read back, and what is refused as no answer."""

import json
from dataclasses import replace
from typing import Any

import pytest

from batchrun.bedrock.answers import MalformedAnswerError, read_converse_answer, read_invoke_answer
from batchrun.bedrock.body import Sampling, converse_arguments, invoke_body, resized
from batchrun.records import Message, Prompt, Request, Usage

PROMPT = Prompt("Be brief.", (Message("user", "Grüße, 世界"), Message("assistant", "{")))
SAMPLING = Sampling(max_tokens=256, temperature=0.0, top_p=None, stop_sequences=("END",))
PLAIN = Prompt(None, (Message("user", "?"),))


def test_an_invoke_body_holds_the_prompt_and_what_was_chosen():
    assert json.loads(invoke_body(PROMPT, SAMPLING)) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": "Grüße, 世界"}, {"role": "assistant", "content": "{"}],
        "system": "Be brief.",
        "temperature": 0.0,
        "stop_sequences": ["END"],
    }


@pytest.mark.parametrize("max_tokens", [1, 255, 64_000])
def test_a_request_with_another_max_tokens_is_as_if_it_had_been_made_with_it(max_tokens):
    request = Request(7, PROMPT, invoke_body(PROMPT, SAMPLING), 20, 256)
    other = resized(request, max_tokens)

    assert other.body == invoke_body(PROMPT, replace(SAMPLING, max_tokens=max_tokens))
    assert (other.row, other.prompt, other.input_tokens, other.max_tokens) == (7, PROMPT, 20, max_tokens)
    assert resized(other, 256) == request


def test_converse_takes_the_same_prompt_in_its_own_form():
    assert converse_arguments(PROMPT, SAMPLING) == {
        "messages": [
            {"role": "user", "content": [{"text": "Grüße, 世界"}]},
            {"role": "assistant", "content": [{"text": "{"}]},
        ],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 256, "temperature": 0.0, "stopSequences": ["END"]},
    }


def test_what_was_not_chosen_is_left_out():
    assert set(json.loads(invoke_body(PLAIN, Sampling(10)))) == {"anthropic_version", "max_tokens", "messages"}
    assert converse_arguments(PLAIN, Sampling(10))["inferenceConfig"] == {"maxTokens": 10}
    assert "system" not in converse_arguments(PLAIN, Sampling(10))


def test_top_p_has_each_apis_name():
    sampling = Sampling(10, top_p=0.5)

    assert json.loads(invoke_body(PLAIN, sampling))["top_p"] == 0.5
    assert converse_arguments(PLAIN, sampling)["inferenceConfig"]["topP"] == 0.5


def test_a_body_is_utf8_and_has_no_spaces_to_pay_for():
    body = invoke_body(PROMPT, SAMPLING)

    assert "Grüße, 世界".encode() in body
    assert b'": ' not in body


def test_a_lone_surrogate_cannot_be_sent():
    with pytest.raises(UnicodeEncodeError):
        invoke_body(Prompt(None, (Message("user", "\ud800"),)), Sampling(10))


def invoke_answer(**changes: Any) -> dict[str, Any]:
    usage = {"input_tokens": 11, "output_tokens": 7}
    return {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage} | changes


def converse_answer(**changes: Any) -> dict[str, Any]:
    usage = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
    message = {"role": "assistant", "content": [{"text": "Hi"}]}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage} | changes


def test_an_invoke_answer_is_read():
    completion = read_invoke_answer(json.dumps(invoke_answer()).encode())

    assert (completion.text, completion.stop_reason, completion.usage) == ("Hi", "end_turn", Usage(11, 7))


def test_a_converse_answer_is_read():
    completion = read_converse_answer(converse_answer())

    assert (completion.text, completion.stop_reason, completion.usage) == ("Hi", "end_turn", Usage(11, 7))


def test_cached_tokens_are_read_from_both():
    cached = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
    assert read_invoke_answer(json.dumps(invoke_answer(usage=cached)).encode()).usage == Usage(1, 2, 3, 4)
    cached = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 4}
    assert read_converse_answer(converse_answer(usage=cached)).usage == Usage(1, 2, 3, 4)


def test_text_blocks_are_joined_and_others_left_out():
    blocks = [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "…"}, {"type": "text", "text": "b"}]
    assert read_invoke_answer(json.dumps(invoke_answer(content=blocks)).encode()).text == "ab"
    message = {"content": [{"text": "a"}, {"reasoningContent": {}}, {"text": "b"}]}
    assert read_converse_answer(converse_answer(output={"message": message})).text == "ab"


def test_an_answer_may_be_empty():
    assert read_invoke_answer(json.dumps(invoke_answer(content=[])).encode()).text == ""


BAD_USAGE = [
    None,
    {},
    [],
    {"input_tokens": None, "output_tokens": 1},
    {"input_tokens": "11", "output_tokens": 7},
    {"input_tokens": 11, "output_tokens": -7},
    {"input_tokens": True, "output_tokens": 7},
    {"input_tokens": 11, "output_tokens": 7.5},
]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"text"',
        b"<html>",
        b"\xff\xfe",
        b'{"content": [',
        b"[" * 100_000,
        json.dumps(invoke_answer(content=None)).encode(),
        json.dumps(invoke_answer(content="Hi")).encode(),
        json.dumps(invoke_answer(content=[{"type": "text", "text": None}])).encode(),
        json.dumps(invoke_answer(stop_reason=None)).encode(),
        *(json.dumps(invoke_answer(usage=usage)).encode() for usage in BAD_USAGE),
    ],
    ids=lambda body: body[:40].decode(errors="replace") + f" ({len(body)})",
)
def test_a_200_without_an_answer_in_it_is_refused(body: bytes):
    with pytest.raises(MalformedAnswerError, match="Bedrock answered 200 without an answer in it"):
        read_invoke_answer(body)


@pytest.mark.parametrize(
    "answer",
    [
        {},  # what boto3 makes of a malformed body, without an exception
        converse_answer(output=None),
        converse_answer(output={"message": {"content": "Hi"}}),
        converse_answer(stopReason=None),
        converse_answer(usage={}),
        converse_answer(usage={"inputTokens": None, "outputTokens": 1}),
        converse_answer(usage={"inputTokens": 1, "outputTokens": -1}),
    ],
)
def test_a_converse_answer_without_an_answer_in_it_is_refused(answer: dict[str, Any]):
    with pytest.raises(MalformedAnswerError, match="Converse answered 200 without an answer in it"):
        read_converse_answer(answer)


def test_an_answer_of_a_guardrail_that_blocked_the_prompt_may_say_nothing_of_tokens():
    body = {"content": [{"type": "text", "text": "No."}], "amazon-bedrock-guardrailAction": "INTERVENED"}

    answer = read_invoke_answer(json.dumps(body).encode())

    assert (answer.text, answer.stop_reason, answer.usage) == ("No.", "guardrail_intervened", Usage())


def test_a_guardrail_that_did_nothing_leaves_the_stop_reason():
    body = invoke_answer(**{"amazon-bedrock-guardrailAction": "NONE"})

    assert read_invoke_answer(json.dumps(body).encode()).stop_reason == "end_turn"
