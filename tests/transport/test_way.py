"""The way of a call, the same for both transports: URL, proxies, TLS, redirects, and nothing of them in the clear."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from carriers import ALL, BOTH, CARD, HTTP, US, Carrier, request

from batchrun.bedrock.credentials import Access
from batchrun.bedrock.doors import door_of
from batchrun.bedrock.faults import Action, Fault
from batchrun.bedrock.service import Service
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import serve
from batchrun.errors import AccessError
from batchrun.records import Completion

pytestmark = pytest.mark.anyio
over_all = pytest.mark.parametrize("carrier", ALL, ids=str)
over_both = pytest.mark.parametrize("carrier", BOTH, ids=str)
FOLDER = Path(__file__).parent
IDS = [
    US,
    CARD.scopes["global"].inference_id,
    f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{US}",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
    "odd id/with ~tilde+plus%25",
]


@asynccontextmanager
async def listening(answer: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers every call by `answer`."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Seen:
    """Keeps what arrives, and refuses it."""

    def __init__(self, status: int = 403, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers
        self.calls: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []

    async def __call__(self, call: web.BaseRequest) -> web.Response:
        self.calls.append(call)
        self.bodies.append(await call.read())
        return web.json_response({"message": "no"}, status=self.status, headers=self.headers)


@pytest.mark.parametrize("inference_id", IDS)
async def test_an_id_or_arn_is_written_into_the_url_as_the_sdk_writes_it(inference_id: str) -> None:
    seen = Seen()
    async with listening(seen) as url:
        for carrier in BOTH:
            async with carrier(Access(endpoint_url=f"{url}/{{region}}")) as transport:
                await transport.send(inference_id, "us-east-1", request())

    by_sdk, by_http = (call.raw_path for call in seen.calls)
    assert by_http == by_sdk
    assert by_http.startswith("/us-east-1/model/")


def named(call: web.BaseRequest) -> dict[str, str]:
    """Return what a call says of itself to Bedrock, apart from who signed it and when."""
    return {name.lower(): value for name, value in call.headers.items() if name.lower().startswith("x-amzn-bedrock-")}


async def test_both_transports_send_the_same_body_and_say_what_it_is() -> None:
    asked = Service("flex", {"team": "reviews"}, "gr1abc", "1")
    seen = Seen()
    async with listening(seen) as url:
        for carrier in BOTH:
            async with carrier(Access(endpoint_url=url), service=asked) as transport:
                await transport.send(US, "us-east-1", request("Grüße, 你好"))

    assert seen.bodies[0] == seen.bodies[1]
    assert named(seen.calls[0]) == named(seen.calls[1])
    for name in ("Content-Type", "Accept", "Host"):
        assert seen.calls[0].headers[name] == seen.calls[1].headers[name], name
    assert len(named(seen.calls[0])) == 4
    assert all(call.headers["User-Agent"].startswith("batchrun/") for call in seen.calls)


async def test_a_message_is_the_same_body_with_the_model_in_it_and_the_version_in_a_header() -> None:
    seen = Seen()
    async with listening(seen) as url:
        for carrier in ALL[-2:]:
            async with carrier(Access(endpoint_url=url)) as transport:
                await transport.send(carrier.inference_id, "us-east-1", request())

    wanted = b'"max_tokens":100,"messages":[{"role":"user","content":"Say hello. [[output_tokens=12]]"}],'
    wanted += b'"system":"Be brief.","temperature":0.0}'
    assert seen.bodies == [
        b'{"model":"us.anthropic.claude-haiku-4-5-20251001-v1:0",' + wanted,
        b'{"model":"anthropic.claude-haiku-4-5",' + wanted,
    ]
    assert {call.raw_path for call in seen.calls} == {"/anthropic/v1/messages"}
    assert {call.headers["anthropic-version"] for call in seen.calls} == {"2023-06-01"}


@pytest.mark.parametrize(
    ("carrier", "host"),
    [
        (ALL[0], "bedrock-runtime.eu-west-1.amazonaws.com:443"),
        (ALL[2], "bedrock-runtime.eu-west-1.amazonaws.com:443"),
        (ALL[3], "bedrock-runtime.eu-west-1.amazonaws.com:443"),
        (ALL[4], "bedrock-mantle.eu-west-1.api.aws:443"),
    ],
    ids=str,
)
async def test_aws_is_reached_over_tls_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, carrier: Carrier, host: str
) -> None:
    async def turn_away(call: web.BaseRequest) -> web.Response:
        asked.append((call.method, call.raw_path))
        return web.Response(status=503)

    asked: list[tuple[str, str]] = []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    async with listening(turn_away) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with carrier(Access()) as transport:
            fault = await transport.send(carrier.inference_id, "eu-west-1", request())

    assert asked == [("CONNECT", host)]  # and nothing else: no prompt, no signature
    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == ("ConnectError", Action.COOL, False)


@over_both
async def test_a_proxy_that_is_away_is_a_connection_that_was_not_made(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    async with listening(Seen()) as gone:
        pass
    monkeypatch.setenv("HTTPS_PROXY", gone)
    async with carrier(Access()) as transport:
        fault = await transport.send(US, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action) == ("ConnectError", Action.COOL)


@over_all
async def test_an_endpoint_on_this_machine_is_reached_past_any_proxy(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Seen()
    async with listening(proxy) as url, serve(EmulatorSpec(latency_s=0, latency_per_token_s=0)) as emulator:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, url)
        async with carrier(Access(endpoint_url=f"{emulator.url}/{{region}}")) as transport:
            answer = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(answer, Completion)
    assert proxy.calls == []


@over_both
async def test_a_server_that_cannot_prove_who_it_is_gets_nothing(carrier: Carrier) -> None:
    seen = Seen()
    async with listening(seen, own_certificate()) as url, carrier(Access(endpoint_url=url)) as transport:
        fault = await transport.send(US, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.maybe_billed) == ("ConnectError", False)
    assert seen.calls == []


@over_both
async def test_a_certificate_that_aws_ca_bundle_names_is_believed(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(FOLDER / "loopback.pem"))
    seen = Seen()
    async with listening(seen, own_certificate()) as url, carrier(Access(endpoint_url=url)) as transport:
        await transport.send(US, "us-east-1", request())

    assert len(seen.calls) == 1


async def test_a_ca_bundle_that_is_no_file_is_said_before_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/ca.pem")
    with pytest.raises(AccessError, match=r"AWS_CA_BUNDLE: /nonexistent/ca\.pem is no readable file"):
        await HTTP(Access(endpoint_url="http://127.0.0.1:9")).__aenter__()


@over_both
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
async def test_an_endpoint_of_the_environment_without_tls_is_refused(
    carrier: Carrier, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://bedrock.example.org")
    with pytest.raises(AccessError, match=r"bedrock-runtime is http://bedrock\.example\.org: .* over TLS only"):
        await carrier(Access()).__aenter__()


@over_both
async def test_an_endpoint_of_the_environment_may_be_told_to_count_for_nothing(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://bedrock.example.org")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a-key")
    async with carrier(Access()) as transport:
        assert transport.regions() == []


@pytest.mark.parametrize("name", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
async def test_hosts_that_only_the_sdk_knows_are_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a-key")
    with pytest.raises(AccessError, match=f'{name} is set: only model.transport = "sdk"'):
        await HTTP(Access()).__aenter__()


@over_all
async def test_a_redirect_is_not_followed(carrier: Carrier) -> None:
    elsewhere = Seen()
    async with listening(elsewhere) as other:
        seen = Seen(307, {"Location": f"{other}/steal"})
        async with listening(seen) as url, carrier(Access(endpoint_url=url)) as transport:
            fault = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.status) == ("HTTP 307", 307)
    assert (len(seen.calls), elsewhere.calls) == (1, [])


@over_all
async def test_calls_beyond_the_connections_wait_for_one_and_open_no_more(carrier: Carrier) -> None:
    connected: set[Any] = set()

    async def slow(call: web.BaseRequest) -> web.Response:
        connected.add(call.transport)
        await anyio.sleep(0.01)
        return web.json_response({"message": "no"}, status=403)

    async with (
        listening(slow) as url,
        carrier(Access(endpoint_url=url), connections=3) as transport,
        anyio.create_task_group() as calls,
    ):
        for row in range(12):
            calls.start_soon(transport.send, carrier.inference_id, "us-east-1", request(row=row))

    assert len(connected) == 3


async def test_an_errors_type_is_read_wherever_a_server_puts_it() -> None:
    ways: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({"x-amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/x"}, {"Message": "Too many requests"}),
        ({}, {"__type": "com.amazon.coral#ThrottlingException", "message": "Too many requests"}),
        ({"x-amzn-ErrorType": "ThrottlingException"}, {"message": "Too many requests"}),
    ]

    async def answer(_: web.BaseRequest) -> web.Response:
        headers, body = ways.pop(0)
        return web.json_response(body, status=429, headers=headers)

    async with listening(answer) as url, HTTP(Access(endpoint_url=url)) as transport:
        faults = [await transport.send(US, "us-east-1", request()) for _ in range(3)]

    assert {(fault.code, fault.action) for fault in faults if isinstance(fault, Fault)} == {
        ("ThrottlingException", Action.REQUESTS)
    }


@pytest.mark.parametrize("body", [b"[1]", b'"text"', b"", b"\xff\xfe", b"[" * 100_000, b'{"error":"no"}'])
async def test_an_error_page_of_any_kind_is_a_fault_by_its_status(body: bytes) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, status=503)

    async with listening(answer) as url, HTTP(Access(endpoint_url=url)) as transport:
        fault = await transport.send(US, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action) == ("HTTP 503", Action.COOL)


def test_a_door_that_there_is_not_is_no_door() -> None:
    with pytest.raises(KeyError, match="invoke at mantle"):
        door_of(CARD, "invoke", "mantle")


def test_a_card_of_ones_own_names_its_hosts() -> None:
    own = replace(CARD, endpoint_urls={"runtime": "https://runtime.{region}.example.org"})

    assert door_of(own, "invoke", "runtime").host_in("us-east-1") == "https://runtime.us-east-1.example.org"


def own_certificate() -> ssl.SSLContext:
    """Return the server's side of a certificate for 127.0.0.1 that nobody has signed but itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "loopback.pem")
    return context
