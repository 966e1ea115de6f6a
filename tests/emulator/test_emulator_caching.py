"""Prompt caching in the emulator: what is read and written, when an entry is there, what AWS refuses, what it costs."""

import json

import pytest
from anthropic import AnthropicBedrock
from emulated_calls import GLOBAL_ID, US_ID, begun, invoke, post, refused, told
from sdk_clients import boto_client

from batchrun.bedrock.card import load_card
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock

RULES = "".join(
    f"Rule {number}: say so plainly, in one sentence and no more. " for number in range(450)
)  # 6,700 tokens
SHORT = RULES[:12_000]  # 3,300 tokens
FIVE, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
QUICK = EmulatorSpec(latency_s=1.0, latency_per_token_s=0.0)


def system(text=RULES, control=FIVE):
    return [{"type": "text", "text": text, "cache_control": control}]


def usage(bedrock, call, at_s, ends_at_s=None):
    """Make a call at a time [s] and return what it read, wrote and took besides."""
    running = begun(bedrock, call, at_s)
    reply = bedrock.finish(running, at_s + running.wait_s if ends_at_s is None else ends_at_s)
    found = json.loads(reply.body)["usage"]
    return found["cache_read_input_tokens"], found["cache_creation_input_tokens"], found["input_tokens"]


def test_the_first_call_writes_the_prefix_and_the_next_reads_it():
    bedrock = Bedrock(QUICK)
    first = usage(bedrock, invoke("One?", system=system()), 0.0)
    second = usage(bedrock, invoke("Another?", system=system()), 2.0)

    assert first[0] == 0
    assert first[1] > 4_096
    assert second[:2] == (first[1], 0)
    assert second[2] < 20


def test_an_entry_is_there_once_the_answer_of_the_call_that_wrote_it_has_begun():
    bedrock = Bedrock(EmulatorSpec(latency_s=1.0, latency_per_token_s=0.1))
    call = invoke("One? [[output_tokens=100]]", system=system())
    running = begun(bedrock, call, 0.0)  # begins to answer at 1 s, ends at 11 s

    assert usage(bedrock, invoke("Before", system=system()), 0.9)[0] == 0
    assert usage(bedrock, invoke("After", system=system()), 1.0)[0] > 4_096
    assert running.wait_s == pytest.approx(11.0)


def test_a_prefix_below_4096_tokens_is_not_cached_and_nothing_says_so():
    bedrock = Bedrock(QUICK)
    used = [usage(bedrock, invoke("One?", system=system(SHORT)), at_s) for at_s in (0.0, 5.0)]

    assert [one[:2] for one in used] == [(0, 0), (0, 0)]
    assert used[0][2] > 3_000


@pytest.mark.parametrize(("control", "ttl_s"), [(FIVE, 300), (HOUR, 3_600)])
def test_an_entry_lasts_for_its_ttl_from_its_last_use(control, ttl_s):
    bedrock = Bedrock(QUICK)
    call = invoke("One?", system=system(control=control))
    usage(bedrock, call, 0.0)  # there from 1 s on

    assert usage(bedrock, call, ttl_s - 10)[0] > 0  # which refreshes it
    assert usage(bedrock, call, 2 * ttl_s - 20)[0] > 0
    assert usage(bedrock, call, 3 * ttl_s)[0] == 0


def test_lanes_share_no_entry():
    bedrock = Bedrock(QUICK)
    usage(bedrock, invoke("One?", system=system()), 0.0)

    assert usage(bedrock, invoke("One?", US_ID, "us-east-2", system=system()), 5.0)[0] == 0
    assert usage(bedrock, invoke("One?", GLOBAL_ID, system=system()), 5.0)[0] == 0
    assert usage(bedrock, invoke("One?", system=system()), 5.0)[0] > 0


def test_a_call_that_fails_in_the_model_leaves_no_entry():
    bedrock = Bedrock(QUICK)
    running = begun(bedrock, invoke("One? [[fault=ModelErrorException*1]]", system=system()), 0.0)
    bedrock.finish(running, 1.0)

    assert usage(bedrock, invoke("Another?", system=system()), 5.0)[0] == 0


def test_the_longest_prefix_that_is_there_is_read_and_the_rest_written():
    bedrock = Bedrock(QUICK)
    turns = [
        {"role": "user", "content": [{"type": "text", "text": RULES, "cache_control": FIVE}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And?"},
    ]
    _, both, _ = usage(bedrock, invoke(system=system(), messages=turns), 0.0)
    alone = usage(bedrock, invoke("One?", system=system()), 5.0)
    other = [{**turns[0], "content": [{"type": "text", "text": f"{RULES} More.", "cache_control": FIVE}]}, *turns[1:]]

    assert alone[0] == pytest.approx(both / 2, rel=0.06)
    assert usage(bedrock, invoke(system=system(), messages=other), 9.0)[0] == alone[0]
    assert usage(bedrock, invoke(system=system(), messages=turns), 9.0)[:2] == (both, 0)


def test_tools_are_the_head_of_the_prefix():
    bedrock = Bedrock(QUICK)
    tools = [{"name": "look", "description": "Look.", "input_schema": {"type": "object", "title": RULES}}]
    marked = [{**tools[0], "cache_control": FIVE}]
    _, written, _ = usage(bedrock, invoke("One?", tools=marked, system="Be brief."), 0.0)

    assert written > 4_096
    assert usage(bedrock, invoke("One?", tools=marked, system="Be kind."), 5.0)[0] == written


def test_a_call_holds_all_of_its_input_and_settles_without_what_it_read():
    bedrock = Bedrock(EmulatorSpec(latency_s=1.0))
    text = "One? [[output_tokens=10]]"
    first = begun(bedrock, invoke(text, system=system(), max_tokens=100), 0.0)
    bedrock.finish(first, 1.0)
    book = bedrock.books.pool("us-east-1/geo")
    settled_first = book.settled_tokens
    second = begun(bedrock, invoke(text, system=system(), max_tokens=100), 5.0)
    bedrock.finish(second, 6.0)

    total = first.prompt.input_tokens
    assert book.largest_hold_tokens == total + 100
    assert settled_first == total + 5 * 10
    assert book.settled_tokens - settled_first == total - second.cached.read + 5 * 10


@pytest.mark.parametrize(("control", "price"), [(FIVE, "cache_write_5m"), (HOUR, "cache_write_1h")])
def test_the_books_bill_reads_and_writes_at_their_own_prices(control, price):
    bedrock = Bedrock(QUICK)
    prices = load_card().prices["geo"]
    read, written, beside = usage(bedrock, invoke("One? [[output_tokens=10]]", system=system(control=control)), 0.0)
    stats = bedrock.books.stats()
    assert (read, stats["paid_cache_write_tokens"]) == (0, written)
    assert stats["paid_usd"] == pytest.approx(
        (written * getattr(prices, price) + beside * prices.input + 10 * prices.output) / 1e6, abs=1e-9
    )

    usage(bedrock, invoke("One? [[output_tokens=10]]", system=system(control=control)), 5.0)

    more = bedrock.books.stats()["paid_usd"] - stats["paid_usd"]
    assert more == pytest.approx(
        (written * prices.cache_read + beside * prices.input + 10 * prices.output) / 1e6, abs=2e-9
    )


def test_a_share_of_calls_may_run_where_no_entry_is():
    bedrock = Bedrock(EmulatorSpec(latency_s=1.0, cache_miss=0.5))
    reads = [usage(bedrock, invoke("One?", system=system()), 5.0 * number)[0] for number in range(60)]

    assert 15 <= sum(read > 0 for read in reads) <= 45


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system": system(control={"type": "lasting"})}, "system.content.0.cache_control.type: Input should be"),
        ({"system": system(control={"type": "ephemeral", "ttl": "2h"})}, "Input should be '5m' or '1h'"),
        ({"system": system(control={**FIVE, "scope": "all"})}, "Extra inputs are not permitted"),
        ({"system": system() * 5}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ({"system": [*system(control=FIVE), *system(control=HOUR)]}, "must not come after a ttl='5m'"),
    ],
)
def test_a_checkpoint_that_aws_does_not_take_is_refused(changes, words):
    status, kind, message = told(refused(Bedrock(QUICK), invoke("One?", **changes)))

    assert (status, kind) == (400, "ValidationException")
    assert words in message


def test_a_longer_ttl_may_come_first():
    bedrock = Bedrock(QUICK)
    running = begun(bedrock, invoke("One?", system=[*system(control=HOUR), *system(RULES * 2, control=FIVE)]), 0.0)

    assert running.cached.write_1h > 4_096
    assert running.cached.write_5m > running.cached.write_1h


def test_converse_has_cache_points_of_its_own():
    bedrock = Bedrock(QUICK)
    fields = {
        "system": [{"text": RULES}, {"cachePoint": {"type": "default"}}],
        "messages": [{"role": "user", "content": [{"text": "One?"}]}],
        "inferenceConfig": {"maxTokens": 100},
    }
    running = begun(bedrock, post("converse", fields), 0.0)
    wrote = json.loads(bedrock.finish(running, 1.0).body)["usage"]
    read = json.loads(bedrock.finish(begun(bedrock, post("converse", fields), 5.0), 6.0).body)["usage"]

    assert wrote["cacheWriteInputTokens"] == read["cacheReadInputTokens"] > 4_096
    assert read["totalTokens"] == read["inputTokens"] + read["cacheReadInputTokens"] + read["outputTokens"]


def test_boto3_sees_what_was_read_and_written(start):
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "system": system(),
                       "messages": [{"role": "user", "content": "One?"}]})  # fmt: skip
    points = {"system": [{"text": RULES}, {"cachePoint": {"type": "default"}}]}
    asked = {"messages": [{"role": "user", "content": [{"text": "Two?"}]}], "inferenceConfig": {"maxTokens": 50}}
    with boto_client(start().url) as client:
        answers = [client.invoke_model(modelId=US_ID, body=body) for _ in range(2)]
        first, second = (json.loads(answer["body"].read())["usage"] for answer in answers)
        conversed = client.converse(modelId=US_ID, **asked, **points)["usage"]

    assert first["cache_creation_input_tokens"] == second["cache_read_input_tokens"] > 4_096
    assert conversed["cacheReadInputTokens"] == second["cache_read_input_tokens"]
    headers = answers[1]["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-cache-read-input-token-count"] == str(second["cache_read_input_tokens"])


def test_the_anthropic_sdk_sees_what_was_read_and_written(start):
    client = AnthropicBedrock(
        base_url=start().url, aws_region="us-east-1", aws_access_key="AKIDEXAMPLE", aws_secret_key="not-a-secret"
    )
    with client:
        asked = [{"role": "user", "content": "One?"}]
        answers = [
            client.messages.create(model=US_ID, max_tokens=50, system=system(control=HOUR), messages=asked)
            for _ in range(2)
        ]

    first, second = (answer.usage for answer in answers)
    assert first.cache_creation.ephemeral_1h_input_tokens == second.cache_read_input_tokens > 4_096
