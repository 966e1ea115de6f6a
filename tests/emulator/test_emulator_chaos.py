"""Chaos falls the same way in every run, meets its share, and gives back what it took."""

import pytest
from emulated_calls import GLOBAL_ID, US_ID, begun, converse_fields, invoke, post, refused, told

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.faults import FAULTS
from batchrun.emulator.reply import Reply
from batchrun.emulator.service import Bedrock


def fate(bedrock, text):
    outcome = bedrock.begin(invoke(text), 0.0)
    if isinstance(outcome, Reply):
        return outcome.status
    return bedrock.finish(outcome, 0.0).status


def test_the_shares_are_met_and_do_not_depend_on_the_order_of_calls():
    faults = {"ServiceUnavailableException": 0.1, "ModelErrorException": 0.05}
    spec = EmulatorSpec(faults=faults, seed=7, tpm=10**9)
    rows = [f"Row {row}" for row in range(2_000)]
    forwards, backwards = Bedrock(spec), Bedrock(spec)

    fates = {row: fate(forwards, row) for row in rows}
    again = {row: fate(backwards, row) for row in reversed(rows)}

    assert fates == again
    assert 160 < forwards.books.faults["ServiceUnavailableException"] < 240
    assert 70 < forwards.books.faults["ModelErrorException"] < 130


def test_another_seed_hits_other_rows():
    rows = [f"Row {row}" for row in range(200)]
    one, two = (Bedrock(EmulatorSpec(faults={"untyped-503": 0.5}, seed=seed)) for seed in (1, 2))

    assert [fate(one, row) for row in rows] != [fate(two, row) for row in rows]


def test_a_retry_meets_a_fate_of_its_own():
    bedrock = Bedrock(EmulatorSpec(faults={"untyped-503": 0.5}))

    assert {fate(bedrock, "the same row") for _ in range(20)} == {200, 503}


def test_a_prompt_may_ask_for_a_fault_a_number_of_times():
    bedrock = Bedrock(EmulatorSpec())

    statuses = [fate(bedrock, "a [[fault=InternalServerException*2]]") for _ in range(4)]

    assert statuses == [500, 500, 200, 200]


def test_throttled_calls_do_not_use_up_the_faults_a_prompt_asked_for():
    bedrock = Bedrock(EmulatorSpec(rpm=1))
    call = invoke("a [[fault=InternalServerException*1]]")
    bedrock.finish(begun(bedrock, call), 0.0)
    refused(bedrock, call, now_s=1.0)

    assert bedrock.finish(begun(bedrock, call, now_s=60.0), 60.0).status == 200


@pytest.mark.parametrize("kind", [kind for kind, fault in FAULTS.items() if fault.stage != "wire"])
def test_an_error_gives_its_hold_back_and_is_not_paid(kind):
    bedrock = Bedrock(EmulatorSpec(tpm=1_000))

    fate(bedrock, f"a [[fault={kind}]]")

    assert bedrock.pools["us-east-1/geo"].tokens.room(0.0) == 1_000
    assert bedrock.books.stats()["paid_calls"] == 0
    assert bedrock.books.faults[kind] == 1


@pytest.mark.parametrize("kind", ["reset", "cut", "garbage", "empty", "hang", "slow"])
def test_a_fault_of_the_wire_is_settled_and_paid(kind):
    bedrock = Bedrock(EmulatorSpec(tpm=1_000))
    running = begun(bedrock, invoke(f"a [[fault={kind}]] [[output_tokens=100]]"))

    bedrock.finish(running, 0.0)

    assert bedrock.pools["us-east-1/geo"].tokens.room(0.0) == 1_000 - running.prompt.input_tokens - 500
    assert bedrock.books.stats()["paid_calls"] == 1


def test_a_slow_call_takes_ten_times_as_long():
    bedrock = Bedrock(EmulatorSpec(latency_s=0.2, latency_per_token_s=0))

    assert begun(bedrock, invoke("a [[fault=slow]]")).wait_s == pytest.approx(2.0)


def test_an_outage_takes_one_region_from_its_start_to_its_end():
    bedrock = Bedrock(EmulatorSpec(outages=[{"region": "us-east-1", "from_s": 10, "to_s": 20}]))

    begun(bedrock, invoke(), now_s=9.9)
    assert told(refused(bedrock, invoke(), now_s=10.0))[:2] == (503, "ServiceUnavailableException")
    assert refused(bedrock, invoke(model_id=GLOBAL_ID), now_s=19.9).status == 503
    begun(bedrock, invoke(region="us-west-2"), now_s=15.0)
    begun(bedrock, invoke(), now_s=20.0)


def test_an_outage_of_every_region_at_once_is_an_outage_of_the_region_star():
    bedrock = Bedrock(EmulatorSpec(outages=[{"region": "*", "to_s": 60}]))
    for region in ("us-east-1", "us-west-2"):
        refused(bedrock, invoke(region=region), 59.9)
        begun(bedrock, invoke(region=region), 60.0)


def test_a_region_that_is_not_enabled_is_an_outage_without_end():
    outage = {"region": "us-west-2", "kind": "UnrecognizedClientException"}
    bedrock = Bedrock(EmulatorSpec(outages=[outage]))

    reply = refused(bedrock, invoke(region="us-west-2"), now_s=10**6)

    assert told(reply)[:2] == (403, "UnrecognizedClientException")


def test_a_lane_can_be_slow_for_a_while():
    outage = {"region": "us-east-1", "kind": "slow", "to_s": 60}
    bedrock = Bedrock(EmulatorSpec(outages=[outage], latency_s=1, latency_per_token_s=0))

    assert begun(bedrock, invoke()).wait_s == 10
    assert begun(bedrock, invoke(), now_s=60.0).wait_s == 1


def test_an_outage_can_hit_a_share_of_the_calls():
    bedrock = Bedrock(EmulatorSpec(outages=[{"region": "us-east-1", "share": 0.25}]))

    hits = sum(fate(bedrock, f"Row {row}") == 503 for row in range(1_000))

    assert 200 < hits < 300


def test_a_fault_falls_on_converse_as_on_invoke():
    bedrock = Bedrock(EmulatorSpec())
    call = post("converse", converse_fields("a [[fault=ModelTimeoutException]]"), US_ID)

    reply = bedrock.finish(begun(bedrock, call), 0.0)

    assert told(reply)[:2] == (408, "ModelTimeoutException")
