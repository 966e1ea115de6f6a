"""The window reading: what refusals make of its limit, for how long, and what raises it again."""

from batchrun.lanes.minute import Minute


def minute(per_minute: float | None = 1_000, *, used: float = 0, slack: float = 0.0, skew_s: float = 0.0) -> Minute:
    """Return a minute of which `used` was charged at 0 s."""
    one = Minute(per_minute, skew_s, slack)
    one.hold(used, 0.0)
    return one


def test_half_a_call_is_left_free_beside_a_small_one():
    one = minute(used=985, slack=0.5)

    assert one.ready_at(10, 1.0) == 1.0  # 985 + 10 + 5
    assert one.ready_at(12, 1.0) == 60.0  # 985 + 12 + 6


def test_no_more_than_a_hundredth_of_the_limit_is_left_free():
    one = minute(used=790, slack=0.5)

    assert one.ready_at(200, 1.0) == 1.0  # 790 + 200 + 10, and not + 100
    assert one.ready_at(201, 1.0) == 60.0


def test_a_charge_is_kept_longer_by_what_the_way_may_take():
    one = minute(skew_s=2.0)
    one.hold(1, 0.0)  # the first call of all, where a window may have begun
    one.turn_back()
    one.hold(999, 0.0)

    assert one.ready_at(1, 1.0) == 62.0


def test_an_unknown_limit_is_none():
    assert minute(None, used=1e9).ready_at(1e9, 1.0) == 1.0


def test_a_minute_is_nearly_full_from_six_tenths():
    assert minute(used=600).was_nearly_full(1.0)
    assert not minute(used=599).was_nearly_full(1.0)


def test_a_minute_without_a_limit_is_never_nearly_full():
    assert not minute(None, used=1e9).was_nearly_full(1.0)


def test_a_minute_that_was_full_early_counts_as_so_much_smaller():
    one = minute(used=900)
    one.full_early(50, 10.0)

    assert one.per_minute == 900
    assert one.ready_at(50, 10.0) == 60.0  # 100 were free


def test_a_minute_later_it_has_its_size_again():
    one = minute(used=900)
    one.full_early(50, 10.0)
    one.hold(900, 60.0)

    assert one.ready_at(50, 69.9) == 70.0
    assert one.ready_at(100, 70.0) == 70.0


def test_a_minute_that_was_full_early_twice_has_its_first_size_again():
    one = minute(used=900)
    one.full_early(50, 10.0)
    one.full_early(50, 20.0)

    assert one.ready_at(1_000, 80.0) == 80.0


def test_a_second_time_early_counts_a_minute_from_then():
    one = minute(used=900)
    one.full_early(50, 10.0)
    one.full_early(50, 20.0)
    one.hold(900, 60.0)

    assert one.ready_at(50, 75.0) == 80.0


def test_whether_it_is_nearly_full_goes_by_the_size_that_is_believed():
    one = minute(used=850)
    one.full_early(50, 10.0)  # of 1,000
    one.hold(550, 60.0)  # the 850 have left: 550 are six tenths of 850, and not of 1,000

    assert not one.was_nearly_full(61.0)


def test_a_refusal_far_below_the_limit_lowers_it_to_what_is_used_for_good():
    one = minute(used=300)
    one.wrong(50, 10.0)
    one.hold(300, 60.0)

    assert one.per_minute == 300
    assert one.ready_at(50, 119.0) == 120.0


def test_an_unknown_limit_becomes_what_is_used():
    one = minute(None, used=300)
    one.wrong(50, 10.0)

    assert one.per_minute == 300


def test_a_limit_never_falls_below_one_call():
    one = minute(used=0)
    one.wrong(50, 10.0)

    assert one.per_minute == 50
    assert one.ready_at(50, 10.0) == 10.0


def test_a_wrong_limit_that_was_thought_early_does_not_come_back():
    one = minute(used=900)
    one.turn_back()  # no window began with the first call
    one.full_early(50, 10.0)
    one.wrong(50, 20.0)
    one.hold(900, 70.0)

    assert one.ready_at(50, 75.0) == 130.0


def test_a_further_refusal_of_the_flight_lowers_to_what_is_left():
    one = minute()
    one.hold(300, 0.0)
    refused = one.hold(100, 0.0)
    one.wrong(100, 1.0)  # 400
    one.settle(refused, 0, 1.1)
    one.lower(100, 1.1)

    assert one.per_minute == 300


def test_a_limit_is_not_raised_by_lowering():
    one = minute(300, used=700)
    one.lower(50, 1.0)

    assert one.per_minute == 300


def test_a_limit_lowered_while_calls_had_not_settled_is_raised_to_what_is_then_used():
    one = minute(used=400)
    one.wrong(50, 1.0)  # 400
    refunded = one.hold(0, 1.0)
    one.lower(300, 61.0)  # all has left: down to one call
    one.settle(refunded, 350, 62.0)
    one.seen(62.0)

    assert one.per_minute == 350


def test_it_is_raised_no_further_than_what_was_used_when_it_was_refused():
    one = minute(used=400)
    one.wrong(50, 1.0)
    one.lower(300, 61.0)
    one.hold(900, 62.0)
    one.seen(62.0)

    assert one.per_minute == 400


def test_it_is_raised_no_further_than_the_quota():
    one = minute(1_000, used=1_400)  # debt
    one.wrong(50, 1.0)
    one.lower(300, 61.0)
    one.hold(1_300, 62.0)
    one.seen(62.0)

    assert one.per_minute == 1_000


def test_a_limit_that_no_refusal_lowered_is_not_touched():
    one = minute(used=1_400)
    one.seen(1.0)

    assert one.per_minute == 1_000
