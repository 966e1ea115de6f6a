"""What a call may ask for besides its prompt: boto3 and the Anthropic SDK get it, and what AWS refuses is refused."""

import json
import struct
from base64 import b64encode

import anthropic
import pytest
from anthropic import AnthropicBedrock, transform_schema
from emulated_calls import US_ID, begun, converse_fields, invoke, invoke_fields, refused, told
from sdk_clients import boto_client

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock

SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "minimum": 1, "maximum": 5}, "label": {"enum": ["good", "bad"]}},
    "required": ["stars", "label"],
    "additionalProperties": False,
}
STRICT = transform_schema(SCHEMA)  # as Anthropic's SDK sends it
TOOL = {"name": "look_up", "description": "Looks a word up.", "input_schema": STRICT}


def png(width: int = 100, height: int = 80) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"


def image_block(data: bytes, kind: str = "png") -> dict:
    source = {"type": "base64", "media_type": f"image/{kind}", "data": b64encode(data).decode()}
    return {"type": "image", "source": source}


def looking(*blocks: dict) -> list[dict]:
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": "What is this?"}]}]


@pytest.fixture
def bedrock() -> Bedrock:
    return Bedrock(EmulatorSpec())


@pytest.fixture
def claude(start):
    """The Anthropic SDK's client, and the emulator that it talks to."""
    emulator = start()
    with AnthropicBedrock(
        aws_access_key="AKIDEXAMPLE",
        aws_secret_key="not-a-secret",
        aws_region="us-east-1",
        base_url=emulator.url,
        max_retries=0,
    ) as client:
        yield client, emulator


def output_config(schema) -> dict:
    return {"format": {"type": "json_schema", "schema": schema}}


# Structured output


def fits(answer: dict) -> bool:
    return answer.keys() == SCHEMA["properties"].keys() and 1 <= answer["stars"] <= 5


def test_the_anthropic_sdk_gets_an_instance_of_the_schema(claude):
    client, _ = claude
    asked = {"model": US_ID, "max_tokens": 200, "messages": [{"role": "user", "content": "Judge."}]}

    first, again = (client.messages.create(**asked, output_config=output_config(STRICT)) for _ in range(2))

    assert fits(json.loads(first.content[0].text))
    assert first.content[0].text == again.content[0].text


def test_boto3_gets_an_instance_of_the_schema_by_both_apis(start):
    with boto_client(start().url) as client:
        body = json.dumps(invoke_fields("Judge.", output_config=output_config(STRICT)))
        invoked = json.loads(client.invoke_model(modelId=US_ID, body=body)["body"].read())
        tool = {"toolSpec": {"name": "answer", "inputSchema": {"json": SCHEMA}}}
        forced = {"tools": [tool], "toolChoice": {"tool": {"name": "answer"}}}
        conversed = client.converse(modelId=US_ID, **converse_fields("Judge.", toolConfig=forced))

    assert fits(json.loads(invoked["content"][0]["text"]))
    [block] = conversed["output"]["message"]["content"]
    assert fits(block["toolUse"]["input"])
    assert (block["toolUse"]["name"], conversed["stopReason"]) == ("answer", "tool_use")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({**STRICT, "additionalProperties": True}, "For 'object' type, 'additionalProperties' must be explicitly set"),
        (
            {**STRICT, "properties": {"stars": {"type": "number", "minimum": 1, "maximum": 5}}},
            "For 'number' type, properties minimum, maximum are not supported",
        ),
        (
            {**STRICT, "properties": {"a": {"type": "array", "maxItems": 3}}},
            "For 'array' type, property maxItems is not",
        ),
        ({**STRICT, "properties": {"a": {"type": "string", "format": "iri"}}}, "String format 'iri' is not supported"),
        ({**STRICT, "properties": {"a": {"oneOf": [{"type": "string"}]}}}, "'oneOf' is not supported"),
        ({**STRICT, "properties": {"a": {"type": "text"}}}, "Schema type 'text' is not supported"),
        ({**STRICT, "properties": {"a": {"$ref": "#/$defs/x"}}}, "Invalid $ref"),
        (
            {**STRICT, "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}},
            "Circular reference",
        ),
        (5, "Input should be an object"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_a_schema_that_structured_output_does_not_take_is_refused(bedrock, schema, words):
    status, kind, message = told(refused(bedrock, invoke(output_config=output_config(schema))))

    assert (status, kind) == (400, "ValidationException")
    assert words in message


def test_a_bound_as_the_service_has_been_seen_to_refuse_it(claude):
    client, _ = claude
    with pytest.raises(anthropic.BadRequestError, match="must be explicitly set to false"):
        client.messages.create(
            model=US_ID,
            max_tokens=10,
            messages=[{"role": "user", "content": "Judge."}],
            output_config=output_config({"type": "object", "properties": {}}),
        )


def test_structured_output_takes_no_prefill(bedrock):
    messages = [{"role": "user", "content": "Judge."}, {"role": "assistant", "content": "{"}]

    assert "prefilling" in told(refused(bedrock, invoke(messages=messages, output_config=output_config(STRICT))))[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"output_config": 5},
        {"output_config": {"format": 5}},
        {"output_config": {"format": {"type": "text"}}},
        {"tools": 5},
        {"tools": [5]},
        {"tools": [{"name": "a b", "input_schema": {"type": "object"}}]},
        {"tools": [{"name": "a"}]},
        {"tools": [TOOL, TOOL]},
        {"tool_choice": {"type": "tool", "name": "a"}},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "a"}},
        {"thinking": 5},
        {"thinking": {"type": "enabled"}},
        {"messages": looking({"type": "image"})},
        {"messages": looking({"type": "image", "source": 5})},
    ],
    ids=str,
)
def test_a_field_of_another_shape_is_refused_and_no_crash(bedrock, changes):
    assert told(refused(bedrock, invoke(**changes)))[:2] == (400, "ValidationException")


# Reasoning

REASONING = {"type": "enabled", "budget_tokens": 1_024}
HI = [{"role": "user", "content": "Hi"}]


def test_the_anthropic_sdk_gets_reasoning_before_the_answer(claude):
    client, _ = claude
    answer = client.messages.create(
        model=US_ID,
        max_tokens=2_000,
        thinking=REASONING,
        messages=[{"role": "user", "content": "Add. [[thinking_tokens=30]] [[output_tokens=10]]"}],
    )

    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert len(answer.content[0].thinking.split()) == 30
    assert answer.usage.output_tokens == 40


def test_boto3_gets_reasoning_by_converse(start):
    with boto_client(start().url) as client:
        answer = client.converse(
            modelId=US_ID,
            messages=[{"role": "user", "content": [{"text": "Add."}]}],
            inferenceConfig={"maxTokens": 2_000},
            additionalModelRequestFields={"thinking": REASONING},
        )

    reasoning, text = answer["output"]["message"]["content"]
    assert reasoning["reasoningContent"]["reasoningText"]["text"].startswith("[emulated]")
    assert text["text"].startswith("[emulated]")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled"),
        ({"top_p": 0.9}, "`top_p` must be greater than or equal to 0.95"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look_up"}},
            "Thinking may not be enabled when tool_choice forces tool use",
        ),
        ({"messages": [*HI, {"role": "assistant", "content": "A"}]}, "must start with a thinking block"),
        ({"max_tokens": 1_024}, "`max_tokens` must be greater than `thinking.budget_tokens`"),
    ],
)
def test_what_does_not_go_with_reasoning_is_refused_in_the_apis_words(bedrock, changes, words):
    call = invoke(**{"thinking": REASONING, "max_tokens": 2_000, **changes})

    assert words in told(refused(bedrock, call))[2]


# Tools


def test_the_anthropic_sdk_gets_a_tool_call(claude):
    client, _ = claude
    answer = client.messages.create(
        model=US_ID,
        max_tokens=200,
        tools=[TOOL],
        messages=[{"role": "user", "content": "Look. [[tool=look_up]]"}],
    )

    [block] = answer.content
    assert (answer.stop_reason, block.type, block.name) == ("tool_use", "tool_use", "look_up")
    assert fits(block.input)


def test_boto3_gets_a_tool_call_by_converse_and_may_answer_it(start):
    spec = {"toolSpec": {"name": "look_up", "inputSchema": {"json": STRICT}}}
    with boto_client(start().url) as client:
        asked = converse_fields("Look. [[tool=look_up]]", toolConfig={"tools": [spec]})
        first = client.converse(modelId=US_ID, **asked)
        used = first["output"]["message"]["content"][0]["toolUse"]
        result = {"toolUseId": used["toolUseId"], "content": [{"text": "a hill"}]}
        asked["messages"] += [
            first["output"]["message"],
            {"role": "user", "content": [{"toolResult": result}, {"text": "So?"}]},
        ]
        second = client.converse(modelId=US_ID, **asked)

    assert (first["stopReason"], second["stopReason"]) == ("tool_use", "end_turn")


def test_results_of_tools_want_the_tools_declared(bedrock):
    use = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "a hill"}
    messages = [*HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]

    assert "must define tools" in told(refused(bedrock, invoke(messages=messages)))[2]


# Images


def test_the_anthropic_sdk_and_boto3_send_images_and_pay_for_their_pixels(claude):
    client, emulator = claude
    answer = client.messages.create(model=US_ID, max_tokens=50, messages=looking(image_block(png(1_000, 750))))
    with boto_client(emulator.url) as boto:
        content = [{"image": {"format": "png", "source": {"bytes": png(1_000, 750)}}}, {"text": "What is this?"}]
        conversed = boto.converse(modelId=US_ID, messages=[{"role": "user", "content": content}])

    assert 1_000 < answer.usage.input_tokens < 1_020
    assert conversed["usage"]["inputTokens"] == answer.usage.input_tokens


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (image_block(b"BM"), "Could not process image"),
        (image_block(b""), "invalid base64 data"),
        (
            image_block(png(), "jpeg"),
            "specified using the image/jpeg media type, but the image appears to be a image/png",
        ),
        (image_block(png(), "bmp"), "Input should be 'image/png', 'image/jpeg'"),
        (image_block(png(8_001, 2)), "At least one of the image dimensions exceed max allowed size: 8000 pixels"),
        (image_block(png() + bytes(3_750_000)), "exceeds 3.75 MB maximum"),
        (image_block(png()[:18]), "Could not process image"),
        ({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}, "Input should be 'base64'"),
    ],
    ids=lambda value: str(value)[-50:],
)
def test_a_bad_image_is_refused(bedrock, block, words):
    status, kind, message = told(refused(bedrock, invoke(messages=looking(block))))

    assert (status, kind) == (400, "ValidationException")
    assert words in message


def test_more_images_than_a_request_takes_are_refused(bedrock):
    begun(bedrock, invoke(messages=looking(*[image_block(png())] * 20)))

    assert "too many images: 21 > 20" in told(refused(bedrock, invoke(messages=looking(*[image_block(png())] * 21))))[2]


# Tier, tags, guardrail


def test_boto3_names_a_guardrail_by_both_apis(start):
    named = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    with boto_client(start().url) as client:
        body = json.dumps(invoke_fields("Hi [[guardrail=INTERVENED]]"))
        invoked = json.loads(client.invoke_model(modelId=US_ID, body=body, **named)["body"].read())
        conversed = client.converse(
            modelId=US_ID, **converse_fields("Hi [[guardrail=INTERVENED]]", guardrailConfig=named)
        )

    assert invoked["amazon-bedrock-guardrailAction"] == "INTERVENED"
    assert conversed["stopReason"] == "guardrail_intervened"


def test_boto3_tags_a_conversation(start):
    emulator = start()
    with boto_client(emulator.url) as client:
        client.converse(modelId=US_ID, **converse_fields(requestMetadata={"team": "reviews"}))

    assert emulator.stats()["request_metadata"] == {'{"team": "reviews"}': 1}


def test_the_anthropic_sdk_asks_for_a_tier_by_header(claude):
    client, emulator = claude
    asked = {"model": US_ID, "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}

    answer = client.messages.with_raw_response.create(
        **asked, extra_headers={"X-Amzn-Bedrock-Service-Tier": "reserved"}
    )

    assert answer.headers["X-Amzn-Bedrock-Service-Tier"] == "reserved"
    with pytest.raises(anthropic.BadRequestError, match="'flex' is not supported for this model"):
        client.messages.create(**asked, extra_headers={"X-Amzn-Bedrock-Service-Tier": "flex"})
    assert emulator.stats()["service_tiers"] == {"reserved": 1}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-Amzn-Bedrock-Service-Tier": "cheap"}, "Member must satisfy enum value set"),
        ({"X-Amzn-Bedrock-GuardrailIdentifier": "abc"}, "must be provided together"),
        ({"X-Amzn-Bedrock-GuardrailVersion": "1"}, "must be provided together"),
        (
            {"X-Amzn-Bedrock-GuardrailIdentifier": "A B", "X-Amzn-Bedrock-GuardrailVersion": "1"},
            "guardrail identifier or version is invalid",
        ),
        ({"X-Amzn-Bedrock-Request-Metadata": "team"}, "must be a JSON object"),
        ({"X-Amzn-Bedrock-Request-Metadata": "{}"}, "must be a JSON object of 1 to 16"),
        ({"X-Amzn-Bedrock-Request-Metadata": '{"a": 1}'}, "not allowed"),
    ],
)
def test_what_is_wrongly_asked_of_the_service_is_refused(bedrock, headers, words):
    call = invoke()
    call = type(call)(call.raw_path, {**call.headers, **headers}, call.body)

    status, kind, message = told(refused(bedrock, call))

    assert (status, kind) == (400, "ValidationException")
    assert words in message
