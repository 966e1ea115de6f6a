"""Runs over networks that fail for a while: no row is failed for it, and none is paid twice without need."""

import anyio
import pytest

from batchrun.api import RunOptions, arun
from batchrun.bedrock.faults import classify
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.emulator.service import Bedrock
from tests.emulated_transport import EmulatedTransport
from tests.nat_gateway import NatGateway, nat_gateway
from tests.run.rehearsal import job, numbered, rehearse

ROWS = 300
PROMPTS = numbered(ROWS, "Name a colour. [[output_tokens=2]]")
REFUSED = classify("ConnectError", None, 'Could not connect to the endpoint URL: "https://bedrock-runtime…"')


class Unplugged(EmulatedTransport):
    """Reaches nothing from `from_s` to `to_s` of the run; what is sent meanwhile is not even connected."""

    def __init__(self, bedrock: Bedrock, from_s: float, to_s: float) -> None:
        super().__init__(bedrock)
        self._window_s = from_s, to_s
        self._first_s: float | None = None

    async def send(self, *call):
        if self._first_s is None:
            self._first_s = anyio.current_time()
        if self._window_s[0] <= anyio.current_time() - self._first_s < self._window_s[1]:
            await anyio.sleep(0.01)
            return REFUSED
        return await super().send(*call)


@pytest.mark.parametrize("minutes", [1, 10])
def test_a_network_that_is_away_for_minutes_fails_no_row(tmp_path, minutes):
    spec = job(tmp_path, PROMPTS, emulator={"tpm": 60_000, "latency_s": 0.5, "rtt_ms": 20})
    back_s = 2 + 60 * minutes
    ended = rehearse(spec, Unplugged(Bedrock(spec.emulator), 2, back_s))

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": ROWS})
    assert ended.stats["repeated_calls"] == 0
    assert ended.wall_s < back_s + 120  # a lane that is shut is tried once a minute
    # Shut lanes are tried by one call at a time, so an outage is not hammered.
    assert ended.summary["faults"]["ConnectError"] <= ended.transport.most_in_flight + 10 + 2 * minutes


async def _run_through(folder, between: NatGateway):
    spec = job(
        folder,
        PROMPTS,
        aws={"endpoint_url": f"{between.url}/{{region}}"},
        quota={"tokens_per_minute": 100_000_000},
        limits={"max_in_flight": 20},
    )
    return await arun(spec, RunOptions())


def test_one_connection_in_twenty_reset_in_the_middle_of_an_answer_fails_no_row(tmp_path):
    async def run():
        spec = EmulatorSpec(latency_s=0, latency_per_token_s=0)
        async with serve(spec) as emulator, nat_gateway(emulator.url, resets_every=20) as between:
            summary = await _run_through(tmp_path, between)
            return summary, between.resets, emulator.stats()["repeated_calls"]

    summary, resets, twice = anyio.run(run)

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": ROWS})
    assert summary["faults"] == {"ConnectionLost": resets}
    assert resets >= ROWS // 20
    assert twice == resets  # what the other end had answered when the connection broke, and nothing else


def test_an_endpoint_that_refuses_and_comes_back_is_taken_up_again(tmp_path):
    async def leave_and_return(emulator: Emulator, between: NatGateway) -> None:
        while emulator.stats()["paid_calls"] < ROWS // 3:  # noqa: ASYNC110 - the emulator has no event for it
            await anyio.sleep(0.005)
        await between.leave()
        await anyio.sleep(0.5)
        await between.listen()

    async def run():
        spec = EmulatorSpec(latency_s=0.02, latency_per_token_s=0)
        async with serve(spec) as emulator, nat_gateway(emulator.url) as between, anyio.create_task_group() as beside:
            beside.start_soon(leave_and_return, emulator, between)
            return await _run_through(tmp_path, between)

    summary = anyio.run(run)

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": ROWS})
    assert summary["faults"]["ConnectError"] > 0
