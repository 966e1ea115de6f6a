"""What every transport does alike, against the emulator over HTTP: answers, faults, credentials, connections."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import web
from carriers import ALL, BOTH, Carrier, request

from batchrun.bedrock.body import Sampling, resized
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.faults import Action, Fault
from batchrun.bedrock.wire import read_timeout_s
from batchrun.emulator import faults as emulator_faults
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.errors import AccessError
from batchrun.records import Completion

pytestmark = pytest.mark.anyio
over_all = pytest.mark.parametrize("carrier", ALL, ids=str)
over_both = pytest.mark.parametrize("carrier", BOTH, ids=str)


@asynccontextmanager
async def emulator(**keys: Any) -> AsyncIterator[Emulator]:
    async with serve(EmulatorSpec(**{"latency_s": 0, "latency_per_token_s": 0, **keys})) as started:
        yield started


def at(started: Emulator) -> Access:
    return Access(endpoint_url=f"{started.url}/{{region}}")


@over_all
async def test_all_bring_the_same_answer(carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        answer = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(answer, Completion)
    assert answer.text.startswith("[emulated] ")
    assert (answer.stop_reason, answer.usage.output) == ("end_turn", 12)
    assert answer.request_id is not None
    assert answer.request_id.startswith("emulated-")


@over_all
async def test_a_request_may_have_a_smaller_max_tokens_than_others(carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        answer = await transport.send(carrier.inference_id, "us-east-1", resized(request(), 5))

    assert isinstance(answer, Completion)
    assert (answer.stop_reason, answer.usage.output) == ("max_tokens", 5)


@over_all
async def test_a_request_with_a_smaller_max_tokens_is_given_up_sooner(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.bedrock.wire.LEAST_READ_TIMEOUT_S", 0.05)
    sampling = Sampling(max_tokens=64_000)  # whose answers may take 42 minutes
    async with emulator() as started, carrier(at(started), sampling=sampling) as transport:
        fault = await transport.send(carrier.inference_id, "us-east-1", resized(request("Hello [[fault=hang]]"), 1))

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
    "scp-denied": ("AccessDeniedException", Action.LANE, False),
    "marketplace-pending": ("AccessDeniedException", Action.LANE, False),
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
# The same in the words of the Messages API, which has fewer.
IN_ANTHROPICS_SHAPE = {
    "ThrottlingException": ("rate_limit_error", Action.TOKENS, False),
    "ModelNotReadyException": ("overloaded_error", Action.COOL, False),
    "ModelTimeoutException": ("timeout_error", Action.RETRY_FEW, True),
    "ModelErrorException": ("api_error", Action.RETRY, False),
    "InternalServerException": ("api_error", Action.RETRY, False),
    "ServiceUnavailableException": ("overloaded_error", Action.COOL, False),
    "overloaded_error": ("overloaded_error", Action.COOL, False),
    "ValidationException": ("invalid_request_error", Action.ROW, False),
    "ServiceQuotaExceededException": ("rate_limit_error", Action.PARK, False),
    "AccessDeniedException": ("permission_error", Action.LANE, False),
    "scp-denied": ("permission_error", Action.LANE, False),
    "marketplace-pending": ("permission_error", Action.LANE, False),
    "ResourceNotFoundException": ("not_found_error", Action.LANE, False),
    "FTUFormNotFilled": ("not_found_error", Action.RUN, False),
    "ExpiredTokenException": ("authentication_error", Action.REFRESH, False),
    "InvalidSignatureException": ("authentication_error", Action.REFRESH, False),
    "RequestExpired": ("authentication_error", Action.REFRESH, False),
    "MissingAuthenticationTokenException": ("authentication_error", Action.REFRESH, False),
    "UnrecognizedClientException": ("authentication_error", Action.REGION, False),
    "InvalidClientTokenId": ("authentication_error", Action.REGION, False),
}


def expected(kind: str, carrier: Carrier) -> tuple[str, Action, bool]:
    """Return code, action and whether it may have been billed; the SDK drops the type that a model's own error has."""
    if carrier.speaks_anthropic and kind in IN_ANTHROPICS_SHAPE:
        return IN_ANTHROPICS_SHAPE[kind]
    code, action, maybe_billed = FAULTS[kind]
    if kind == "overloaded_error" and carrier.transport == "http":
        code = kind
    return code, action, maybe_billed


@over_all
@pytest.mark.parametrize("kind", FAULTS)
async def test_every_fault_of_the_wire_is_told_apart(kind: str, carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        fault = await transport.send(carrier.inference_id, "us-east-1", request(f"Hello [[fault={kind}]]"))

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == expected(kind, carrier)


@over_all
async def test_an_answer_that_breaks_off_gives_its_place_in_the_pool_back(carrier: Carrier) -> None:
    gc.disable()  # which would give it back some time
    try:
        async with emulator() as started, carrier(at(started), connections=1) as transport:
            await transport.send(carrier.inference_id, "us-east-1", request("Hello [[fault=cut]]"))
            with anyio.fail_after(5):
                answer = await transport.send(carrier.inference_id, "us-east-1", request())
    finally:
        gc.enable()

    assert isinstance(answer, Completion)


@over_all
async def test_no_call_is_sent_again_by_itself(carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        await transport.send(carrier.inference_id, "us-east-1", request("Hello [[fault=ServiceUnavailableException]]"))

        assert started.stats()["calls"] == 1


@over_all
async def test_a_refused_connection_is_not_taken_for_a_lost_one(carrier: Carrier) -> None:
    async with emulator() as started:
        gone = at(started)
    async with carrier(gone) as transport:
        fault = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == ("ConnectError", Action.COOL, False)


@over_all
async def test_an_inference_id_called_from_a_region_that_is_no_source_closes_the_lane(carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        fault = await transport.send(carrier.inference_id, "ap-south-1", request())

    assert isinstance(fault, Fault)
    assert fault.action is Action.LANE


@over_all
async def test_one_client_serves_a_region_for_the_whole_run(carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        async with anyio.create_task_group() as calls:
            for row in range(40):
                region = carrier.regions[row % 2]
                calls.start_soon(transport.send, carrier.inference_id, region, request(f"row {row}", row))

        assert transport.regions() == carrier.regions
        assert started.stats()["calls"] == 40


async def authorization(carrier: Carrier, source_region: str) -> str:
    """Return the header by which a call shows who it is from."""
    seen: list[str] = []

    async def answer(call: web.Request) -> web.Response:
        seen.append(call.headers["Authorization"])
        return web.json_response({"message": "no"}, status=403)

    async with own_server(answer) as url, carrier(Access(endpoint_url=url)) as transport:
        await transport.send(carrier.inference_id, source_region, request())
    return seen[0]


@over_all
async def test_a_bearer_key_is_used_where_the_environment_has_one(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-not-a-secret")
    assert await authorization(carrier, "us-east-1") == "Bearer bedrock-api-key-not-a-secret"


@over_all
async def test_a_signature_names_the_source_region_and_the_service(carrier: Carrier) -> None:
    service = "bedrock-mantle" if carrier.endpoint == "mantle" else "bedrock"

    assert f"/eu-west-1/{service}/aws4_request" in await authorization(carrier, "eu-west-1")


@over_all
async def test_a_retry_after_header_is_read(carrier: Carrier) -> None:
    async def answer(call: web.Request) -> web.Response:
        return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "7"})

    async with own_server(answer) as url, carrier(Access(endpoint_url=url)) as transport:
        fault = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert fault.retry_after_s == 7.0


@over_all
async def test_after_a_refresh_calls_go_out_on_new_clients(carrier: Carrier) -> None:
    async with emulator() as started, carrier(at(started)) as transport:
        await transport.send(carrier.inference_id, "us-east-1", request("before"))
        await transport.refresh()
        answer = await transport.send(carrier.inference_id, "us-east-1", request("after"))

    assert isinstance(answer, Completion)


@over_all
async def test_a_profile_that_does_not_exist_is_named(carrier: Carrier) -> None:
    with pytest.raises(AccessError, match="no-such-profile"):
        await carrier(Access(profile="no-such-profile")).__aenter__()


@over_all
async def test_no_credentials_at_all_is_said_before_a_call(carrier: Carrier) -> None:
    with pytest.raises(AccessError, match="no AWS credentials"):
        await carrier(Access()).__aenter__()


@over_all
async def test_a_role_is_assumed_and_its_credentials_sign_the_calls(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "arn:aws:iam::123456789012:role/batchrun"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSOURCE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    asked: list[str] = []
    signed: list[str] = []

    async def answer(call: web.Request) -> web.Response:
        if call.path != "/":
            signed.append(call.headers["Authorization"])
            return web.json_response({"message": "no"}, status=403)
        asked.append((await call.post())["RoleArn"])  # type: ignore[arg-type]
        return web.Response(text=ASSUMED, content_type="text/xml")

    async with own_server(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with carrier(Access(role_arn=role, endpoint_url=url)) as transport:
            await transport.send(carrier.inference_id, "us-east-1", request())

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
