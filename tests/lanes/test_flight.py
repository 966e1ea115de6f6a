"""The bound on calls in flight: Little's law by hand."""

import pytest

from batchrun.lanes.flight import HEADROOM, LEAST, MOST, REFRESH_S, InFlightLimit
from batchrun.lanes.pool import Pool, Quota
from tests.lanes.books import AT_ONCE


def limit(fixed: int | None = None, *, connections: int = 10_000, first_cost: float = 1_000.0) -> InFlightLimit:
    return InFlightLimit(fixed, connections=connections, first_cost=first_cost)


def pools(*quotas: Quota) -> list[Pool]:
    return [Pool(str(place), quota, AT_ONCE) for place, quota in enumerate(quotas)]


def grown(bound: InFlightLimit, over: list[Pool]) -> int:
    """Return the bound once it has had the time to grow."""
    return [bound.calls(over, quarter * REFRESH_S) for quarter in range(20)][-1]


def test_the_bound_begins_small_and_at_the_most_doubles_four_times_a_second():
    bound = limit()
    asked = [bound.calls(pools(Quota()), quarter * REFRESH_S) for quarter in range(5)]

    assert asked == [LEAST, 2 * LEAST, 4 * LEAST, 8 * LEAST, 16 * LEAST]


def test_a_number_in_the_job_file_is_taken_as_it_is():
    assert limit(3).calls(pools(Quota(5_000_000)), 0.0) == 3


def test_a_whole_minutes_quota_may_be_in_flight():
    one = pools(Quota(tokens_per_minute=120_000))  # 2,000 tokens/s, at 1,000 a call: 2 calls/s

    assert grown(limit(), one) == 120


def test_where_calls_take_long_the_bound_is_twice_the_rate_times_the_latency():
    bound = limit()
    for _ in range(400):
        bound.answered(1_000.0, 45.0)

    assert grown(bound, pools(Quota(tokens_per_minute=120_000))) == pytest.approx(HEADROOM * 2 * 45.0, abs=1)


def test_pools_add_up_and_the_tighter_of_tokens_and_requests_counts():
    both = pools(Quota(120_000), Quota(120_000, requests_per_minute=60))  # 2/s and 1/s

    assert grown(limit(), both) == 180


def test_a_pool_of_unknown_quota_sets_no_bound_of_its_own():
    assert grown(limit(), pools(Quota(600_000), Quota())) == MOST


def test_blocked_and_parked_pools_count_nothing():
    assert grown(limit(), pools(Quota(0), Quota(0))) == LEAST


def test_connections_bound_it():
    assert grown(limit(connections=50), pools(Quota())) == 50


def test_costs_and_latency_are_learnt_from_answers():
    bound = limit()
    for _ in range(400):
        bound.answered(500.0, 4.0)  # half the cost: twice the calls

    assert grown(bound, pools(Quota(120_000))) == pytest.approx(240, abs=1)


def test_the_bound_is_worked_out_four_times_a_second():
    bound = limit()
    small = pools(Quota(6_000))  # 6 calls a minute
    before = grown(bound, small)

    assert bound.calls(pools(Quota()), 4.9) == before == LEAST
    assert bound.calls(pools(Quota()), 5.0) == 2 * LEAST
