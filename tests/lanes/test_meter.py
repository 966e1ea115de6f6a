"""The trailing minute against sums worked by hand from BEDROCK.md's rule, and against a naive recomputation."""

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.lanes.meter import TrailingMinute


def test_settling_below_the_hold_gives_tokens_back():
    meter = TrailingMinute(60_000)
    charge = meter.hold(9_000, now_s=0.0)
    meter.settle(charge, 3_000, now_s=0.0)  # 6,000 come back

    assert meter.free(now_s=0.0) == 57_000


def test_settling_above_the_hold_puts_the_minute_into_debt():
    meter = TrailingMinute(1_000)
    charge = meter.hold(356, now_s=0.0)  # input 100 + max_tokens 256
    meter.settle(charge, 1_380, now_s=0.0)  # input 100 + 5 × 256

    assert meter.free(now_s=0.0) == -380


def test_a_hold_leaves_the_window_after_60_seconds():
    meter = TrailingMinute(1_000)
    meter.hold(1_000, now_s=10.0)

    assert meter.used(now_s=69.9) == 1_000
    assert meter.used(now_s=70.0) == 0


def test_a_debt_begins_at_the_settlement_and_lasts_60_seconds():
    meter = TrailingMinute(1_000)
    charge = meter.hold(400, now_s=0.0)
    meter.settle(charge, 900, now_s=20.0)  # 500 above the hold

    assert meter.used(now_s=59.0) == 900
    assert meter.used(now_s=60.0) == 500
    assert meter.used(now_s=80.0) == 0


def test_a_refund_of_a_hold_that_has_left_the_window_gives_nothing():
    meter = TrailingMinute(1_000)
    late = meter.hold(400, now_s=0.0)
    meter.hold(300, now_s=50.0)
    meter.settle(late, 100, now_s=65.0)

    assert meter.used(now_s=65.0) == 300


def test_a_debt_of_a_hold_that_has_left_the_window_counts_only_what_is_above_it():
    meter = TrailingMinute(1_000)
    late = meter.hold(400, now_s=0.0)
    meter.settle(late, 1_000, now_s=65.0)

    assert meter.used(now_s=65.0) == 600


def test_a_call_waits_until_the_oldest_charges_that_stand_in_its_way_have_left():
    meter = TrailingMinute(1_000)
    meter.hold(300, now_s=0.0)
    meter.hold(300, now_s=5.0)
    meter.hold(300, now_s=9.0)  # 900 used, 100 free

    assert meter.ready_at(100, now_s=10.0) == 10.0
    assert meter.ready_at(400, now_s=10.0) == 60.0  # the first 300 must go
    assert meter.ready_at(401, now_s=10.0) == 65.0  # and the second


def test_a_debt_is_waited_out_before_the_next_call():
    meter = TrailingMinute(1_000)
    charge = meter.hold(356, now_s=0.0)
    meter.settle(charge, 1_380, now_s=2.0)  # 356 until 60 s, 1,024 until 62 s: 380 in debt

    assert meter.ready_at(1, now_s=3.0) == 62.0  # at 60 s still 24 too many


def test_a_cost_above_the_quota_fits_an_empty_minute():
    meter = TrailingMinute(1_000)
    meter.hold(10, now_s=3.0)

    assert meter.ready_at(5_000, now_s=4.0) == 63.0


def test_a_charge_that_was_given_back_does_not_keep_the_minute_from_being_empty():
    meter = TrailingMinute(1_000)
    meter.hold(10, now_s=3.0)
    refused = meter.hold(500, now_s=30.0)
    meter.settle(refused, 0, now_s=31.0)

    assert meter.empty_at(now_s=31.0) == 63.0


def test_an_unknown_quota_is_not_limited_but_counted():
    meter = TrailingMinute(None)
    meter.hold(1_000_000, now_s=0.0)

    assert meter.ready_at(1_000_000, now_s=0.0) == 0.0
    assert meter.used(now_s=0.0) == 1_000_000


def test_the_time_it_names_is_the_time_at_which_the_call_fits():
    meter = TrailingMinute(1_000)
    began_s = 5_000.1
    meter.hold(1_000, began_s)
    ready_s = meter.ready_at(1_000, began_s)

    assert meter.free(ready_s) == 1_000  # whatever rounding did to 5,000.1 + 60


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "settle"]), st.integers(1, 600), st.integers(0, 40), st.integers(0, 7)),
    max_size=60,
)


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_the_sum_equals_a_naive_one_and_only_debt_takes_it_above_the_quota(steps):
    meter = TrailingMinute(1_000)
    now_s = 0.0
    entries = []  # of the naive meter: [at_s, cost, is debt]
    open_calls = []
    for kind, cost, pause_s, which in steps:
        now_s += pause_s
        if kind == "hold" and meter.ready_at(cost, now_s) <= now_s:
            debt = sum(c for at_s, c, is_debt in entries if is_debt and at_s > now_s - 60)
            entry = [now_s, cost, False]
            entries.append(entry)
            open_calls.append((meter.hold(cost, now_s), entry))
            assert meter.used(now_s) <= 1_000 + debt
        elif kind == "settle" and open_calls:
            charge, entry = open_calls.pop(which % len(open_calls))
            meter.settle(charge, cost, now_s)
            if cost > entry[1]:
                entries.append([now_s, cost - entry[1], True])
            else:
                entry[1] = cost
        assert meter.used(now_s) == sum(c for at_s, c, _ in entries if at_s > now_s - 60)
