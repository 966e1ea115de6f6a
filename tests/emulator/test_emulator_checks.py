"""Each check of a body: what AWS refuses, this refuses in about the same words."""

import json
import struct
from base64 import b64encode

import pytest
from emulated_calls import US_ID, begun, converse_fields, invoke, invoke_fields, post, refused, signed, told

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock, Call

PNG = {
    "media_type": "image/png",
    "data": b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 2_000, 2_000)).decode(),
}
USER = {"role": "user", "content": "hi"}
BLOCK_USER = {"role": "user", "content": [{"text": "hi"}]}


@pytest.fixture
def bedrock():
    return Bedrock(EmulatorSpec())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"anthropic_version": None}, "anthropic_version: Field required"),
        ({"anthropic_version": "1"}, "anthropic_version: Input should be 'bedrock-2023-05-31'"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": 64_001}, "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, 'first message must use the "user" role'),
        ({"messages": [USER, USER]}, 'multiple "user" roles in a row'),
        ({"messages": [{"role": "system", "content": "hi"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "user", "content": ""}]}, "text content blocks must contain non-whitespace text"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0: all messages must have non-empty content"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Input should be a valid list"),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "messages.0.content.0.type: Field required"),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "messages.0.content.0.type: Input should"),
        ({"messages": [USER, {"role": "assistant", "content": "{ "}]}, "cannot end with trailing whitespace"),
        ({"temperature": 0.5, "top_p": 0.5}, "`temperature` and `top_p` cannot both be specified for this model."),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"stop_sequences": "END"}, "stop_sequences: Input should be a valid list of strings"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "`max_tokens` must be greater than"),
        ({"colour": "red"}, "#: extraneous key [colour] is not permitted"),
        ({"model": US_ID}, "#: extraneous key [model] is not permitted"),
    ],
)
def test_a_wrong_invoke_body_is_refused_by_name(bedrock, changes, words):
    status, error_type, message = told(refused(bedrock, invoke(**changes)))

    assert (status, error_type) == (400, "ValidationException")
    assert words in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [BLOCK_USER, BLOCK_USER]}, "roles must alternate"),
        ({"messages": [USER]}, "messages.0.content: Input should be a valid list"),
        ({"system": "be brief"}, "system: Input should be a valid list"),
        ({"inferenceConfig": {"maxTokens": 64_001}}, "64001 > 64000"),
        ({"inferenceConfig": {"temperature": 1, "topP": 1}}, "cannot both be specified"),
        ({"inferenceConfig": {"max_tokens": 5}}, "extraneous key [max_tokens]"),
        ({"max_tokens": 5}, "extraneous key [max_tokens]"),
    ],
)
def test_a_wrong_converse_body_is_refused_by_name(bedrock, changes, words):
    status, error_type, message = told(refused(bedrock, post("converse", converse_fields(**changes))))

    assert (status, error_type) == (400, "ValidationException")
    assert words in message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"hi"', b"\xff\xfe{}", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_malformed(bedrock, body):
    reply = refused(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", signed(), body))

    assert told(reply)[2] == "Malformed input request, please reformat your input and try again."


def test_a_body_above_the_cards_limit_is_too_long(bedrock):
    body = json.dumps(invoke_fields("x" * 25_000_000)).encode()
    reply = refused(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", signed(), body))

    assert told(reply)[2].startswith("Input is too long for requested model")


def test_everything_a_right_body_may_hold_is_let_through(bedrock):
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Look:", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", **PNG}}]},
    ]
    call = invoke(
        messages=messages,
        system=[{"type": "text", "text": "Be brief."}],
        temperature=1,
        stop_sequences=["END"],
        tools=[{"name": "a", "input_schema": {"type": "object"}}],
        thinking={"type": "enabled", "budget_tokens": 1_024},
        max_tokens=2_000,
    )

    assert begun(bedrock, call).prompt.input_tokens > 1_600  # the image alone


def test_a_prefill_is_let_through(bedrock):
    messages = [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "{"}]

    begun(bedrock, invoke(messages=messages, temperature=0))


@pytest.mark.parametrize("fields", [{}, {"input": {}}, {"input": {"invokeModel": {"body": "%"}}}, {"input": 5}])
def test_a_wrong_request_to_count_tokens_is_malformed(bedrock, fields):
    assert told(refused(bedrock, post("count-tokens", fields, US_ID[3:])))[:2] == (400, "ValidationException")
