"""How refusals close a pool, slow it, and how it recovers."""

import pytest

from batchrun.lanes.pace import DEEPEST_CUT, PAUSE_S, PROBE_S, Pace, Throttle


def refusal(
    sent_at_s: float, *, cost: float = 400.0, used: float = 0.0, retry_after_s: float | None = None
) -> Throttle:
    return Throttle(cost, sent_at_s, used, retry_after_s)


def closed_at_10(quota_per_s: float | None = 100.0) -> Pace:
    pace = Pace(quota_per_s)
    pace.charged(400, 9.9)
    pace.refused(refusal(9.9), 10.0)
    return pace


def test_without_a_refusal_the_meter_alone_governs():
    pace = Pace(100.0)
    pace.charged(1_000_000, 5.0)

    assert pace.ready_at(5.0) == 5.0


def test_a_refusal_closes_the_pool_for_a_pause():
    assert closed_at_10().ready_at(10.0) == 10.0 + PAUSE_S


def test_refusals_of_calls_sent_before_the_first_tell_nothing_new():
    pace = closed_at_10()

    assert not pace.refused(refusal(9.95), 10.1)
    assert pace.ready_at(10.1) == 10.0 + PAUSE_S


def test_calls_sent_at_the_instant_of_the_refusal_belong_to_its_episode():
    pace = Pace(100.0)
    assert pace.refused(refusal(10.0), 10.0)  # a round trip of 0

    assert not pace.refused(refusal(10.0), 10.0)


def test_the_pause_doubles_while_nothing_gets_through():
    pace = closed_at_10()
    pace.charged(400, 10.5)
    pace.refused(refusal(10.5), 10.6)

    assert pace.ready_at(10.6) == 10.6 + 2 * PAUSE_S


def test_after_a_pause_calls_go_one_by_one_until_the_first_is_through():
    pace = closed_at_10(quota_per_s=100_000.0)
    pace.charged(400, 10.5)
    assert pace.ready_at(10.5) == 10.5 + PROBE_S

    pace.passed(10.5)

    assert pace.ready_at(10.6) == 10.6


def test_after_a_first_refusal_calls_go_at_the_quotas_own_rate():
    pace = closed_at_10(quota_per_s=100.0)
    pace.charged(400, 20.0)
    pace.passed(20.0)

    assert pace.ready_at(20.0) == 24.0  # 400 / 100


def test_an_unknown_quota_is_first_taken_to_be_what_the_last_minute_let_through():
    pace = Pace(None)
    pace.refused(refusal(9.9, used=6_000), 10.0)

    assert pace.rate_per_s == 100  # 6,000 / 60


def test_an_unknown_quota_is_at_least_one_call_a_minute():
    pace = Pace(None)
    pace.refused(refusal(9.9, cost=420, used=0), 10.0)

    assert pace.rate_per_s == 7  # 420 / 60


def test_a_further_episode_cuts_the_rate_to_what_was_admitted_since_the_last():
    pace = closed_at_10(quota_per_s=100.0)
    pace.charged(500, 12.0)
    pace.refused(refusal(12.0), 20.0)

    assert pace.rate_per_s == pytest.approx(50.0)  # 500 in the 10 s since the cut


def test_no_episode_cuts_deeper_than_its_bound():
    pace = closed_at_10(quota_per_s=100.0)
    pace.charged(450, 12.0)
    pace.refused(refusal(12.0, cost=400), 110.0)

    assert pace.rate_per_s == DEEPEST_CUT * 100  # 450 in 100 s would say 4.5


def test_the_rate_is_never_cut_below_one_call_a_minute():
    pace = closed_at_10(quota_per_s=10.0)
    for start_s in range(100, 2_000, 100):
        pace.charged(400, start_s)
        pace.refused(refusal(start_s, cost=400), start_s + 1.0)

    assert pace.rate_per_s == pytest.approx(400 / 60)


def test_refunds_of_calls_refused_in_the_episode_are_not_measured_against_the_next():
    pace = Pace(100.0)
    for _ in range(50):
        pace.charged(400, 9.9)
    pace.refused(refusal(9.9), 10.0)
    for _ in range(49):  # the rest of the burst is refused too
        pace.turned_away(400, 9.9)
        pace.refused(refusal(9.9), 10.1)
    pace.charged(500, 12.0)

    assert pace.refused(refusal(12.0), 20.0)
    assert pace.rate_per_s == pytest.approx(50.0)  # 500 in 10 s; the burst's 49 × 400 hide nothing


def test_a_debt_slows_the_next_call():
    pace = closed_at_10(quota_per_s=100.0)
    pace.charged(400, 20.0)
    pace.passed(20.0)
    pace.corrected(600)

    assert pace.ready_at(21.0) == 30.0  # (400 + 600) / 100 after 20 s


def test_a_minute_after_the_last_call_another_may_go_whatever_the_debt():
    pace = closed_at_10(quota_per_s=100.0)
    pace.charged(400, 20.0)
    pace.passed(20.0)
    pace.corrected(1_000_000)

    assert pace.ready_at(21.0) == 80.0


def test_without_refusals_the_rate_grows_back_to_the_quotas_own_and_the_burst_is_tried_again():
    pace = closed_at_10(quota_per_s=100.0)
    pace.charged(500, 12.0)
    pace.refused(refusal(12.0), 20.0)
    cut = pace.rate_per_s
    now_s = 20.0
    while pace.rate_per_s is not None and now_s < 1_000:
        now_s += 10
        pace.charged(1, now_s)
        pace.passed(now_s)

    assert cut == pytest.approx(50.0)
    assert pace.rate_per_s is None
    assert now_s == 170  # 50 × 1.05^15 > 100


def test_a_pool_asked_once_a_minute_grows_as_fast_as_one_asked_often():
    rarely, often = closed_at_10(None), closed_at_10(None)
    rarely.charged(1, 70.0)
    for now_s in (20.0, 30.0, 40.0, 50.0, 60.0, 70.0):
        often.charged(1, now_s)

    assert rarely.rate_per_s == pytest.approx(often.rate_per_s)


def test_a_retry_after_is_honoured():
    pace = Pace(100.0)
    pace.refused(refusal(9.9, retry_after_s=30.0), 10.0)

    assert pace.ready_at(10.0) == 40.0


def test_an_absurd_retry_after_is_taken_up_to_five_minutes():
    pace = Pace(100.0)
    pace.refused(refusal(9.9, retry_after_s=float("inf")), 10.0)

    assert pace.ready_at(10.0) == 310.0
