"""Bedrock without HTTP: what admission holds, what settlement charges, and in whose words a call is throttled."""

import json
import re
from dataclasses import replace

import pytest
from emulated_calls import BASE_ID, GLOBAL_ID, US_ID, begun, converse_fields, invoke, invoke_fields, post, refused, told

from batchrun.bedrock.card import load_card
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock

THROTTLED = "ThrottlingException"


def room(bedrock, pool="us-east-1/geo", now_s=0.0):
    return bedrock.pools[pool].tokens.room(now_s)


def test_admission_holds_input_and_max_tokens_and_settlement_charges_output_five_fold():
    bedrock = Bedrock(EmulatorSpec(tpm=10_000))
    running = begun(bedrock, invoke("a b c [[output_tokens=200]]", max_tokens=256))
    input_tokens = running.prompt.input_tokens
    assert room(bedrock) == 10_000 - input_tokens - 256

    bedrock.finish(running, 0.0)

    assert room(bedrock) == 10_000 - input_tokens - 1_000  # 5 × 200, above the 256 that were held


def test_a_wrong_burndown_is_seen_in_what_is_left():
    card = replace(load_card(), output_burndown=1)
    rooms = []
    for bedrock in (Bedrock(EmulatorSpec(tpm=10_000)), Bedrock(EmulatorSpec(tpm=10_000), card)):
        bedrock.finish(begun(bedrock, invoke("a b c [[output_tokens=200]]")), 0.0)
        rooms.append(room(bedrock))

    assert rooms[1] - rooms[0] == 800  # 4 × 200


def test_a_converse_call_without_max_tokens_holds_all_that_the_model_can_write():
    bedrock = Bedrock(EmulatorSpec(tpm=100_000))

    running = begun(bedrock, post("converse", converse_fields(inferenceConfig={})))

    assert room(bedrock) == 100_000 - running.prompt.input_tokens - 64_000


def test_a_call_that_does_not_fit_is_throttled_and_takes_nothing():
    bedrock = Bedrock(EmulatorSpec(tpm=1_000))

    reply = refused(bedrock, invoke(max_tokens=1_000))

    assert told(reply) == (429, THROTTLED, "Too many tokens, please wait before trying again.")
    assert room(bedrock) == 1_000


def test_a_shared_global_pool_is_one_for_all_source_regions():
    bedrock = Bedrock(EmulatorSpec(tpm=1_000, global_pool="shared"))
    begun(bedrock, invoke(model_id=GLOBAL_ID, region="us-east-1", max_tokens=900))

    refused(bedrock, invoke(model_id=GLOBAL_ID, region="eu-west-2", max_tokens=900))
    begun(bedrock, invoke(region="us-east-1", max_tokens=900))  # geo pools stay as they are

    assert bedrock.books.stats()["pools"]["global"]["throttled"] == 1


def test_a_shared_global_pool_has_a_quota_of_its_own():
    bedrock = Bedrock(EmulatorSpec(tpm=1_000, global_pool="shared", pools={"global": {"tpm": 5_000}}))

    assert room(bedrock, "eu-west-2/global") == 5_000


def test_the_request_quota_has_words_of_its_own():
    bedrock = Bedrock(EmulatorSpec(rpm=2))
    begun(bedrock, invoke("one"))
    begun(bedrock, invoke("two"))

    assert told(refused(bedrock, invoke("three")))[2] == "Too many requests, please wait before trying again."
    begun(bedrock, invoke("three"), now_s=30.0)  # two a minute are one in 30 s


def test_a_few_requests_a_minute_open_even_a_short_bucket():
    bedrock = Bedrock(EmulatorSpec(rpm=2, burst_s=5))

    begun(bedrock, invoke("one"))
    refused(bedrock, invoke("two"), now_s=29.0)
    begun(bedrock, invoke("two"), now_s=30.0)


def test_the_day_quota_closes_the_pool_until_the_day_turns():
    bedrock = Bedrock(EmulatorSpec(pools={"us-east-1/geo": {"tpd": 500}}))
    bedrock.finish(begun(bedrock, invoke("one [[output_tokens=90]]")), 1.0)  # 5 × 90 and the input

    reply = refused(bedrock, invoke("two"), now_s=3_600.0)

    assert told(reply)[2] == "Too many tokens per day, please wait before trying again."
    begun(bedrock, invoke("two"), now_s=86_400.0)


def test_a_day_quota_of_zero_never_opens():
    bedrock = Bedrock(EmulatorSpec(pools={"us-east-1/geo": {"tpd": 0}}))

    assert refused(bedrock, invoke(), now_s=0.0).status == 429
    assert refused(bedrock, invoke(), now_s=200_000.0).status == 429


def test_pools_are_apart_by_region_and_by_geo_and_global():
    bedrock = Bedrock(EmulatorSpec(tpm=300))
    begun(bedrock, invoke("one"))
    refused(bedrock, invoke("two"))

    begun(bedrock, invoke("two", GLOBAL_ID))
    begun(bedrock, invoke("two", region="us-west-2"))
    assert sorted(bedrock.books.pools) == ["us-east-1/geo", "us-east-1/global", "us-west-2/geo"]


def test_all_apis_share_a_pool():
    bedrock = Bedrock(EmulatorSpec(tpm=300))
    begun(bedrock, invoke("one"))

    assert refused(bedrock, post("converse", converse_fields())).status == 429


def test_pools_can_have_unequal_quotas():
    bedrock = Bedrock(EmulatorSpec(tpm=1_000, pools={"us-west-2/geo": {"tpm": 7, "rpm": 1}}))

    assert room(bedrock) == 1_000
    assert room(bedrock, "us-west-2/geo") == 7


def test_the_default_quota_is_the_cards():
    assert room(Bedrock(EmulatorSpec())) == 5_000_000


@pytest.mark.parametrize("window", ["bucket", "fixed", "sliding"])
def test_every_window_throttles_through_the_same_door(window):
    bedrock = Bedrock(EmulatorSpec(window=window, tpm=300))
    begun(bedrock, invoke("one"))

    refused(bedrock, invoke("two"), now_s=1.0)
    begun(bedrock, invoke("two"), now_s=60.0)


def test_latency_grows_with_the_answer():
    bedrock = Bedrock(EmulatorSpec(latency_s=0.5, latency_per_token_s=0.01))

    assert begun(bedrock, invoke("a [[output_tokens=100]]")).wait_s == pytest.approx(1.5)
    assert begun(bedrock, invoke("a [[output_tokens=10]]")).wait_s == pytest.approx(0.6)
    assert begun(bedrock, invoke("a [[latency_s=2.5]]")).wait_s == 2.5


def test_counting_tokens_agrees_with_the_bill_and_costs_nothing():
    bedrock = Bedrock(EmulatorSpec(tpm=0))
    billed = begun(Bedrock(EmulatorSpec()), post("converse", converse_fields("How long am I?"))).prompt.input_tokens

    counted = {"messages": converse_fields("How long am I?")["messages"]}
    reply = refused(bedrock, post("count-tokens", {"input": {"converse": counted}}, BASE_ID))

    assert (reply.status, json.loads(reply.body)) == (200, {"inputTokens": billed})


@pytest.mark.parametrize(
    "fields",
    [
        {"input": {"converse": converse_fields()}},  # inferenceConfig is no part of what is counted
        {"input": {"invokeModel": {"body": "e30=", "contentType": "application/json"}}},
        {"input": {"invokeModel": {"body": "no base64"}}},
        {"input": {"invokeModel": "e30="}},
        {"input": {"invokeModel": {"body": "e30="}, "converse": {"messages": []}}},
        {"input": {}},
        {"input": {"invokeModel": {"body": "e30="}}, "modelId": BASE_ID},
        {},
    ],
)
def test_counting_takes_what_aws_takes_and_nothing_more(fields):
    reply = refused(Bedrock(EmulatorSpec()), post("count-tokens", fields, BASE_ID))

    assert (reply.status, told(reply)[1]) == (400, "ValidationException")


def test_a_prompt_beyond_the_context_is_too_long_and_one_within_is_not():
    bedrock = Bedrock(EmulatorSpec())

    begun(bedrock, invoke("x" * 700_000, max_tokens=64_000))  # at most 700,000 / 3.515 = 199,147 tokens
    reply = refused(bedrock, invoke("x" * 790_000, max_tokens=8))  # at least 790,000 / 3.885 = 203,346

    status, error_type, message = told(reply)
    assert (status, error_type) == (400, "ValidationException")
    assert re.fullmatch(r"prompt is too long: 2\d{5} tokens > 200000 maximum", message)


def test_an_answer_that_runs_out_of_context_says_so():
    bedrock = Bedrock(EmulatorSpec())
    running = begun(bedrock, invoke("x " * 350_000 + "[[output_tokens=64000]]", max_tokens=64_000))

    assert running.answer.stop_reason == "model_context_window_exceeded"
    assert running.prompt.input_tokens + running.answer.output_tokens == 200_000


def test_no_service_but_the_known_operations_is_there():
    reply = refused(Bedrock(EmulatorSpec()), post("invoke-with-response-stream", invoke_fields(), US_ID))

    assert told(reply)[:2] == (404, "UnknownOperationException")
