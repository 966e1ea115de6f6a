"""The SDK's client as the transport opens it: time-outs, pool, keep-alive, and one call for one call."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import anyio
import pytest

from batchrun.bedrock import sockets
from batchrun.bedrock.body import Sampling, invoke_body
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.faults import Fault
from batchrun.bedrock.sdk import SdkTransport
from batchrun.bedrock.sockets import lively_socket
from batchrun.bedrock.wire import KEEP_ALIVE_S, Wire
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.records import Message, Prompt, Request

US = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SAMPLING = Sampling(max_tokens=1_000)
pytestmark = pytest.mark.anyio


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The SDK's clients that are opened while the test runs."""
    clients: list[Any] = []

    class Watched(aioboto3.Session):
        @asynccontextmanager
        async def client(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
            async with super().client(*arguments, **options) as client:
                clients.append(client)
                yield client

    monkeypatch.setattr(aioboto3, "Session", Watched)
    yield clients
    clients.clear()


def request(text: str = "Hello. [[output_tokens=1]]", row: int = 0) -> Request:
    prompt = Prompt(None, (Message("user", text),))
    return Request(row, prompt, invoke_body(prompt, SAMPLING), 20, SAMPLING.max_tokens)


@asynccontextmanager
async def carrying(api: str = "invoke", connections: int = 16) -> AsyncIterator[tuple[Emulator, SdkTransport]]:
    """An emulator and a transport to it."""
    async with serve(EmulatorSpec(latency_s=0, latency_per_token_s=0)) as emulator:
        access = Access(endpoint_url=f"{emulator.url}/{{region}}")
        async with SdkTransport(access, Wire(api, SAMPLING, connections)) as transport:
            yield emulator, transport


async def config_of(opened: list[Any], **options: Any) -> Any:
    """Return the configuration of the client that the first call opens."""
    async with carrying(**options) as (_, transport):
        await transport.send(US, "us-east-1", request())
        (client,) = opened
        return client.meta.config


async def test_a_clients_connections_show_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    def watched(address: Any) -> socket.socket:
        made.append(lively_socket(address))
        return made[-1]

    monkeypatch.setattr(sockets, "lively_socket", watched)
    async with carrying() as (_, transport):
        await transport.send(US, "us-east-1", request())

    assert len(made) == 1


def test_a_lively_socket_sends_keep_alives_well_before_an_idle_flow_is_dropped() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))
    with lively_socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 350


async def test_the_retry_mode_of_the_environment_is_not_taken(
    opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")

    assert (await config_of(opened)).retries["mode"] == "standard"


async def test_a_client_makes_one_attempt(opened: list[Any]) -> None:
    assert (await config_of(opened)).retries["total_max_attempts"] == 1


async def test_a_client_waits_as_long_as_the_longest_answer_may_take(opened: list[Any]) -> None:
    assert (await config_of(opened)).read_timeout == 100  # 60 s + 1,000 tokens at 25 a second


async def test_a_connection_is_given_up_long_before_an_answer(opened: list[Any]) -> None:
    assert (await config_of(opened)).connect_timeout == 10


async def test_a_client_has_as_many_connections_as_calls_may_be_in_flight(opened: list[Any]) -> None:
    assert (await config_of(opened, connections=824)).max_pool_connections == 824


async def test_an_idle_connection_is_kept_for_less_than_balancers_do(opened: list[Any]) -> None:
    kept_s = (await config_of(opened)).connector_args["keepalive_timeout"]

    assert kept_s == KEEP_ALIVE_S
    assert 60 < kept_s < 350


async def test_calls_name_batchrun_in_their_user_agent(opened: list[Any]) -> None:
    assert (await config_of(opened)).user_agent.startswith("batchrun/")


async def test_each_region_has_its_client_and_its_endpoint(opened: list[Any]) -> None:
    async with carrying() as (emulator, transport):
        for region in ("us-east-1", "us-west-2", "us-east-1"):
            await transport.send(US, region, request())

        assert [client.meta.region_name for client in opened] == ["us-east-1", "us-west-2"]
        assert [client.meta.endpoint_url for client in opened] == [
            f"{emulator.url}/us-east-1",
            f"{emulator.url}/us-west-2",
        ]


async def test_more_calls_than_ten_are_in_flight_at_once() -> None:
    # Ten connections are the SDK's default; the emulator holds every call until all forty are there.
    async with carrying(connections=40) as (emulator, transport), anyio.create_task_group() as calls:
        await transport.send(US, "us-east-1", request())  # opens the client, which may take longer than the calls
        for row in range(40):
            calls.start_soon(transport.send, US, "us-east-1", request(f"Row {row} [[latency_s=0.3]]", row))
        with anyio.fail_after(5):
            while emulator.stats()["in_flight"] < 40:
                await anyio.lowlevel.checkpoint()
        calls.cancel_scope.cancel()


RETRIED_BY_THE_SDK = ["ThrottlingException", "InternalServerException", "ServiceUnavailableException", "reset"]


@pytest.mark.parametrize("api", ["invoke", "converse"])
@pytest.mark.parametrize("kind", RETRIED_BY_THE_SDK)
async def test_a_call_that_the_sdk_would_try_again_is_sent_once(kind: str, api: str) -> None:
    async with carrying(api) as (emulator, transport):
        fault = await transport.send(US, "us-east-1", request(f"Hello [[fault={kind}]]"))

        assert isinstance(fault, Fault)
        assert emulator.stats()["calls"] == 1


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
async def test_an_environment_that_asks_the_sdk_for_retries_gets_none(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", mode)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    async with carrying() as (emulator, transport):
        await transport.send(US, "us-east-1", request("Hello [[fault=ServiceUnavailableException]]"))

        assert emulator.stats()["calls"] == 1
