"""A tier, tags and a guardrail go out with every call, signed, by either API; what comes back of them is read."""

import json
from contextlib import AbstractAsyncContextManager

import pytest

from batchrun.bedrock.body import Sampling, invoke_body
from batchrun.bedrock.card import load_card
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.doors import door_of
from batchrun.bedrock.http import HttpTransport
from batchrun.bedrock.sdk import SdkTransport
from batchrun.bedrock.service import Service
from batchrun.bedrock.wire import Wire
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.records import Completion, Message, Prompt, Request

pytestmark = pytest.mark.anyio
US = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SAMPLING = Sampling(max_tokens=100)
GUARDED = {"guardrail_id": "abc123", "guardrail_version": "DRAFT"}
TAGS = {"team": "reviews", "run": "a/b"}


def emulator() -> AbstractAsyncContextManager[Emulator]:
    return serve(EmulatorSpec(latency_s=0, latency_per_token_s=0))


async def answered(api: str, service: Service, text: str, *, over_http: bool = False) -> tuple[Completion, Emulator]:
    """Send one request; return its answer and the emulator."""
    prompt = Prompt(None, (Message("user", text),))
    request = Request(0, prompt, invoke_body(prompt, SAMPLING), 20, SAMPLING.max_tokens)
    async with emulator() as started:
        access = Access(endpoint_url=f"{started.url}/{{region}}")
        wire = Wire(api, SAMPLING, 1, service=service)
        door = door_of(load_card("claude-haiku-4-5"), "invoke", "runtime")
        transport = HttpTransport(access, wire, door) if over_http else SdkTransport(access, wire)
        async with transport:
            answer = await transport.send(US, "us-east-1", request)
    assert isinstance(answer, Completion), answer
    return answer, started


@pytest.mark.parametrize("over_http", [False, True])
async def test_a_tier_goes_out_and_the_one_that_came_back_is_read(over_http: bool):
    answer, started = await answered("invoke", Service(tier="reserved"), "Hi", over_http=over_http)

    assert answer.service_tier == "reserved"
    assert started.stats()["service_tiers"] == {"reserved": 1}


@pytest.mark.parametrize("api", ["invoke", "converse"])
async def test_tags_go_out_by_either_api(api):
    _, started = await answered(api, Service(metadata=TAGS), "Hi")

    [(told, calls)] = started.stats()["request_metadata"].items()
    assert (json.loads(told), calls) == (TAGS, 1)


@pytest.mark.parametrize("api", ["invoke", "converse"])
async def test_a_guardrail_that_steps_in_is_the_stop_reason(api):
    answer, started = await answered(api, Service(**GUARDED), "Hi [[guardrail=INTERVENED]]")

    assert answer.stop_reason == "guardrail_intervened"
    assert answer.text.startswith("[emulated] Sorry")
    assert started.stats()["guarded"] == 1


@pytest.mark.parametrize("api", ["invoke", "converse"])
async def test_a_guardrail_that_does_not_step_in_changes_nothing(api):
    answer, _ = await answered(api, Service(**GUARDED), "Hi")

    assert answer.stop_reason == "end_turn"


async def test_nothing_is_asked_of_the_service_unless_the_job_does():
    _, started = await answered("invoke", Service(), "Hi [[guardrail=INTERVENED]]")

    stats = started.stats()
    assert (stats["service_tiers"], stats["request_metadata"], stats["guarded"]) == ({}, {}, 0)
