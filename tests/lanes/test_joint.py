"""A joint pool: what it takes over, and how it finds out that its members are several after all."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest

from batchrun.lanes.joint import JointPool
from batchrun.lanes.pool import Pool
from tests.lanes.books import AT_ONCE, tpm

NUMBER = 60_000  # tokens a minute: 1,000 a second
CALL = 500
TRIP_S = 0.1
OPEN_S = 1.0 + 1.2 * TRIP_S + 1e-9


def members(calls: int, *, pools: int = 4, at_s: float = 0.9) -> list[Pool]:
    """Return pools that each let `calls` calls of 500 in and answered them as held, and then refused one at 1.0 s."""
    made = [Pool(f"region-{place}/global", tpm(NUMBER), AT_ONCE) for place in range(pools)]
    for pool in made:
        for _ in range(calls):
            pool.settle(pool.reserve(CALL, at_s), CALL, at_s)
        pool.refuse(pool.reserve(CALL, 1.0 - TRIP_S), 1.0, requests=False)
    return made


def joint(calls: int = 5, **more: float) -> JointPool:
    """Return the pool that such members are booked as, asked once so that it has begun."""
    pools = members(calls, **more)
    refused = pools[-1].reserve(CALL, 1.0 - TRIP_S)
    pools[-1].refuse(refused, 1.0, requests=False)
    made = JointPool("global", pools, refused, 1.0)
    made.ready_at(CALL, OPEN_S)
    return made


def test_it_waits_until_all_refusals_under_way_are_back():
    pools = members(5)
    refused = pools[0].reserve(CALL, 1.0 - TRIP_S)
    made = JointPool("global", pools, refused, 1.0)

    assert made.ready_at(CALL, 1.0) == pytest.approx(OPEN_S)


def test_what_its_members_were_charged_counts_as_its_own():
    assert joint().used_tokens(OPEN_S) == 4 * 5 * CALL


def test_what_its_members_used_of_their_day_is_used_of_its_own():
    quota = tpm(NUMBER, tokens_per_day=1_000_000)
    pools = [Pool(f"region-{place}/global", quota, AT_ONCE) for place in range(4)]
    for pool in pools:
        pool.settle(pool.reserve(CALL, 0.9), CALL, 0.9)
        pool.refuse(pool.reserve(CALL, 1.0 - TRIP_S), 1.0, requests=False)
    refused = pools[0].reserve(CALL, 1.0 - TRIP_S)
    pools[0].refuse(refused, 1.0, requests=False)
    made = JointPool("global", pools, refused, 1.0)
    made.ready_at(CALL, OPEN_S)

    assert made.day_left(OPEN_S) == 1_000_000 - 4 * CALL


def test_a_call_that_was_out_when_it_began_is_settled_with_it_too():
    pools = members(5)
    out = pools[1].reserve(CALL, 0.9)
    made = JointPool("global", pools, pools[0].reserve(CALL, 1.0 - TRIP_S), 1.0)
    made.ready_at(CALL, OPEN_S)
    before = made.used_tokens(2.0)
    pools[1].settle(out, CALL + 200, 2.0)

    assert made.used_tokens(2.0) == before + 200


def test_pools_that_were_refused_at_once_and_let_nothing_in_after_it_may_be_one():
    assert not joint().several


def test_pools_that_took_more_than_one_can_have_are_several():
    # 4 x 61 x 500 are 122,000: more than twice the number.
    assert joint(61).several


def test_pools_that_let_calls_in_after_the_first_was_refused_are_several():
    pools = members(5)
    for _ in range(4):  # 4 calls at one instant; nothing flows in within it
        pools[0].reserve(CALL, 1.01)
    made = JointPool("global", pools, pools[1].reserve(CALL, 1.02 - TRIP_S), 1.02)
    made.ready_at(CALL, 2.0)

    assert made.several


def take_all(pool: JointPool, now_s: float) -> int:
    """Send calls that all pass as long as the pool lets them go at `now_s`; return how many were tests."""
    tests = 0
    while pool.ready_at(CALL, now_s) <= now_s and tests < 100:
        reservation = pool.reserve(CALL, now_s)
        tests += reservation.beyond
        pool.settle(reservation, CALL, now_s)
    return tests


def test_calls_beyond_its_level_that_all_pass_show_that_there_are_several():
    pool = joint()
    now_s, tests = OPEN_S, 0
    while not pool.several and now_s < 10.0:
        tests += take_all(pool, now_s)
        now_s += 0.05

    assert pool.several
    assert tests >= 10  # fewer may be an error of the level


def test_a_test_that_is_refused_is_followed_by_a_longer_wait_each_time():
    pool = joint()
    refused_at_s = []
    now_s = OPEN_S
    while now_s < 40.0:
        now_s += 0.05
        while pool.ready_at(CALL, now_s) <= now_s:
            reservation = pool.reserve(CALL, now_s)
            if reservation.beyond:
                pool.refuse(reservation, now_s + 0.04, requests=False)
                refused_at_s.append(now_s)
            else:
                pool.settle(reservation, CALL, now_s)
    waits_s = [later - earlier for earlier, later in pairwise(refused_at_s)]

    assert not pool.several
    # For four seconds they come soon; then the waits double.
    early_s = [wait_s for wait_s, at_s in zip(waits_s, refused_at_s, strict=False) if at_s < OPEN_S + 4]
    later_s = waits_s[len(early_s) :]
    assert len(early_s) >= 6
    assert all(0.5 <= wait_s < 1 for wait_s in early_s)
    assert len(later_s) == 4
    assert all(least <= wait_s < least + 1 for least, wait_s in zip((2, 4, 8, 16), later_s, strict=True))


def test_a_call_too_large_for_it_is_no_test():
    pool = joint()

    assert pool.ready_at(NUMBER + 1, OPEN_S) == inf
    assert not pool.reserve(NUMBER + 1, OPEN_S).beyond


def test_a_test_that_failed_for_other_reasons_proves_nothing():
    pool = joint()
    now_s = OPEN_S
    for _ in range(200):
        now_s += 0.05
        if pool.ready_at(CALL, now_s) <= now_s:
            reservation = pool.reserve(CALL, now_s)
            if reservation.beyond:
                pool.release(reservation, now_s)
            else:
                pool.settle(reservation, CALL, now_s)

    assert not pool.several


def test_a_promise_knows_what_other_pools_of_the_one_quota_were_charged():
    promised = replace(tpm(30_000), promised=True)
    pools = [Pool(f"r{number}", promised, AT_ONCE) for number in range(3)]
    for pool in pools:
        pool.settle(pool.reserve(400, 0.0), 9_000, 1.0)
    refused = [pool.reserve(400, 2.0) for pool in pools]
    for pool, reservation in zip(pools, refused, strict=True):
        pool.refuse(reservation, 2.1, requests=False)
    one = JointPool("global", pools, refused[0], 2.1)
    one.ready_at(400, 10.0)  # it begins

    assert one._promise is not None
    assert one._promise.most(10.0)[0] == 27_000
    assert one.ready_at(1_000, 10.0) > 60.0  # 5 x 1,000 more could break it


def test_a_pool_that_parts_again_keeps_what_went_by_its_lane_in_its_promise_and_its_day():
    pool = Pool("r", replace(tpm(30_000), promised=True, tokens_per_day=40_000), AT_ONCE)
    pool.settled_elsewhere(28_000, 5.0)

    assert pool.ready_at(1_000, 6.0) > 60.0
    assert pool.day_left(6.0) == 12_000
