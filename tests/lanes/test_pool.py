"""Pools: sums worked by hand from BEDROCK.md, and what parks them."""

from math import inf

import pytest

from batchrun.lanes.pool import DAY_SPENT, Pool, Quota
from tests.lanes.books import AT_ONCE


def pool(**quota: float) -> Pool:
    return Pool("us-east-1/geo", Quota(**quota), AT_ONCE)


def test_a_call_holds_input_and_max_tokens_and_settles_at_input_and_five_times_output():
    one = pool(tokens_per_minute=10_000)
    reservation = one.reserve(100 + 256, now_s=0.0)
    assert one.used_tokens(0.0) == 356

    one.settle(reservation, 100 + 5 * 20, now_s=1.0)

    assert one.used_tokens(1.0) == 200


def test_an_answer_longer_than_a_fifth_of_max_tokens_puts_the_pool_into_debt():
    one = pool(tokens_per_minute=1_000)
    reservation = one.reserve(356, now_s=0.0)
    one.settle(reservation, 100 + 5 * 256, now_s=2.0)  # 1,380: 380 above the quota

    assert one.room(2.0) == pytest.approx(-0.38)
    assert one.ready_at(1, 2.0) == pytest.approx(
        2.0 + 348 * 0.06 - 0.02
    )  # 380 - 33 come back, and 1 more, at 1,000 a minute


def test_a_call_of_unknown_end_keeps_its_hold():
    one = pool(tokens_per_minute=1_000)
    one.keep(one.reserve(400, now_s=0.0), now_s=1.0)

    assert one.in_flight == 0
    assert one.used_tokens(59.0) == 400


def test_a_call_that_failed_gives_its_tokens_back_but_counts_as_a_request():
    one = pool(tokens_per_minute=1_000, requests_per_minute=1)
    one.release(one.reserve(400, now_s=0.0), now_s=1.0)

    assert one.used_tokens(1.0) == 0
    assert one.ready_at(400, 1.0) == 60.0


def test_a_refused_call_gives_back_tokens_and_request():
    one = pool(tokens_per_minute=1_000, requests_per_minute=1)
    one.refuse(one.reserve(400, now_s=0.0), 0.1, requests=False)

    assert one.used_tokens(0.1) == 0
    assert one.ready_at(1, 60.0) == 60.0  # whatever the refusal said, a minute later it is tried again


def test_a_call_that_was_never_sent_leaves_no_trace():
    one = pool(tokens_per_minute=1_000, requests_per_minute=1)
    one.withdraw(one.reserve(1_000, now_s=0.0), now_s=0.0)

    assert one.ready_at(1_000, 0.0) == 0.0
    assert one.in_flight == 0


def test_requests_are_limited_like_tokens():
    one = pool(requests_per_minute=2)
    one.reserve(1, now_s=0.0)
    one.reserve(1, now_s=3.0)

    assert one.ready_at(1, 4.0) == pytest.approx(30.0)  # a bucket of two a minute; a window would say 60


def test_a_request_throttle_does_not_slow_the_tokens():
    one = pool(tokens_per_minute=60_000, requests_per_minute=60)
    one.refuse(one.reserve(1, now_s=0.0), 0.1, requests=True)
    one.settle(one.reserve(50_000, now_s=1.0), 50_000, now_s=2.0)

    assert one.ready_at(1, 2.5) < 3.0  # one request a second, not 50 s of tokens


def test_a_quota_of_zero_blocks_for_good():
    one = pool(tokens_per_minute=0)

    assert one.ready_at(1, 0.0) == inf
    assert not one.takes(1, 1e9)
    assert one.shut_why(0.0) == "its quota is 0: tokens_per_minute"


def test_a_hold_above_the_quota_never_goes_to_a_busy_pool():
    one = pool(tokens_per_minute=1_000)

    assert one.ready_at(1_001, 0.0) == inf
    assert one.rested_at(1_001, 0.0) == 0.0


def test_a_hold_above_the_quota_that_was_admitted_raises_the_capacity():
    one = pool(tokens_per_minute=1_000)
    one.settle(one.reserve(1_500, now_s=0.0), 200, now_s=1.0)

    assert one.capacity() == 1_500
    assert one.ready_at(1_500, 2.0) == pytest.approx(12.0)  # a full level: 200 of 1,000 come back in 12 s


def test_a_pool_is_rested_when_nothing_was_charged_for_a_minute():
    one = pool(tokens_per_minute=1_000)
    reservation = one.reserve(100, now_s=0.0)
    assert one.rested_at(100, 1.0) == inf  # one is out

    one.settle(reservation, 100, now_s=2.0)

    assert one.rested_at(100, 2.0) == 60.0
    assert one.reserve(100, now_s=60.0).rested


def test_a_refused_call_does_not_keep_a_pool_from_being_rested():
    one = pool(tokens_per_minute=1_000)
    one.refuse(one.reserve(5_000, now_s=0.0), 0.1, requests=False)

    assert one.rested_at(5_000, 0.1) == 0.1


def test_a_try_of_an_oversized_hold_does_not_slow_the_pool_for_others():
    one = pool(tokens_per_minute=1_000)
    one.refuse(one.reserve(5_000, now_s=0.0), 0.1, requests=False)

    assert one.ready_at(500, 0.1) == 0.1


def test_a_days_tokens_close_the_pool_until_the_day_turns():
    one = pool(tokens_per_minute=10_000, tokens_per_day=1_000)
    one.settle(one.reserve(900, now_s=0.0), 700, now_s=1.0)  # 300 of the day are left

    assert one.ready_at(300, 1.0) == 1.0
    assert one.ready_at(301, 1.0) == 86_400.0
    assert one.ready_at(1_000, 86_400.0) == 86_400.0


def test_what_was_taken_yesterday_is_not_given_back_today():
    one = pool(tokens_per_day=1_000)
    late = one.reserve(900, now_s=86_399.0)
    one.reserve(100, now_s=86_400.0)
    one.settle(late, 200, now_s=86_401.0)

    assert one.day_left(86_401.0) == 900


def test_several_days_may_turn_while_nothing_is_sent():
    one = pool(tokens_per_day=1_000)
    one.reserve(1_000, now_s=3 * 86_400.0 + 5)

    assert one.ready_at(1, 3 * 86_400.0 + 6) == 4 * 86_400.0


def test_a_parked_pool_opens_at_its_time():
    one = pool(tokens_per_minute=1_000)
    one.park(one.reserve(100, now_s=0.0), 300.0, "a quota", 0.1)

    assert one.ready_at(100, 1.0) == 300.0
    assert one.shut_why(299.0) == "a quota"
    assert one.shut_why(300.0) is None


def test_a_lesser_reason_does_not_shorten_a_park():
    one = pool(tokens_per_minute=1_000)
    first, second = one.reserve(100, now_s=0.0), one.reserve(100, now_s=0.0)
    one.park(first, 50_000.0, DAY_SPENT, 0.1)
    one.park(second, 300.0, "a quota", 0.2)

    assert one.ready_at(100, 1.0) == 50_000.0
    assert one.in_flight == 0


def test_a_day_quota_that_never_let_a_call_through_is_said_to_be_probably_zero():
    one = pool(tokens_per_minute=1_000)
    one.park(one.reserve(100, now_s=0.0), 50_000.0, DAY_SPENT, 0.1)

    assert "probably 0" in (one.shut_why(1.0) or "")


def test_an_unknown_quota_has_all_its_room():
    one = pool()
    one.reserve(1_000_000, now_s=0.0)

    assert one.room(0.0) == 1.0
    assert one.tokens_per_s() is None


def test_a_parked_call_leaves_the_promise_once():
    shared = Pool("us-east-1/geo", Quota(10_000, promised=True), AT_ONCE)
    stays, parked = shared.reserve(400, 0.0), shared.reserve(400, 0.0)
    shared.park(parked, 1.0, "tried", 0.5)
    others = [shared.reserve(400, 2.0) for _ in range(4)]  # 5 × 2,000 are promised: no sixth

    assert shared.ready_at(400, 2.0) > 2.0
    for one in (stays, *others):
        shared.settle(one, 100, 3.0)
    assert shared.ready_at(400, 3.0) < 10.0


def test_a_pool_whose_requests_are_used_up_is_not_rested():
    one = pool(tokens_per_minute=10_000, requests_per_minute=60)
    one.refuse(one.reserve(400, 0.0), 0.1, requests=True, retry_after_s=120.0)

    assert one.rested_at(15_000, 0.1) == pytest.approx(120.1)
