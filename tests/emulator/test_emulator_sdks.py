"""boto3, aioboto3 and the Anthropic SDK get from the emulator what they would get from AWS."""

import json

import aioboto3
import anthropic
import anyio
import botocore.exceptions
import pytest
from anthropic import Anthropic, AnthropicBedrock, AnthropicBedrockMantle
from emulated_calls import BASE_ID, GLOBAL_ID, US_ID, converse_fields, invoke_fields
from sdk_clients import KEYS, ONE_ATTEMPT, boto_client

from batchrun.emulator.faults import FAULTS

UNTYPED = {"overloaded_error": "529", "untyped-429": "429", "untyped-503": "503"}


def test_boto3_invokes(start):
    with boto_client(start().url) as client:
        answer = client.invoke_model(modelId=US_ID, body=json.dumps(invoke_fields()))
        body = json.loads(answer["body"].read())

    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert body["content"][0]["text"].startswith("[emulated] ")
    assert (body["type"], body["role"], body["stop_reason"]) == ("message", "assistant", "end_turn")
    assert headers["x-amzn-bedrock-input-token-count"] == str(body["usage"]["input_tokens"])
    assert headers["x-amzn-bedrock-output-token-count"] == str(body["usage"]["output_tokens"])
    assert headers["x-batchrun-emulator"] == "1"
    assert answer["ResponseMetadata"]["RequestId"].startswith("emulated-")


def test_boto3_converses(start):
    with boto_client(start().url) as client:
        answer = client.converse(modelId=GLOBAL_ID, **converse_fields())

    usage = answer["usage"]
    assert answer["output"]["message"]["content"][0]["text"].startswith("[emulated] ")
    assert answer["stopReason"] == "end_turn"
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert answer["metrics"]["latencyMs"] == 0


def test_boto3_counts_the_tokens_that_are_billed(start):
    with boto_client(start().url) as client:
        body = json.dumps(invoke_fields())
        counted = client.count_tokens(modelId=BASE_ID, input={"invokeModel": {"body": body}})["inputTokens"]
        billed = json.loads(client.invoke_model(modelId=US_ID, body=body)["body"].read())["usage"]["input_tokens"]

    assert counted == billed


def test_boto3_reaches_a_region_by_prefix_and_an_id_by_arn(start):
    emulator = start()
    arn = f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{GLOBAL_ID}"
    with boto_client(f"{emulator.url}/eu-west-1", "eu-west-1") as client:
        client.invoke_model(modelId=arn, body=json.dumps(invoke_fields()))

    assert list(emulator.stats()["pools"]) == ["eu-west-1/global"]


def test_boto3_signing_for_another_region_than_the_url_is_turned_away(start):
    with (
        boto_client(f"{start().url}/us-west-2", "us-east-1") as client,
        pytest.raises(botocore.exceptions.ClientError, match="InvalidSignatureException"),
    ):
        client.invoke_model(modelId=US_ID, body=json.dumps(invoke_fields()))


@pytest.mark.parametrize("kind", [kind for kind, fault in FAULTS.items() if fault.stage != "wire"])
def test_boto3_sees_every_error_of_the_table_with_its_code_and_status(start, kind):
    with boto_client(start().url) as client, pytest.raises(botocore.exceptions.ClientError) as caught:
        client.invoke_model(modelId=US_ID, body=json.dumps(invoke_fields(f"a [[fault={kind}]]")))

    response = caught.value.response
    code = UNTYPED.get(kind) or FAULTS[kind].error_type
    assert response["ResponseMetadata"]["HTTPStatusCode"] == FAULTS[kind].status
    assert response["Error"]["Code"] == code
    if kind not in UNTYPED:
        assert response["Error"]["Message"] == FAULTS[kind].message
        assert type(caught.value).__name__ in (code, "ClientError")  # a class of its own where the model has one


def test_boto3_raises_the_modelled_exception_for_a_throttle(start):
    with boto_client(start(tpm=100).url) as client, pytest.raises(client.exceptions.ThrottlingException) as caught:
        client.converse(modelId=US_ID, **converse_fields())

    assert caught.value.response["Error"]["Message"] == "Too many tokens, please wait before trying again."


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("reset", botocore.exceptions.ConnectionClosedError),
        ("cut", botocore.exceptions.ResponseStreamingError),
        ("hang", botocore.exceptions.ReadTimeoutError),
    ],
)
def test_boto3_sees_a_broken_wire(start, kind, error):
    emulator = start()
    with boto_client(emulator.url) as client, pytest.raises(error):
        client.invoke_model(modelId=US_ID, body=json.dumps(invoke_fields(f"a [[fault={kind}]]")))["body"].read()

    assert emulator.stats()["paid_calls"] == 1


@pytest.mark.parametrize("kind", ["garbage", "empty"])
def test_boto3_takes_a_malformed_200_on_converse_for_an_empty_answer(start, kind):
    with boto_client(start().url) as client:
        answer = client.converse(modelId=US_ID, **converse_fields(f"a [[fault={kind}]]"))

    assert answer.keys() == {"ResponseMetadata"}


def test_boto3_reads_garbage_that_is_not_json(start):
    with boto_client(start().url) as client:
        body = client.invoke_model(modelId=US_ID, body=json.dumps(invoke_fields("a [[fault=garbage]]")))["body"].read()

    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_aioboto3_invokes_in_many_regions_at_once(start):
    emulator = start()

    async def invoke(region: str) -> str:
        session = aioboto3.Session(**KEYS, region_name=region)
        async with session.client(
            "bedrock-runtime", endpoint_url=f"{emulator.url}/{region}", config=ONE_ATTEMPT
        ) as client:
            answer = await client.invoke_model(modelId=GLOBAL_ID, body=json.dumps(invoke_fields(region)))
            return json.loads(await answer["body"].read())["content"][0]["text"]

    async def run() -> list[str]:
        texts = []

        async def one(region: str) -> None:
            texts.append(await invoke(region))

        async with anyio.create_task_group() as group:
            for region in ("us-east-1", "eu-west-1", "ap-northeast-1"):
                group.start_soon(one, region)
        return texts

    assert all(text.startswith("[emulated] ") for text in anyio.run(run))
    assert len(emulator.stats()["pools"]) == 3


def anthropic_client(url: str) -> AnthropicBedrock:
    return AnthropicBedrock(
        base_url=url, aws_access_key="AKIDEXAMPLE", aws_secret_key="no", aws_region="us-east-1", max_retries=0
    )


def test_the_anthropic_sdk_creates_a_message(start):
    with anthropic_client(f"{start().url}/us-east-1") as client:
        message = client.messages.create(model=US_ID, max_tokens=64, messages=[{"role": "user", "content": "Hello"}])

    assert message.content[0].text.startswith("[emulated] ")
    assert message.usage.output_tokens > 0


def test_the_anthropic_sdk_takes_a_bearer_key(start):
    url = f"{start().url}/us-east-1"
    with AnthropicBedrock(base_url=url, api_key="a-key", aws_region="us-east-1", max_retries=0) as client:
        message = client.messages.create(model=US_ID, max_tokens=64, messages=[{"role": "user", "content": "Hello"}])

    assert message.stop_reason in ("end_turn", "max_tokens")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("ThrottlingException", anthropic.RateLimitError),
        ("ValidationException", anthropic.BadRequestError),
        ("AccessDeniedException", anthropic.PermissionDeniedError),
        ("InternalServerException", anthropic.InternalServerError),
    ],
)
def test_the_anthropic_sdk_raises_its_own_errors(start, kind, error):
    with anthropic_client(start().url) as client, pytest.raises(error):
        client.messages.create(
            model=US_ID, max_tokens=64, messages=[{"role": "user", "content": f"Hello [[fault={kind}]]"}]
        )


# The Messages API, on the runtime and on mantle

MANTLE_ID = "anthropic.claude-haiku-4-5"
SIGNING = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "no"}


def mantle_client(url: str, region: str = "us-east-1", **credentials: str) -> AnthropicBedrockMantle:
    return AnthropicBedrockMantle(
        base_url=f"{url}/{region}/anthropic", aws_region=region, max_retries=0, **(credentials or SIGNING)
    )


def runtime_client(url: str) -> Anthropic:
    return Anthropic(base_url=f"{url}/us-east-1/anthropic", auth_token="a-key", max_retries=0)


def hello(client, model=MANTLE_ID, text="Hello", **changes):
    return client.messages.create(
        model=model, messages=[{"role": "user", "content": text}], **{"max_tokens": 64, **changes}
    )


@pytest.mark.parametrize("credentials", [SIGNING, {"api_key": "a-key"}], ids=["signed", "bearer"])
def test_the_anthropic_sdk_creates_a_message_on_mantle_from_its_own_pool(start, credentials):
    emulator = start()
    with mantle_client(emulator.url, **credentials) as client:
        message = hello(client)

    pool = emulator.stats()["pools"]["us-east-1/mantle"]
    assert message.content[0].text.startswith("[emulated] ")
    assert pool["settled_tokens"] == message.usage.input_tokens + message.usage.output_tokens


def test_the_anthropic_sdk_gets_a_message_from_the_runtime_by_an_inference_id(start):
    emulator = start()
    with runtime_client(emulator.url) as client:
        message = hello(client, US_ID)

    pool = emulator.stats()["pools"]["us-east-1/geo"]
    assert pool["settled_tokens"] == message.usage.input_tokens + 5 * message.usage.output_tokens


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"model": US_ID}, anthropic.NotFoundError, "does not exist"),
        ({"model": BASE_ID}, anthropic.NotFoundError, "does not exist"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "greater than or equal to 1"),
        ({"text": "a [[fault=ThrottlingException]]"}, anthropic.RateLimitError, "Too many tokens"),
        ({"text": "a [[fault=overloaded_error]]"}, anthropic.APIStatusError, "Overloaded"),
        ({"text": "a [[fault=ExpiredTokenException]]"}, anthropic.AuthenticationError, "expired"),
        ({"text": "a [[fault=AccessDeniedException]]"}, anthropic.PermissionDeniedError, "access to the model"),
        ({"extra_body": {"output_config": {"format": {}}}}, anthropic.BadRequestError, "output_config: Extra inputs"),
        ({"extra_body": {"anthropic_version": "bedrock-2023-05-31"}}, anthropic.BadRequestError, "extraneous key"),
    ],
)
def test_mantle_refuses_what_aws_would_in_anthropics_words(start, changes, error, says):
    with mantle_client(start().url) as client, pytest.raises(error, match=says) as caught:
        hello(client, **changes)

    assert caught.value.body["type"] == "error"


def test_a_region_without_mantle_has_none(start):
    with (
        mantle_client(start().url, "us-west-2") as client,
        pytest.raises(anthropic.NotFoundError, match="no bedrock-mantle in us-west-2"),
    ):
        hello(client)


def test_a_message_without_a_version_is_refused(start):
    with (
        runtime_client(start().url) as client,
        pytest.raises(anthropic.BadRequestError, match="anthropic-version: header is required"),
    ):
        hello(client, US_ID, extra_headers={"anthropic-version": anthropic.omit})
