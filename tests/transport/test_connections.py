"""Connections that networks forget, break or refuse: no call hangs on one, and none is taken for another's fault."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from carriers import BOTH, Carrier, request

from batchrun.bedrock.clients import FORGOTTEN_S
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.faults import Action, Fault
from batchrun.bedrock.sockets import OPTIONS, lively_socket
from batchrun.bedrock.wire import SLOWEST_TOKENS_PER_S
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.records import Completion
from tests.nat_gateway import NatGateway, nat_gateway
from tests.process.runs import emulator as emulator_process
from tests.process.runs import stats

HOURS_S = 3 * 3_600.0
PATIENCE_S = 30.0  # for what takes a moment, so that a busy machine fails nothing
READ_TIMEOUT = "batchrun.bedrock.wire.LEAST_READ_TIMEOUT_S"
pytestmark = pytest.mark.anyio
over_both = pytest.mark.parametrize("carrier", BOTH, ids=str)


@asynccontextmanager
async def behind_a_gateway() -> AsyncIterator[tuple[Emulator, NatGateway]]:
    """An emulator that is reached through a gateway alone."""
    spec = EmulatorSpec(latency_s=0, latency_per_token_s=0)
    async with serve(spec) as emulator, nat_gateway(emulator.url) as between:
        yield emulator, between


def at(between: NatGateway) -> Access:
    return Access(endpoint_url=f"{between.url}/{{region}}")


@over_both
async def test_a_connection_that_the_network_has_forgotten_is_not_used_again(carrier: Carrier) -> None:
    # 300 s stand for 0.1 s here: what is idle for so long is closed, before the network would forget it after 350 s.
    async with behind_a_gateway() as (emulator, between):
        async with carrier(at(between), keep_alive_s=0.1) as transport:
            for _ in range(2):
                async with anyio.create_task_group() as calls:
                    for row in range(8):
                        calls.start_soon(transport.send, carrier.inference_id, "us-east-1", request(row=row))
                await _none_is_open(between)
            between.forget()
            answer = await transport.send(carrier.inference_id, "us-east-1", request())

        assert isinstance(answer, Completion)
        assert (between.swallowed, emulator.stats()["calls"]) == (0, 17)


async def _none_is_open(between: NatGateway) -> None:
    with anyio.fail_after(PATIENCE_S):
        while between.open_connections:
            await anyio.lowlevel.checkpoint()


@over_both
async def test_the_gateway_of_these_tests_does_swallow_what_comes_over_a_forgotten_connection(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(READ_TIMEOUT, -3.0)  # and 4 s for 100 tokens
    async with behind_a_gateway() as (_, between):
        async with carrier(at(between), keep_alive_s=30) as transport:
            await transport.send(carrier.inference_id, "us-east-1", request())
            between.forget()
            fault = await transport.send(carrier.inference_id, "us-east-1", request())

        assert isinstance(fault, Fault)
        assert (fault.code, between.swallowed) == ("ReadTimeout", 1)


@over_both
async def test_a_connection_in_use_every_so_often_is_kept(carrier: Carrier) -> None:
    async with behind_a_gateway() as (_, between), carrier(at(between)) as transport:
        for row in range(5):
            await transport.send(carrier.inference_id, "us-east-1", request(row=row))

        assert between.connections == 1


@over_both
async def test_after_a_sleep_calls_go_out_on_new_connections(carrier: Carrier) -> None:
    slept = [777.0]
    async with behind_a_gateway() as (_, between):
        async with carrier(at(between), slept_s=lambda: slept[0]) as transport:
            await transport.send(carrier.inference_id, "us-east-1", request())
            between.forget()  # the router at home, the balancer
            slept[0] += HOURS_S
            with anyio.fail_after(PATIENCE_S):  # not the 64 s that a call may take
                answer = await transport.send(carrier.inference_id, "us-east-1", request())

        assert isinstance(answer, Completion)
        assert (between.connections, between.swallowed) == (2, 0)


@over_both
async def test_a_nap_that_nobody_forgets_anything_in_costs_no_connection(carrier: Carrier) -> None:
    slept = [0.0]
    async with behind_a_gateway() as (_, between):
        async with carrier(at(between), slept_s=lambda: slept[0]) as transport:
            for _ in range(5):
                await transport.send(carrier.inference_id, "us-east-1", request())
                slept[0] += FORGOTTEN_S / 10

        assert between.connections == 1


@over_both
async def test_calls_that_were_out_end_on_the_old_connections_which_then_close(carrier: Carrier) -> None:
    slept = [0.0]
    async with behind_a_gateway() as (emulator, between):
        async with carrier(at(between), slept_s=lambda: slept[0]) as transport:
            answers: list[Any] = []

            async def call(text: str) -> None:
                answers.append(await transport.send(carrier.inference_id, "us-east-1", request(text)))

            await call("First.")
            async with anyio.create_task_group() as calls:
                calls.start_soon(call, "Slow. [[latency_s=0.3]]")
                with anyio.fail_after(PATIENCE_S):
                    while not emulator.stats()["in_flight"]:
                        await anyio.lowlevel.checkpoint()
                slept[0] += HOURS_S
                await call("New.")
            with anyio.fail_after(PATIENCE_S):
                while between.open_connections > 1:
                    await anyio.lowlevel.checkpoint()

        assert len(answers) == 3
        assert all(isinstance(answer, Completion) for answer in answers)


@over_both
async def test_clients_of_credentials_that_were_renewed_do_not_stay_behind(carrier: Carrier) -> None:
    async with behind_a_gateway() as (_, between), carrier(at(between)) as transport:
        for row in range(4):
            answer = await transport.send(carrier.inference_id, "us-east-1", request(row=row))
            assert isinstance(answer, Completion)
            await transport.refresh()
        await _none_is_open(between)

        assert between.connections == 4


def test_a_call_whose_other_end_has_gone_is_given_up_within_minutes() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))
    with lively_socket(address) as made:
        told = {
            name: made.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in OPTIONS
            if hasattr(socket, name)
        }

    assert told == {name: OPTIONS[name] for name in told}
    assert OPTIONS["TCP_USER_TIMEOUT"] / 1000 <= 120
    assert OPTIONS["TCP_KEEPIDLE"] + OPTIONS["TCP_KEEPCNT"] * OPTIONS["TCP_KEEPINTVL"] <= 120


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """A name service that is out, until the list is cleared; then every name is this machine."""
    out = [True]
    resolve = asyncio.BaseEventLoop.getaddrinfo

    async def getaddrinfo(self: Any, host: str, *arguments: Any, **options: Any) -> Any:
        if out:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await resolve(self, "127.0.0.1", *arguments, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    yield out
    out.clear()


@over_both
async def test_a_name_that_is_not_found_is_a_lane_that_is_out_and_no_fault_of_the_row(
    carrier: Carrier, no_names: list[bool]
) -> None:
    async with serve(EmulatorSpec(latency_s=0, latency_per_token_s=0)) as emulator:
        port = emulator.url.rpartition(":")[2]
        access = Access(endpoint_url=f"http://bedrock.example:{port}/{{region}}")
        async with carrier(access) as transport:
            fault = await transport.send(carrier.inference_id, "us-east-1", request())
            no_names.clear()
            answer = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == ("ConnectError", Action.COOL, False)
    assert isinstance(answer, Completion)


@pytest.mark.parametrize("max_tokens", [100, 50], ids=["the longest", "a shorter one"])
@over_both
async def test_answers_that_came_while_the_process_was_stopped_are_taken(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, max_tokens: int
) -> None:
    allowed_s = 2.0
    monkeypatch.setattr(READ_TIMEOUT, allowed_s - max_tokens / SLOWEST_TOKENS_PER_S)
    answers: dict[int, Any] = {}
    with emulator_process("--latency-s", "0.5") as url:
        async with carrier(Access(endpoint_url=f"{url}/{{region}}"), connections=30) as transport:

            async def call(row: int) -> None:
                answers[row] = await transport.send(
                    carrier.inference_id, "us-east-1", request(f"Row {row}.", row, max_tokens)
                )

            await call(0)
            async with anyio.create_task_group() as calls:
                for row in range(1, 25):
                    calls.start_soon(call, row)
                with anyio.fail_after(PATIENCE_S):
                    while (await anyio.to_thread.run_sync(stats, url))["calls"] < 25:
                        pass
                stopped_until_s = time.monotonic() + allowed_s  # by then every call has had all of its time
                while time.monotonic() < stopped_until_s or stats(url)["in_flight"]:
                    time.sleep(0.05)  # noqa: ASYNC251 - nothing runs, as in a process that was sent SIGSTOP

    assert {row: answer for row, answer in answers.items() if not isinstance(answer, Completion)} == {}
