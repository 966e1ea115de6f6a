"""Private prices in cost and cap, the prefilled start of an answer on both APIs, and back-offs that do not meet."""

import json
from collections import Counter

import anyio
import pytest

from batchrun.bedrock.faults import classify
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse

PLENTY = {"tpm": 10_000_000, "latency_s": 0.5, "latency_per_token_s": 0}
QUOTA = {"tokens_per_minute": 10_000_000}
PRIVATE = {"date": "2026-11-01", "geo": {"input": 2.2, "output": 11.0}}  # twice the list: 1.10 and 5.50


# Prices


def test_a_row_costs_what_the_jobs_prices_say(tmp_path):
    ended = rehearse(job(tmp_path, ["Name a fish. [[output_tokens=100]]"], prices=PRIVATE))
    row = ended.row(0)

    assert row["output_tokens"] == 100
    assert row["cost_usd"] == pytest.approx((2.2 * row["input_tokens"] + 11.0 * 100) / 1e6)


def test_the_dollars_of_a_run_are_those_of_its_rows(tmp_path):
    ended = rehearse(job(tmp_path, numbered(20), prices=PRIVATE))
    tokens = ended.summary["tokens"]

    assert ended.summary["usd"] == pytest.approx(sum(row["cost_usd"] for row in ended.rows()))
    assert ended.summary["usd"] == pytest.approx((2.2 * tokens["input"] + 11.0 * tokens["output"]) / 1e6)


def test_a_price_that_is_left_out_is_the_cards(tmp_path):
    prices = {"date": "2026-11-01", "geo": {"output": 11.0}}
    row = rehearse(job(tmp_path, ["Name a fish."], prices=prices)).row(0)

    assert row["cost_usd"] == pytest.approx((1.1 * row["input_tokens"] + 11.0 * row["output_tokens"]) / 1e6)


def test_prices_of_global_ids_are_not_those_of_the_others(tmp_path):
    prices = {"date": "2026-11-01", "global": {"input": 0.5, "output": 2.0}, "geo": {"input": 50, "output": 200}}
    routing = {"scopes": ["global"], "source_regions": ["us-east-1"]}
    row = rehearse(job(tmp_path, ["Name a fish."], prices=prices, routing=routing)).row(0)

    assert row["cost_usd"] == pytest.approx((0.5 * row["input_tokens"] + 2.0 * row["output_tokens"]) / 1e6)


def rows_within(folder, cap_usd: float, **changes) -> Rehearsal:
    """Run 200 rows of 100 output tokens into a cap."""
    folder.mkdir()
    prompts = numbered(200, "[[output_tokens=100]] Name a fish.")
    limits = {"max_cost_usd": cap_usd, "max_in_flight": 1}
    return rehearse(job(folder, prompts, quota=QUOTA, limits=limits, emulator=PLENTY, **changes))


def test_the_cap_is_reached_at_half_the_rows_when_prices_are_twice_as_high(tmp_path):
    # A row costs about $0.00057 at the list, $0.00114 at the job's prices; the last call's worst case is kept free.
    listed = rows_within(tmp_path / "listed", 0.05)
    private = rows_within(tmp_path / "private", 0.05, prices=PRIVATE)

    assert (listed.code, private.code) == (3, 3)
    assert private.summary["rows"] == pytest.approx(listed.summary["rows"] / 2, abs=2)
    assert 0.04 < private.summary["usd"] <= 0.05


# Prefill


class Copied(Bedrock):
    """A Bedrock that keeps the body of every call."""

    def __init__(self, spec: EmulatorSpec) -> None:
        super().__init__(spec)
        self.bodies = []

    def begin(self, call, now_s):
        self.bodies.append(json.loads(call.body))
        return super().begin(call, now_s)


def copied_bodies(spec) -> list:
    """Run a job and return what it sent."""
    bedrock = Copied(spec.emulator)
    ended = rehearse(spec, EmulatedTransport(bedrock, spec.model.api))
    assert ended.code == 0
    return bedrock.bodies


def test_prefill_is_the_last_message_of_invoke_model_and_the_assistants(tmp_path):
    (body,) = copied_bodies(job(tmp_path, ["Name a fish."], prompt={"prefill": '{"fish":'}))

    assert body["messages"] == [
        {"role": "user", "content": "Name a fish."},
        {"role": "assistant", "content": '{"fish":'},
    ]


def test_prefill_is_the_last_message_of_converse_and_the_assistants(tmp_path):
    spec = job(tmp_path, ["Name a fish."], prompt={"prefill": '{"fish":'}, model={"api": "converse"})
    (body,) = copied_bodies(spec)

    assert body["messages"] == [
        {"role": "user", "content": [{"text": "Name a fish."}]},
        {"role": "assistant", "content": [{"text": '{"fish":'}]},
    ]


def test_prefill_follows_the_turns_of_a_messages_column(tmp_path):
    turns = [("user", "Hello."), ("assistant", "Hello!"), ("user", "Name a fish.")]
    cell = json.dumps([{"role": role, "content": text} for role, text in turns])
    (body,) = copied_bodies(job(tmp_path, [cell], prompt={"user": None, "messages": "text", "prefill": "{"}))

    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant"]
    assert body["messages"][-1]["content"] == "{"


def test_braces_of_a_prefill_are_text_and_no_template(tmp_path):
    (body,) = copied_bodies(job(tmp_path, ["Name a fish."], prompt={"prefill": "{{"}))

    assert body["messages"][-1]["content"] == "{{"


def test_without_a_prefill_the_users_message_is_the_last(tmp_path):
    (body,) = copied_bodies(job(tmp_path, ["Name a fish."]))

    assert body["messages"][-1]["role"] == "user"


# Back-off


class Flaky(EmulatedTransport):
    """Fails every fourth row once, and notes how long each stays away [s]; answers come 0.1 ms apart, in row order."""

    def __init__(self, bedrock: Bedrock) -> None:
        super().__init__(bedrock)
        self.failed_at_s = {}
        self.waits_s = []

    async def send(self, inference_id, source_region, request):
        if request.row in self.failed_at_s:
            self.waits_s.append(anyio.current_time() - self.failed_at_s[request.row])
        elif request.row % 4 == 0:
            await anyio.sleep(answer_after_s(request.row))
            self.failed_at_s[request.row] = anyio.current_time()
            return classify("InternalServerException", 500, "an unexpected error")
        return await super().send(inference_id, source_region, request)


def answer_after_s(row: int) -> float:
    return 0.5 + row / 10_000


def test_rows_that_fail_at_once_do_not_come_back_at_one_instant(tmp_path):
    # The answers between the faults keep the lane's breaker out of it, and there is a slot for every row.
    prompts = [f"{row} [[latency_s={answer_after_s(row)}]] [[output_tokens=1]]" for row in range(800)]
    limits = {"max_in_flight": 1_000}
    spec = job(tmp_path, prompts, quota=QUOTA, limits=limits, retry={"budget": 1.0}, emulator=PLENTY)
    transport = Flaky(Bedrock(spec.emulator))
    ended = rehearse(spec, transport)
    tenths = Counter(int(10 * wait_s) for wait_s in transport.waits_s)

    assert ended.code == 0
    assert len({round(wait_s, 6) for wait_s in transport.waits_s}) == 200
    assert all(5 <= tenths[tenth] <= 40 for tenth in range(10))  # full jitter below 1 s: about 20 in each tenth
