"""A plan has its sample counted by Bedrock, gently, for nothing, and goes on without where that cannot be."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

from batchrun.bedrock import counting
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.planning import plan
from batchrun.screen.plan import plan_text
from tests.run.rehearsal import job, numbered, rehearse

Answer = Callable[[int], tuple[int, str, dict[str, Any]]]


class Counter:
    """A server that answers CountTokens as it is told; it remembers the paths it was called by, and with which keys."""

    def __init__(self, answer: Answer) -> None:
        self.paths: list[str] = []
        self.keys: set[str] = set()
        self.url = ""
        self._answer = answer

    async def handle(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        self.paths.append(request.raw_path)
        self.keys.add(request.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        status, code, body = self._answer(len(self.paths))
        return web.json_response(body, status=status, headers={"x-amzn-ErrorType": code} if code else {})


@pytest.fixture
def served() -> Iterator[Callable[[Any], Any]]:
    """Run an emulator or a counter for as long as the test lasts."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal("asyncio"))
        yield lambda context: stack.enter_context(portal.wrap_async_context_manager(context))


@asynccontextmanager
async def counter(answer: Answer):
    made = Counter(answer)
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # aiohttp has no other way to ask
    yield made
    await runner.cleanup()


def at(url: str, **changes: Any) -> dict[str, Any]:
    return {"aws": {"endpoint_url": f"{url}/{{region}}"}, **changes}


def test_counts_are_what_is_billed_and_cost_nothing(tmp_path, served):
    emulator: Emulator = served(serve(EmulatorSpec(tpm=0)))
    prompts = numbered(20, "A fish — and ünïcödé, which is more bytes than letters.")
    planned = plan(job(tmp_path, prompts, **at(emulator.url)))
    run = rehearse(job(tmp_path, prompts))

    assert planned["tokens"]["input"] == run.summary["tokens"]["input"]
    assert (planned["tokens"]["counted_rows"], planned["tokens"]["estimated_because"]) == (20, None)
    assert emulator.stats()["counted"] == 20
    assert emulator.stats()["paid_calls"] == 0
    assert "(20 rows sampled, counted by Bedrock)" in plan_text(planned)


def test_a_job_on_the_emulator_is_counted_by_it(tmp_path):
    prompts = numbered(20)

    assert (
        plan(job(tmp_path, prompts))["tokens"]["input"] == rehearse(job(tmp_path, prompts)).summary["tokens"]["input"]
    )


def test_the_base_model_id_is_called_in_a_source_region_that_counts(tmp_path, served):
    told = served(counter(lambda _: (200, "", {"inputTokens": 9})))
    plan(job(tmp_path, numbered(3), **at(told.url, routing={"source_regions": ["us-west-1", "us-west-2"]})))

    assert set(told.paths) == {"/us-west-2/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens"}


@pytest.mark.parametrize(("scopes", "key"), [([], "AKIAOTHER"), (["us"], "emulator")])
def test_those_who_count_are_those_who_will_be_called(tmp_path, served, monkeypatch, scopes, key):
    """Where all lanes are another account's, the job's own keys may not even exist; on loopback they are made up."""
    (keys := tmp_path / "credentials").write_text("[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    told = served(counter(lambda _: (200, "", {"inputTokens": 9})))
    lane = {"id": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "source_region": "us-west-2", "profile": "other"}
    routing = {"scopes": scopes, "source_regions": ["us-west-2"], "lane": [lane]}
    planned = plan(job(tmp_path, numbered(3), **at(told.url, routing=routing)))

    assert planned["tokens"]["counted_rows"] == 3
    assert told.keys == {key}


def test_a_prompt_is_not_counted_where_the_job_may_not_run(tmp_path, served):
    told = served(counter(lambda _: (200, "", {"inputTokens": 9})))
    # Calls from London may run in the EU and in London; the job allows the EU alone, and Paris does not count.
    eu = {"scopes": ["eu"], "source_regions": ["eu-west-3"], "residency": "eu"}
    tokens = plan(job(tmp_path, numbered(3), **at(told.url, routing=eu)))["tokens"]

    assert told.paths == []
    assert "not offered in any Region that this job may run in" in tokens["estimated_because"]


def test_a_throttle_is_waited_out(tmp_path, served):
    def answer(call: int) -> tuple[int, str, dict[str, Any]]:
        if call <= 4:
            return 429, "ThrottlingException", {"message": "Too many requests"}
        return 200, "", {"inputTokens": 100}

    told = served(counter(answer))
    tokens = plan(job(tmp_path, numbered(8), **at(told.url)))["tokens"]

    assert (tokens["counted_rows"], tokens["input"], len(told.paths)) == (8, 800, 12)


def test_counting_is_given_up_after_a_while_and_what_was_counted_corrects_the_rest(tmp_path, served, monkeypatch):
    def answer(call: int) -> tuple[int, str, dict[str, Any]]:
        if call <= 10:
            return 200, "", {"inputTokens": 8 + 50}
        return 429, "ThrottlingException", {"message": "Too many requests"}

    monkeypatch.setattr(counting.Counting.__init__, "__defaults__", (0.6,))
    told = served(counter(answer))
    prompts = ["x" * 350] * 100  # estimated at 8 + 100 each, counted at 8 + 50
    planned = plan(job(tmp_path, prompts, **at(told.url)))

    assert planned["tokens"]["counted_rows"] == 10
    assert planned["tokens"]["input"] == 5_800
    assert planned["tokens"]["estimated_because"] == "the 0.6 s for counting are over"
    assert "100 rows sampled, 10 of them counted by Bedrock: the 0.6 s for counting are over" in plan_text(planned)
    assert len(told.paths) < 30  # four at a time, each of them waiting longer and longer


def test_a_missing_permission_is_said_and_the_plan_goes_on(tmp_path, served):
    message = "User: x is not authorized to perform: bedrock:CountTokens"
    told = served(counter(lambda _: (403, "AccessDeniedException", {"message": message})))
    tokens = plan(job(tmp_path, ["x" * 350] * 50, **at(told.url)))["tokens"]

    assert (tokens["counted_rows"], tokens["input"]) == (0, 5_400)  # 50 × 108, estimated
    assert message in tokens["estimated_because"]
    assert len(told.paths) <= 7  # three are enough to know, four are out at once


def test_a_row_that_cannot_be_counted_is_estimated(tmp_path, served):
    def answer(call: int) -> tuple[int, str, dict[str, Any]]:
        if call == 5:
            return 400, "ValidationException", {"message": "prompt is too long"}
        return 200, "", {"inputTokens": 108}

    told = served(counter(answer))
    tokens = plan(job(tmp_path, ["x" * 350] * 50, **at(told.url)))["tokens"]

    assert (tokens["counted_rows"], tokens["input"]) == (49, 5_400)


def test_without_credentials_a_plan_estimates(tmp_path):
    tokens = plan(job(tmp_path, numbered(3), aws={"endpoint_url": None}))["tokens"]

    assert tokens["counted_rows"] == 0
    assert "no AWS credentials" in tokens["estimated_because"]


def test_an_answer_that_is_none_is_said(tmp_path, served):
    told = served(counter(lambda _: (200, "", {"tokens": 3})))
    tokens = plan(job(tmp_path, numbered(3), **at(told.url)))["tokens"]

    assert "CountTokens brought no answer: KeyError" in tokens["estimated_because"]


def test_nobody_listening_is_said(tmp_path):
    tokens = plan(job(tmp_path, numbered(3), aws={"endpoint_url": "http://127.0.0.1:9"}))["tokens"]

    assert "EndpointConnectionError" in json.dumps(tokens["estimated_because"])
