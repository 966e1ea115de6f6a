"""The SDK transport against the emulator over HTTP: answers, every fault as the SDK reports it, and credentials."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import web

from batchrun.bedrock.body import Sampling, invoke_body, resized
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.faults import Action, Fault
from batchrun.bedrock.sdk import SdkTransport, Wire, read_timeout_s
from batchrun.emulator import faults as emulator_faults
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.errors import AccessError
from batchrun.records import Completion, Message, Prompt, Request

US = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SAMPLING = Sampling(max_tokens=100, temperature=0.0)
WIRE = Wire("invoke", SAMPLING, connections=16)
pytestmark = pytest.mark.anyio


def request(text: str = "Say hello. [[output_tokens=12]]", row: int = 0) -> Request:
    prompt = Prompt("Be brief.", (Message("user", text),))
    return Request(row, prompt, invoke_body(prompt, SAMPLING), 20, SAMPLING.max_tokens)


@asynccontextmanager
async def emulator(**keys: Any) -> AsyncIterator[Emulator]:
    async with serve(EmulatorSpec(**{"latency_s": 0, "latency_per_token_s": 0, **keys})) as started:
        yield started


def at(started: Emulator) -> Access:
    return Access(endpoint_url=f"{started.url}/{{region}}")


@pytest.mark.parametrize("api", ["invoke", "converse"])
async def test_both_apis_bring_the_same_answer(api: str) -> None:
    async with emulator() as started, SdkTransport(at(started), Wire(api, SAMPLING, 16)) as transport:
        answer = await transport.send(US, "us-east-1", request())

    assert isinstance(answer, Completion)
    assert answer.text.startswith("[emulated] ")
    assert (answer.stop_reason, answer.usage.output) == ("end_turn", 12)
    assert answer.request_id is not None
    assert answer.request_id.startswith("emulated-")


@pytest.mark.parametrize("api", ["invoke", "converse"])
async def test_a_request_may_have_a_smaller_max_tokens_than_others(api: str) -> None:
    async with emulator() as started, SdkTransport(at(started), Wire(api, SAMPLING, 16)) as transport:
        answer = await transport.send(US, "us-east-1", resized(request(), 5))

    assert isinstance(answer, Completion)
    assert (answer.stop_reason, answer.usage.output) == ("max_tokens", 5)


async def test_a_request_with_a_smaller_max_tokens_is_given_up_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrun.bedrock.sdk.LEAST_READ_TIMEOUT_S", 0.05)
    wire = Wire("invoke", Sampling(max_tokens=64_000), 16)  # whose answers may take 42 minutes
    async with emulator() as started, SdkTransport(at(started), wire) as transport:
        fault = await transport.send(US, "us-east-1", resized(request("Hello [[fault=hang]]"), 1))

    assert isinstance(fault, Fault)
    assert (fault.code, fault.maybe_billed) == ("ReadTimeout", True)


# What the wire sends, and what the runner makes of it: BEDROCK's error table, row by row.
FAULTS = {
    "ThrottlingException": ("ThrottlingException", Action.TOKENS, False),
    "ModelNotReadyException": ("ModelNotReadyException", Action.COOL, False),
    "ModelTimeoutException": ("ModelTimeoutException", Action.RETRY_FEW, True),
    "ModelErrorException": ("ModelErrorException", Action.RETRY_FEW, True),
    "InternalServerException": ("InternalServerException", Action.RETRY, False),
    "ServiceUnavailableException": ("ServiceUnavailableException", Action.COOL, False),
    "overloaded_error": ("HTTP 529", Action.COOL, False),
    "ValidationException": ("ValidationException", Action.ROW, False),
    "ServiceQuotaExceededException": ("ServiceQuotaExceededException", Action.PARK, False),
    "AccessDeniedException": ("AccessDeniedException", Action.LANE, False),
    "ResourceNotFoundException": ("ResourceNotFoundException", Action.LANE, False),
    "FTUFormNotFilled": ("ResourceNotFoundException", Action.RUN, False),
    "ExpiredTokenException": ("ExpiredTokenException", Action.REFRESH, False),
    "InvalidSignatureException": ("InvalidSignatureException", Action.REFRESH, False),
    "RequestExpired": ("RequestExpired", Action.REFRESH, False),
    "MissingAuthenticationTokenException": ("MissingAuthenticationTokenException", Action.REFRESH, False),
    "UnrecognizedClientException": ("UnrecognizedClientException", Action.REGION, False),
    "InvalidClientTokenId": ("InvalidClientTokenId", Action.REGION, False),
    "untyped-429": ("HTTP 429", Action.TOKENS, False),
    "untyped-503": ("HTTP 503", Action.COOL, False),
    "reset": ("ConnectionLost", Action.RETRY, True),
    "cut": ("ConnectionLost", Action.RETRY, True),
    "garbage": ("MalformedAnswer", Action.RETRY, True),
    "empty": ("MalformedAnswer", Action.RETRY, True),
}


@pytest.mark.parametrize("api", ["invoke", "converse"])
@pytest.mark.parametrize("kind", FAULTS)
async def test_every_fault_of_the_wire_is_told_apart(kind: str, api: str) -> None:
    async with emulator() as started, SdkTransport(at(started), Wire(api, SAMPLING, 16)) as transport:
        fault = await transport.send(US, "us-east-1", request(f"Hello [[fault={kind}]]"))

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == FAULTS[kind]


@pytest.mark.parametrize("api", ["invoke", "converse"])
async def test_an_answer_that_breaks_off_gives_its_place_in_the_pool_back(api: str) -> None:
    gc.disable()  # which would give it back some time
    try:
        async with emulator() as started, SdkTransport(at(started), Wire(api, SAMPLING, 1)) as transport:
            await transport.send(US, "us-east-1", request("Hello [[fault=cut]]"))
            with anyio.fail_after(5):
                answer = await transport.send(US, "us-east-1", request())
    finally:
        gc.enable()

    assert isinstance(answer, Completion)


async def test_the_sdk_does_not_retry_by_itself() -> None:
    async with emulator() as started, SdkTransport(at(started), WIRE) as transport:
        await transport.send(US, "us-east-1", request("Hello [[fault=ServiceUnavailableException]]"))

        assert started.stats()["calls"] == 1


async def test_a_refused_connection_is_not_taken_for_a_lost_one() -> None:
    async with emulator() as started:
        gone = at(started)
    async with SdkTransport(gone, WIRE) as transport:
        fault = await transport.send(US, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == ("ConnectError", Action.COOL, False)


async def test_an_inference_id_called_from_a_region_that_is_no_source_closes_the_lane() -> None:
    async with emulator() as started, SdkTransport(at(started), WIRE) as transport:
        fault = await transport.send(US, "eu-west-1", request())

    assert isinstance(fault, Fault)
    assert fault.action is Action.LANE


async def test_one_client_serves_a_region_for_the_whole_run() -> None:
    async with emulator() as started, SdkTransport(at(started), WIRE) as transport:
        async with anyio.create_task_group() as calls:
            for row in range(40):
                region = "us-east-1" if row % 2 else "us-west-2"
                calls.start_soon(transport.send, US, region, request(f"row {row}", row))

        assert transport.regions() == ["us-east-1", "us-west-2"]
        assert started.stats()["calls"] == 40


async def test_a_bearer_key_is_used_where_the_environment_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-not-a-secret")
    seen: list[str] = []

    async def answer(call: web.Request) -> web.Response:
        seen.append(call.headers["Authorization"])
        return web.json_response({"message": "no"}, status=403)

    async with own_server(answer) as url, SdkTransport(Access(endpoint_url=url), WIRE) as transport:
        await transport.send(US, "us-east-1", request())

    assert seen == ["Bearer bedrock-api-key-not-a-secret"]


async def test_a_signature_names_the_source_region_and_the_service() -> None:
    seen: list[str] = []

    async def answer(call: web.Request) -> web.Response:
        seen.append(call.headers["Authorization"])
        return web.json_response({"message": "no"}, status=403)

    async with own_server(answer) as url, SdkTransport(Access(endpoint_url=url), WIRE) as transport:
        await transport.send(US, "eu-west-1", request())

    assert "/eu-west-1/bedrock/aws4_request" in seen[0]


async def test_a_retry_after_header_is_read() -> None:
    async def answer(call: web.Request) -> web.Response:
        return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "7"})

    async with own_server(answer) as url, SdkTransport(Access(endpoint_url=url), WIRE) as transport:
        fault = await transport.send(US, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert fault.retry_after_s == 7.0


async def test_after_a_refresh_calls_go_out_on_new_clients() -> None:
    async with emulator() as started, SdkTransport(at(started), WIRE) as transport:
        await transport.send(US, "us-east-1", request("before"))
        await transport.refresh()
        answer = await transport.send(US, "us-east-1", request("after"))

    assert isinstance(answer, Completion)


async def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(AccessError, match="no-such-profile"):
        await SdkTransport(Access(profile="no-such-profile"), WIRE).__aenter__()


async def test_no_credentials_at_all_is_said_before_a_call() -> None:
    with pytest.raises(AccessError, match="no AWS credentials"):
        await SdkTransport(Access(), WIRE).__aenter__()


async def test_a_role_is_assumed_and_its_credentials_sign_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    role = "arn:aws:iam::123456789012:role/batchrun"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSOURCE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    asked: list[str] = []
    signed: list[str] = []

    async def answer(call: web.Request) -> web.Response:
        if "/model/" in call.path:
            signed.append(call.headers["Authorization"])
            return web.json_response({"message": "no"}, status=403)
        asked.append((await call.post())["RoleArn"])  # type: ignore[arg-type]
        return web.Response(text=ASSUMED, content_type="text/xml")

    async with own_server(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with SdkTransport(Access(role_arn=role, endpoint_url=url), WIRE) as transport:
            await transport.send(US, "us-east-1", request())

    assert asked == [role]
    assert "Credential=ASIAASSUMED/" in signed[0]


def test_the_read_timeout_grows_with_the_longest_answer() -> None:
    assert read_timeout_s(250) == 70  # 60 s + 250 tokens at 25 a second
    assert read_timeout_s(64_000) == 2_620


ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><AssumedRoleId>AROA:batchrun</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/x</Arn>
</AssumedRoleUser><Credentials><AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>not-a-secret</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>"""


@asynccontextmanager
async def own_server(answer: Any) -> AsyncIterator[str]:
    """A server that answers every call by `answer`."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_no_fault_of_the_emulator_is_left_out() -> None:
    assert set(FAULTS) == set(emulator_faults.FAULTS) - {"hang", "slow"}  # no answer, and a late one
