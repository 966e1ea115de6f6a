"""What quota.share promises: a call in flight counts at the most that it may come to, whatever Bedrock holds."""

import pytest

from batchrun.lanes.metering import Metering
from batchrun.lanes.promise import Promise


def promise(tokens: float | None = 1_000, requests: float | None = None, skew_s: float = 0.0) -> Promise:
    """Return a promise; an output token costs five."""
    return Promise(tokens, requests, Metering(skew_s=skew_s, burndown=5.0))


def test_a_call_counts_at_five_times_its_hold():
    one = promise()
    one.hold(100, 0.0)  # at most 500

    assert one.ready_at(100, 1.0) == 1.0
    assert one.ready_at(101, 1.0) > 1.0  # 500 + 505


def test_a_settled_call_counts_at_what_it_came_to():
    one = promise()
    one.settle(one.hold(100, 0.0), 300, 1.0)

    assert one.ready_at(140, 1.0) == 1.0  # 300 + 700
    assert one.ready_at(141, 1.0) > 1.0


def test_the_burndown_is_that_of_the_model():
    one = Promise(1_000, None, Metering(burndown=1.0))
    one.hold(500, 0.0)

    assert one.ready_at(500, 1.0) == 1.0


def test_a_call_that_alone_may_break_it_waits_for_an_empty_minute():
    one = promise()
    one.settle(one.hold(10, 0.0), 20, 0.5)

    assert one.ready_at(500, 1.0) >= 60.0  # 2,500
    assert one.ready_at(500, 61.0) == 61.0


def test_requests_are_promised_like_tokens():
    one = promise(None, 2)
    one.hold(100, 0.0)
    one.hold(100, 3.0)

    assert one.ready_at(100, 4.0) == 60.0


def test_an_answer_does_not_give_its_request_back():
    one = promise(None, 1)
    one.settle(one.hold(100, 0.0), 10, 1.0)

    assert one.ready_at(100, 1.0) == 60.0


def test_the_later_of_tokens_and_requests_counts():
    one = promise(1_000, 1)
    one.hold(100, 5.0)

    assert one.ready_at(1, 6.0) == 65.0


def test_a_call_that_bedrock_did_not_count_leaves_no_trace():
    one = promise(1_000, 1)
    one.withdraw(one.hold(200, 0.0), 0.1)

    assert one.ready_at(200, 0.1) == 0.1


def test_a_number_that_is_not_known_is_no_promise():
    one = promise(None, None)
    one.hold(1e9, 0.0)

    assert one.ready_at(1e9, 0.0) == 0.0


def test_a_charge_is_kept_longer_by_what_the_way_may_take():
    one = promise(skew_s=2.0)
    one.settle(one.hold(200, 0.0), 1_000, 0.0)

    assert one.ready_at(200, 1.0) == 62.0


@pytest.mark.parametrize("took_s", [20.0, 65.0])
def test_what_a_call_comes_to_above_its_hold_counts_for_a_minute_from_its_end(took_s):
    # 200 are held at 0 s; the 800 that the answer came to besides are charged when it ends. A call of 200 more that is
    # let in before these are a minute old makes 1,000 + 800 of a quota of 1,000 in 60 s.
    one = promise()
    one.settle(one.hold(200, 0.0), 1_000, took_s)

    assert one.ready_at(200, took_s) >= took_s + 60.0


def test_a_call_that_takes_longer_than_a_minute_counts_until_it_ends():
    one = promise()
    one.hold(200, 0.0)  # 800 more may be charged at any time from here

    assert one.ready_at(200, 61.0) > 61.0
