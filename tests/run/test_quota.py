"""What quotas do to a run: it slows, goes elsewhere, parks, or says why it cannot go on; no row fails for one."""

from datetime import UTC, datetime

import anyio
import pytest

from batchrun.bedrock.faults import classify
from batchrun.clock import Clock
from batchrun.emulator.service import Bedrock
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse
from tests.simulation.setups import REGIONS

TWO_LANES = {"scopes": ["us"], "source_regions": ["us-east-1", "us-west-2"]}
US_AND_GLOBAL = {"scopes": ["us", "global"], "source_regions": ["us-east-1"]}


def test_rows_that_are_throttled_again_and_again_are_not_failed(tmp_path):
    # The emulator refuses three calls of four, whatever the quota; no quota is configured that could foresee it.
    spec = job(
        tmp_path,
        numbered(60),
        routing=TWO_LANES,
        quota={"tokens_per_minute": 10_000_000},
        emulator={"tpm": 10_000_000, "rtt_ms": 20, "faults": {"ThrottlingException": 0.75}},
    )
    ended = rehearse(spec)

    assert ended.code == 0
    assert ended.summary["by_status"] == {"ok": 60}
    assert ended.summary["faults"]["ThrottlingException"] > 60
    assert all(row["attempts"] == 1 for row in ended.rows())


@pytest.mark.parametrize("window", ["bucket", "fixed", "sliding"])
def test_a_real_quota_of_a_tenth_is_found_out_with_few_throttles(tmp_path, window):
    # 100 rows settle at about 500 tokens each: 50,000 tokens at 6,000 a minute take 500 s.
    spec = job(
        tmp_path,
        [f"{number}: [[output_tokens=97]]" for number in range(100)],
        quota={"tokens_per_minute": 60_000},
        emulator={"tpm": 6_000, "window": window, "rtt_ms": 50},
    )
    ended = rehearse(spec)
    settled = ended.stats["pools"]["us-east-1/geo"]["settled_tokens"]

    assert ended.summary["by_status"] == {"ok": 100}
    assert ended.wall_s <= 1.5 * 60 * settled / 6_000
    assert ended.stats["throttled"] <= 100


def test_the_cheaper_price_class_is_preferred(tmp_path):
    ended = rehearse(job(tmp_path, numbered(50), routing=US_AND_GLOBAL))

    assert [lane["pool"] for lane in ended.summary["lanes"]] == ["us-east-1/global"]


def test_the_dearer_class_is_used_while_the_cheaper_is_full(tmp_path):
    ended = rehearse(job(tmp_path, numbered(300), routing=US_AND_GLOBAL, limits={"max_failed": 0.1}))
    calls = {lane["pool"]: lane["calls"] for lane in ended.summary["lanes"]}

    assert calls["us-east-1/global"] > calls["us-east-1/geo"] > 0


def test_the_dearer_class_is_used_when_the_cheaper_is_blocked(tmp_path):
    blocked = {"tokens_per_minute": 60_000, "pools": {"us-east-1/global": {"tokens_per_minute": 0}}}
    ended = rehearse(job(tmp_path, numbered(20), routing=US_AND_GLOBAL, quota=blocked))

    assert [lane["pool"] for lane in ended.summary["lanes"]] == ["us-east-1/geo"]
    assert ended.code == 0


def test_pools_with_a_quota_of_0_stop_the_run_and_are_named(tmp_path):
    ended = rehearse(job(tmp_path, numbered(20), routing=TWO_LANES, quota={"tokens_per_minute": 0}))

    assert ended.code == 3
    assert ended.calls == 0
    assert "us-east-1/geo" in ended.reason
    assert "its quota is 0" in ended.reason


@pytest.mark.parametrize("key", ["requests_per_minute", "tokens_per_day"])
def test_any_quota_of_0_blocks_its_pool(tmp_path, key):
    ended = rehearse(job(tmp_path, numbered(5), quota={key: 0}))

    assert (ended.code, ended.calls) == (3, 0)


def test_requests_per_minute_are_kept_to(tmp_path):
    # 60 a minute and 150 rows: two whole minutes must pass, and a bucket that starts full is never overdrawn.
    spec = job(
        tmp_path,
        numbered(150, "[[output_tokens=1]]"),
        quota={"tokens_per_minute": 1_000_000, "requests_per_minute": 60},
        emulator={"tpm": 1_000_000, "rpm": 60, "window": "sliding"},
    )
    ended = rehearse(spec)

    assert ended.code == 0
    assert 120 <= ended.wall_s <= 130
    assert ended.stats["throttled"] <= 8  # tests whether it is a bucket


def test_a_requests_quota_that_nobody_told_is_found_out(tmp_path):
    spec = job(
        tmp_path,
        numbered(150, "[[output_tokens=1]]"),
        quota={"tokens_per_minute": 1_000_000},
        emulator={"tpm": 1_000_000, "rpm": 60, "rtt_ms": 50},
    )
    ended = rehearse(spec)

    assert ended.code == 0
    assert ended.wall_s <= 300
    assert ended.stats["throttled"] <= 100


def day_job(folder, rows: int, routing, **pools: int):
    """A job whose pools have few tokens a day, which only the emulator knows."""
    tpd = {name.replace("_", "-"): {"tpd": tokens} for name, tokens in pools.items()}
    return job(
        folder,
        numbered(rows, "[[output_tokens=10]]"),  # settles at about 65 tokens, holds about 215
        routing=routing,
        limits={"max_in_flight": 4},
        emulator={"tpm": 60_000, "rtt_ms": 20, "pools": {f"{name}/geo": one for name, one in tpd.items()}},
    )


def noon() -> Clock:
    return Clock(datetime(2026, 11, 22, 12, tzinfo=UTC))


def test_a_pool_without_tokens_for_the_day_is_parked_and_the_others_go_on(tmp_path):
    ended = rehearse(day_job(tmp_path, 200, TWO_LANES, us_east_1=2_000), clock=noon)
    lanes = {lane["pool"]: lane for lane in ended.summary["lanes"]}

    assert ended.code == 0
    assert ended.summary["by_status"] == {"ok": 200}
    assert ended.wall_s < 3_600
    assert 1 <= lanes["us-east-1/geo"]["throttled"] <= 4  # calls that were out when the first refusal came


def test_a_run_with_no_tokens_left_for_the_day_stops_and_says_so(tmp_path):
    ended = rehearse(day_job(tmp_path, 100, TWO_LANES, us_east_1=2_000, us_west_2=2_000), clock=noon)

    assert ended.code == 3
    assert "its tokens per day are used up" in ended.reason
    assert "probably 0" not in ended.reason
    assert 0 < ended.summary["rows"] < 100


def test_a_day_quota_that_never_let_a_call_through_is_probably_0(tmp_path):
    ended = rehearse(day_job(tmp_path, 100, TWO_LANES, us_east_1=0, us_west_2=0), clock=noon)

    assert ended.code == 3
    assert "the day quota is probably 0" in ended.reason
    assert ended.calls <= 8


def test_the_next_day_the_run_goes_on(tmp_path):
    spec = day_job(tmp_path, 60, TWO_LANES, us_east_1=5_000, us_west_2=5_000)
    first = rehearse(spec, EmulatedTransport(Bedrock(spec.emulator), began_at_s=43_200), clock=noon)
    tomorrow = EmulatedTransport(first.bedrock, began_at_s=86_401)
    second = rehearse(spec, tomorrow, clock=lambda: Clock(datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC)))

    assert first.code in {0, 3}
    assert second.code == 0
    assert second.summary["rows"] == 60


def test_shortly_before_midnight_the_run_waits_for_the_new_day(tmp_path):
    spec = day_job(tmp_path, 100, {"scopes": ["us"], "source_regions": ["us-east-1"]}, us_east_1=4_000)
    before_midnight = EmulatedTransport(Bedrock(spec.emulator), began_at_s=86_400 - 600)
    ended = rehearse(spec, before_midnight, clock=lambda: Clock(datetime(2026, 11, 22, 23, 50, tzinfo=UTC)))

    assert ended.code == 0
    assert 660 <= ended.wall_s < 700  # and a minute more, since clocks differ


def test_a_configured_day_quota_is_kept_to_without_a_refusal(tmp_path):
    spec = job(
        tmp_path,
        numbered(100, "[[output_tokens=10]]"),
        quota={"tokens_per_day": 3_000},
        emulator={"tpm": 60_000, "pools": {"us-east-1/geo": {"tpd": 3_000}}},
    )
    ended = rehearse(spec, clock=noon)

    assert ended.code == 3
    assert ended.stats["throttled"] == 0
    assert "of 3000 tokens per day are used" in ended.reason


def test_a_row_larger_than_the_quota_ends_unsendable_and_the_others_finish(tmp_path):
    # 6,000 tokens a minute: the large row of 30,000 bytes holds about 8,700.
    prompts = numbered(30)
    prompts[7] = "x" * 30_000
    spec = job(tmp_path, prompts, quota={"tokens_per_minute": 6_000}, limits={"max_failed": 1}, emulator={"tpm": 6_000})
    ended = rehearse(spec)
    large = ended.row(7)
    largest = ended.stats["pools"]["us-east-1/geo"]["largest_hold_tokens"]

    assert ended.code == 0
    assert large["status"] == "unsendable"
    assert "the row holds 8" in large["error_message"]
    assert "the largest hold ever admitted is 2" in large["error_message"]
    assert 200 < largest < 300
    assert ended.transport.sends[7] == 5
    assert ended.summary["by_status"] == {"ok": 29, "unsendable": 1}


def test_rows_that_are_all_too_large_end_too(tmp_path):
    prompts = [f"{number}{'x' * 30_000}" for number in range(5)]
    spec = job(tmp_path, prompts, quota={"tokens_per_minute": 6_000}, limits={"max_failed": 5}, emulator={"tpm": 6_000})
    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"unsendable": 5}
    assert "the largest hold ever admitted is 0" in ended.row(0)["error_message"]
    assert ended.code == 0


def test_a_row_larger_than_the_configured_quota_is_sent_where_the_real_one_takes_it(tmp_path):
    prompts = ["x" * 30_000, *numbered(10)]
    spec = job(tmp_path, prompts, quota={"tokens_per_minute": 6_000}, emulator={"tpm": 60_000})
    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"ok": 11}


def test_a_row_that_every_pool_refuses_though_it_looks_small_ends_unsendable(tmp_path):
    # Its estimate is far too low, so that it seems to fit: without an end it would be tried for ever.
    class Refusing(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            if request.row != 7:
                return await super().send(inference_id, source_region, request)
            self.sends[7] += 1
            await anyio.sleep(0.02)
            return classify("ThrottlingException", 429, "Too many tokens, please wait before trying again.")

    spec = job(tmp_path, numbered(30), quota={"tokens_per_minute": 6_000}, limits={"max_failed": 1})
    ended = rehearse(spec, Refusing(Bedrock(spec.emulator)))

    assert ended.code == 0
    assert ended.summary["by_status"] == {"ok": 29, "unsendable": 1}
    assert "tries on rested pools were throttled" in ended.row(7)["error_message"]
    assert ended.wall_s < 900


def test_a_row_larger_than_a_day_is_unsendable_without_a_call_and_holds_up_nobody(tmp_path):
    prompts = ["x y z " * 15_000, *numbered(20)]
    quota = {"tokens_per_minute": 60_000, "tokens_per_day": 20_000}
    ended = rehearse(job(tmp_path, prompts, quota=quota, limits={"max_failed": 1}))

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": 20, "unsendable": 1})
    assert "no pool has more than 20000 a day" in ended.row(0)["error_message"]
    assert ended.transport.sends[0] == 0


@pytest.mark.parametrize("window", ["fixed", "sliding", "bucket"])
def test_a_start_into_a_minute_that_the_last_one_used_up_loses_no_row(tmp_path, window):
    emulator = {"window": window, "tpm": 60_000, "latency_s": 0.5, "rtt_ms": 50}
    limits = {"max_failed": 1.0}
    first = rehearse(job(tmp_path, numbered(400), emulator=emulator, limits={**limits, "deadline": 25}))
    second = rehearse(job(tmp_path, numbered(400), emulator=emulator, limits=limits), first.transport)

    assert (first.code, second.code) == (3, 0)
    assert second.summary["by_status"].keys() <= {"ok", "truncated"}


def test_while_others_hold_the_whole_quota_a_run_asks_seldom_and_stops_without_losing_a_row(tmp_path):
    class Held(EmulatedTransport):
        async def send(self, _inference_id, _source_region, request):
            self.sends[request.row] += 1
            await anyio.sleep(0.05)
            return classify("ThrottlingException", 429, "Too many tokens, please wait before trying again.")

    spec = job(tmp_path, numbered(200), quota={"tokens_per_minute": 60_000})
    first = rehearse(spec, Held(Bedrock(spec.emulator)))
    later = rehearse(spec)

    assert (first.code, first.summary["rows"]) == (3, 0)
    assert "no row has ended for 15 minutes" in first.reason
    assert sum(first.transport.sends.values()) < 150  # 8 s apart, and what was in flight at first
    assert later.summary["by_status"].keys() <= {"ok", "truncated"}


def test_a_row_that_no_pool_takes_is_tried_on_all_of_them_in_minutes(tmp_path):
    scopes = {"scopes": ["global"], "source_regions": REGIONS}
    prompts = ["x y z " * 15_000, *numbered(50)]
    quota = {"tokens_per_minute": 20_000}
    emulator = {"window": "fixed", "tpm": 20_000}
    ended = rehearse(job(tmp_path, prompts, routing=scopes, quota=quota, emulator=emulator, limits={"max_failed": 1}))

    assert ended.summary["by_status"] == {"ok": 50, "unsendable": 1}
    assert ended.wall_s < 300


def test_a_large_row_is_not_overtaken_for_ever(tmp_path):
    # It needs nearly the whole of the minute, and 200 small rows stand behind it.
    prompts = [*numbered(40), "x" * 17_000, *numbered(200, "Name a fish.")]
    spec = job(
        tmp_path, prompts, quota={"tokens_per_minute": 6_000}, limits={"max_failed": 0.1}, emulator={"tpm": 6_000}
    )
    ended = rehearse(spec)
    finished = sorted(ended.rows(), key=lambda row: row["finished_at"])
    place = [row["row"] for row in finished].index(40)

    assert ended.row(40)["status"] == "ok"
    assert place < 60


def test_the_calls_in_flight_grow_while_the_first_answers_are_still_out(tmp_path):
    prompts = numbered(200, "[[latency_s=30]] [[output_tokens=9]]")
    quota = {"tokens_per_minute": 10_000_000}
    ended = rehearse(job(tmp_path, prompts, quota=quota, emulator={"tpm": 10_000_000}))

    # 8 calls at once, doubled every quarter of a second: 200 are out after 1.5 s, and answered 30 s later.
    assert ended.wall_s < 40
