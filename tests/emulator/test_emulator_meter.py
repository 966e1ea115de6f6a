"""The meters against sums worked by hand from BEDROCK.md: holds, settlements and debt in each kind of window."""

import pytest

from batchrun.emulator.meter import Bucket, FixedWindow, SlidingMinute, make_meter


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_settling_below_the_hold_gives_tokens_back(kind):
    meter = make_meter(kind, 60_000, burst_s=60)
    hold = meter.take(9_000, now_s=0.0)
    assert meter.room(now_s=0.0) == 51_000

    meter.settle(hold, 3_000, now_s=0.0)  # 6,000 come back

    assert meter.room(now_s=0.0) == 57_000


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_settling_above_the_hold_puts_the_meter_into_debt(kind):
    meter = make_meter(kind, 1_000, burst_s=60)
    hold = meter.take(356, now_s=0.0)  # input 100 + max_tokens 256

    meter.settle(hold, 1_380, now_s=0.0)  # input 100 + 5 × 256

    assert meter.room(now_s=0.0) == -380


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_a_failed_call_gives_its_whole_hold_back(kind):
    meter = make_meter(kind, 1_000, burst_s=60)
    hold = meter.take(400, now_s=1.0)

    meter.settle(hold, 0, now_s=1.0)

    assert meter.room(now_s=1.0) == 1_000


@pytest.mark.parametrize("kind", ["bucket", "fixed", "sliding"])
def test_a_quota_of_zero_never_has_room(kind):
    meter = make_meter(kind, 0, burst_s=60)

    assert meter.room(now_s=0.0) == 0
    assert meter.room(now_s=3_600.0) == 0


def test_a_bucket_refills_a_sixtieth_of_the_quota_a_second():
    meter = Bucket(60_000)
    meter.take(60_000, now_s=0.0)

    assert meter.room(now_s=0.0) == 0
    assert meter.room(now_s=0.5) == 500
    assert meter.room(now_s=10.0) == 10_000
    assert meter.room(now_s=1_000.0) == 60_000  # and no more than it holds


def test_a_bucket_holds_no_more_than_its_burst():
    meter = Bucket(60_000, burst_s=5)

    assert meter.capacity == 5_000
    assert meter.room(now_s=100.0) == 5_000


def test_a_bucket_pays_its_debt_at_the_rate_of_its_quota():
    meter = Bucket(6_000)  # 100 a second
    hold = meter.take(6_000, now_s=0.0)
    meter.settle(hold, 7_500, now_s=0.0)

    assert meter.room(now_s=0.0) == -1_500
    assert meter.room(now_s=15.0) == 0


def test_a_refund_does_not_fill_a_bucket_above_its_capacity():
    meter = Bucket(6_000, burst_s=10)  # holds 1,000, gains 100 a second
    hold = meter.take(1_000, now_s=0.0)

    meter.settle(hold, 400, now_s=8.0)  # 800 + 600, but no more than 1,000

    assert meter.room(now_s=8.0) == 1_000


def test_a_fixed_window_starts_anew_at_its_edge():
    meter = FixedWindow(1_000)
    meter.take(1_000, now_s=59.9)
    assert meter.room(now_s=59.99) == 0

    assert meter.room(now_s=60.0) == 1_000


def test_the_edges_of_a_fixed_window_can_lie_anywhere():
    meter = FixedWindow(1_000, edge_s=12.5)
    meter.take(1_000, now_s=70.0)

    assert meter.room(now_s=72.4) == 0
    assert meter.room(now_s=72.5) == 1_000


def test_the_first_minute_of_a_window_with_an_edge_elsewhere_ends_at_that_edge():
    meter = FixedWindow(1_000, edge_s=12.5)
    meter.take(1_000, now_s=0.0)

    assert meter.room(now_s=12.4) == 0
    assert meter.room(now_s=12.5) == 1_000


def test_debt_is_carried_over_the_edge_of_a_fixed_window():
    meter = FixedWindow(1_000)
    hold = meter.take(900, now_s=10.0)
    meter.settle(hold, 2_300, now_s=20.0)  # 1,300 above the quota

    assert meter.room(now_s=60.0) == -300  # the next window pays 1,000 of the 1,300
    assert meter.room(now_s=120.0) == 700  # the one after it the other 300
    assert meter.room(now_s=180.0) == 1_000


def test_debt_is_paid_by_windows_in_which_nobody_called():
    meter = FixedWindow(1_000)
    hold = meter.take(900, now_s=10.0)
    meter.settle(hold, 2_300, now_s=20.0)

    assert meter.room(now_s=130.0) == 700  # 2,300 - 2 × 1,000 = 300 left to pay


def test_a_call_over_the_edge_charges_its_excess_to_the_window_in_which_it_ends():
    meter = FixedWindow(1_000)
    hold = meter.take(500, now_s=50.0)

    meter.settle(hold, 800, now_s=70.0)

    assert meter.room(now_s=70.0) == 700


def test_a_call_over_the_edge_does_not_refund_a_window_that_it_never_burdened():
    meter = FixedWindow(1_000)
    hold = meter.take(500, now_s=50.0)
    meter.take(1_000, now_s=65.0)

    meter.settle(hold, 100, now_s=70.0)

    assert meter.room(now_s=70.0) == 0


def test_a_late_refund_lowers_the_debt_that_its_window_left():
    meter = FixedWindow(1_000)
    late = meter.take(400, now_s=50.0)
    other = meter.take(600, now_s=50.0)
    meter.settle(other, 900, now_s=55.0)  # 1,300 used: 300 are carried
    assert meter.room(now_s=60.0) == 700

    meter.settle(late, 200, now_s=61.0)  # 200 too much were held: 100 are left of the debt

    assert meter.room(now_s=61.0) == 900


def test_a_sliding_minute_forgets_a_hold_sixty_seconds_after_it_was_taken():
    meter = SlidingMinute(1_000)
    meter.take(600, now_s=0.0)
    meter.take(400, now_s=30.0)

    assert meter.room(now_s=59.9) == 0
    assert meter.room(now_s=60.0) == 600
    assert meter.room(now_s=90.0) == 1_000


def test_a_sliding_minute_counts_the_excess_from_the_settlement():
    meter = SlidingMinute(1_000)
    hold = meter.take(300, now_s=0.0)
    meter.settle(hold, 1_100, now_s=20.0)

    assert meter.room(now_s=20.0) == -100
    assert meter.room(now_s=60.0) == 200  # the 300 are gone, the 800 are not
    assert meter.room(now_s=80.0) == 1_000


def test_a_sliding_minute_takes_no_refund_for_a_hold_it_has_forgotten():
    meter = SlidingMinute(1_000)
    hold = meter.take(300, now_s=0.0)

    meter.settle(hold, 100, now_s=70.0)

    assert meter.room(now_s=70.0) == 1_000
