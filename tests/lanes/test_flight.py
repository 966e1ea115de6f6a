"""The bound on calls in flight: Little's law by hand."""

import pytest

from batchrun.lanes.flight import FIRST_LATENCY_S, HEADROOM, LEAST, MOST, InFlightLimit
from batchrun.lanes.pool import Pool, Quota


def limit(fixed: int | None = None, *, file_descriptors: int = 10_000, first_cost: float = 1_000.0) -> InFlightLimit:
    return InFlightLimit(fixed, file_descriptors=file_descriptors, first_cost=first_cost)


def pools(*quotas: Quota) -> list[Pool]:
    return [Pool(str(place), quota) for place, quota in enumerate(quotas)]


def test_a_number_in_the_job_file_is_taken_as_it_is():
    assert limit(3).calls(pools(Quota(5_000_000)), 0.0) == 3


def test_the_bound_is_twice_the_rate_times_the_latency():
    one = pools(Quota(tokens_per_minute=600_000))  # 10,000 tokens/s, at 1,000 a call: 10 calls/s

    assert limit().calls(one, 0.0) == HEADROOM * 10 * FIRST_LATENCY_S


def test_pools_add_up_and_the_tighter_of_tokens_and_requests_counts():
    both = pools(Quota(600_000), Quota(600_000, requests_per_minute=300))  # 10/s and 5/s

    assert limit().calls(both, 0.0) == HEADROOM * 15 * FIRST_LATENCY_S


def test_a_pool_of_unknown_quota_sets_no_bound_of_its_own():
    assert limit().calls(pools(Quota(600_000), Quota()), 0.0) == MOST


def test_blocked_and_parked_pools_count_nothing():
    assert limit().calls(pools(Quota(0), Quota(0)), 0.0) == LEAST


def test_file_descriptors_bound_it():
    assert limit(file_descriptors=50).calls(pools(Quota()), 0.0) == 50


def test_costs_and_latency_are_learnt_from_answers():
    bound = limit()
    for _ in range(400):
        bound.answered(500.0, 4.0)  # half the cost, twice the latency: four times the calls

    assert bound.calls(pools(Quota(600_000)), 0.0) == pytest.approx(HEADROOM * 20 * 4.0, abs=1)


def test_the_bound_is_worked_out_four_times_a_second():
    bound = limit()
    bound.calls(pools(Quota(600_000)), 10.0)

    assert bound.calls(pools(Quota()), 10.1) == 40
    assert bound.calls(pools(Quota()), 10.3) == MOST
