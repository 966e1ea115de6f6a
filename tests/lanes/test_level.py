"""The bucket reading: sums by hand of what refills, what a refusal says, and what is believed of the rate after it."""

import pytest

from batchrun.lanes.level import Level


def level(per_minute: float | None = 600) -> Level:
    """Return a full level; 600 a minute are 10 a second."""
    return Level(per_minute)


def refused_twice(charged: float, after_s: float, *, cost: float = 10, measure: bool = True) -> Level:
    """Return a level of 10 a second that was refused at 0 s and, `charged` later, `after_s` later again."""
    one = level()
    one.pin(cost, 0.0, 0.0, measure=measure)
    one.charge(charged, 0.0)
    one.pin(cost, 0.0, after_s, measure=measure)
    return one


def slowed() -> Level:
    """Return a level of 10 a second at which two refusals of 10 measured 4 a second: it is at -5 at 30 s."""
    return refused_twice(110, after_s=30.0)  # (110 + 10) / 30


def raised_at(one: Level, at_s: float, cost: float = 10) -> bool:
    """Charge a call and tell whether that raised the rate."""
    before = one.rate_per_s or 0.0
    one.charge(cost, at_s)
    return (one.rate_per_s or 0.0) > before


def test_a_new_level_is_full():
    assert level().ready_at(600, 0.0) == 0.0


def test_what_was_charged_comes_back_at_the_rate():
    one = level()
    one.charge(600, 0.0)

    assert one.ready_at(100, 0.0) == 10.0
    assert one.ready_at(100, 4.0) == 10.0  # 40 are there, 60 take 6 s more


def test_a_level_never_holds_more_than_a_minutes_quota():
    one = level()
    one.charge(100, 0.0)
    one.charge(600, 1_000.0)  # all of it, however long it waited

    assert one.ready_at(1, 1_000.0) == pytest.approx(1_000.1)


def test_a_cost_above_the_capacity_needs_a_full_level():
    one = level()
    one.charge(60, 0.0)

    assert one.ready_at(5_000, 0.0) == 6.0


def test_settling_below_the_hold_gives_back():
    one = level()
    one.charge(600, 0.0)
    one.correct(100 - 600, 0.0)

    assert one.ready_at(500, 0.0) == 0.0
    assert one.ready_at(501, 0.0) == pytest.approx(0.1)


def test_what_is_given_back_does_not_overfill_the_level():
    one = level()
    one.charge(300, 0.0)
    one.correct(-300, 60.0)  # it is full again by then
    one.charge(600, 60.0)

    assert one.ready_at(1, 60.0) == pytest.approx(60.1)


def test_settling_above_the_hold_is_debt():
    one = level()
    one.charge(500, 0.0)
    one.correct(650 - 500, 2.0)  # 100 + 20 - 150: 30 below nothing

    assert one.ready_at(10, 2.0) == 6.0  # 40 at 10 a second


def test_a_pool_left_alone_for_a_minute_has_room_for_a_call():
    one = level()
    one.charge(600, 0.0)
    one.correct(1_400, 1.0)  # 1,390 below nothing: 140 s of the rate

    assert one.ready_at(10, 1.0) == 60.0


def test_a_refusal_puts_the_level_half_a_call_below_nothing():
    one = level()
    one.pin(100, 0.0, 0.0, measure=False)

    assert one.ready_at(100, 0.0) == 15.0  # 50 + 100 at 10 a second


def test_a_refusal_does_not_pay_a_debt():
    one = level()
    one.charge(600, 0.0)
    one.correct(200, 0.0)  # 200 below nothing
    one.pin(100, 0.0, 0.0, measure=False)

    assert one.ready_at(100, 0.0) == 30.0


def test_a_further_refusal_of_the_flight_lowers_the_level_and_not_the_rate():
    one = level()
    one.pin(100, 0.0, 0.0, measure=False)
    one.repin(100, 4.0)  # -50 + 40 was not enough for it

    assert one.ready_at(100, 4.0) == 19.0
    assert one.rate_per_s == 10


def test_one_refusal_measures_nothing():
    one = level()
    one.charge(10, 0.0)
    one.pin(10, 0.0, 50.0, measure=True)

    assert one.rate_per_s == 10


def test_two_refusals_measure_what_was_charged_between_them_and_one_call_more():
    assert refused_twice(110, after_s=30.0).rate_per_s == 4  # (110 + 10) / 30


def test_what_settles_between_two_refusals_is_measured_as_it_settled():
    one = level()
    one.pin(10, 0.0, 0.0, measure=True)
    one.charge(200, 0.0)
    one.correct(110 - 200, 10.0)
    one.pin(10, 0.0, 30.0, measure=True)

    assert one.rate_per_s == 4


def test_calls_that_were_refused_with_the_first_are_not_missing_from_what_was_charged_since():
    one = level()
    one.charge(30, 0.0)  # three calls of 10, all of them refused
    one.correct(-10, 0.05)
    one.pin(10, 0.0, 0.05, measure=True)
    for _ in range(2):
        one.correct(-10, 0.06)
        one.repin(10, 0.06)
    one.charge(110, 1.0)
    one.pin(10, 0.0, 30.05, measure=True)

    assert one.rate_per_s == pytest.approx(4)  # (110 + 10) / 30, and not (110 - 20 + 10) / 30


def test_a_measurement_never_exceeds_the_quota():
    assert refused_twice(1_000, after_s=30.0).rate_per_s == 10  # 33.7 a second were let through


@pytest.mark.parametrize(("after_s", "rate_per_s"), [(9.9, 10), (10.0, 3)])
def test_a_span_of_less_than_ten_calls_measures_nothing(after_s, rate_per_s):
    # Ten calls of 10 at 10 a second take 10 s; (20 + 10) / 10 s is 3 a second.
    assert refused_twice(20, after_s).rate_per_s == rate_per_s


@pytest.mark.parametrize(("after_s", "rate_per_s"), [(4.9, 10), (5.0, 0.6)])
def test_a_span_of_less_than_five_seconds_measures_nothing(after_s, rate_per_s):
    # Ten calls of 1 would take 1 s; (2 + 1) / 5 s is 0.6 a second.
    assert refused_twice(2, after_s, cost=1).rate_per_s == rate_per_s


@pytest.mark.parametrize(("charged", "rate_per_s"), [(19, 10), (20, 1)])
def test_less_than_two_calls_on_the_whole_measure_nothing_however_long_they_took(charged, rate_per_s):
    assert refused_twice(charged, after_s=30.0).rate_per_s == rate_per_s  # (20 + 10) / 30


def test_calls_that_took_what_others_gave_back_measure_nothing():
    one = level()
    one.charge(200, 0.0)  # twenty calls of 10 in flight as the first is refused: a window is full
    one.pin(10, 0.0, 0.0, measure=True)
    one.correct(-150, 1.0)  # they settle at 2.5 each
    one.charge(150, 1.0)  # fifteen calls more, and it is full again
    one.pin(10, 0.0, 15.0, measure=True)  # not (0 + 10) / 15: on a window nothing flows in before it turns

    assert one.rate_per_s == 10


def test_a_refusal_at_a_door_that_was_shut_since_the_last_measures_nothing():
    assert refused_twice(110, after_s=30.0, measure=False).rate_per_s == 10


def test_the_tightest_of_the_bounds_is_believed():
    one = refused_twice(100, after_s=20.0)  # 110 / 20 = 5.5 a second, for which ten calls take 18.2 s
    one.charge(30, 20.0)
    one.pin(10, 0.0, 40.0, measure=True)  # since 0 s: 140 / 40 = 3.5; since 20 s: 40 / 20 = 2

    assert one.rate_per_s == 2


def test_a_looser_bound_does_not_raise_the_rate():
    one = slowed()
    one.charge(1_000, 30.0)
    one.pin(10, 0.0, 60.0, measure=True)  # 1,010 / 30

    assert one.rate_per_s == 4


def test_the_rate_never_falls_below_one_call_a_minute():
    assert refused_twice(20, after_s=300.0).rate_per_s == pytest.approx(10 / 60)  # and not (20 + 10) / 300


def test_five_seconds_after_a_refusal_a_call_that_leaves_the_level_low_raises_the_rate():
    one = slowed()

    assert not raised_at(one, 34.9)
    assert raised_at(one, 35.0)
    assert one.rate_per_s == 5  # 4 × 1.25


def test_the_rate_is_not_raised_while_the_level_holds_nobody_back():
    one = slowed()

    assert not raised_at(one, 60.0)  # -5 + 120 - 10 = 105: more than 5 s of the rate


def test_a_raise_that_is_not_refused_is_followed_by_another():
    one = slowed()
    one.charge(10, 35.0)

    assert not raised_at(one, 39.9)
    assert raised_at(one, 40.0)
    assert one.rate_per_s == 6.25


def test_raises_end_at_the_quota():
    one = slowed()
    for second in range(35, 100):
        one.charge(10, float(second))

    assert one.rate_per_s == 10


def test_raises_have_no_end_where_no_quota_is_known():
    one = level(None)
    one.pin(10, 4.0, 0.0, measure=False)
    for second in range(100):
        one.charge(100, float(second))

    assert (one.rate_per_s or 0) > 40


def test_waits_for_a_raise_double_up_to_30_seconds_while_raises_are_refused():
    one, now_s = slowed(), 30.0
    for wait_s in (5, 10, 20, 30, 30):
        one.charge(200, now_s)  # so much that the level stays low
        assert not raised_at(one, now_s + wait_s - 0.1)
        assert raised_at(one, now_s + wait_s)
        now_s += wait_s + 1
        one.pin(10, 0.0, now_s, measure=False)


def test_a_refusal_without_a_raise_does_not_lengthen_the_wait():
    one = slowed()
    one.pin(10, 0.0, 33.0, measure=False)
    one.pin(10, 0.0, 34.0, measure=False)

    assert not raised_at(one, 38.9)
    assert raised_at(one, 39.0)


def test_a_raise_that_is_not_refused_shortens_the_wait_again():
    one = slowed()
    one.charge(100, 35.0)  # raised
    one.pin(10, 0.0, 36.0, measure=False)  # and refused: 10 s
    one.charge(100, 46.0)  # raised
    one.charge(100, 56.0)  # 10 s later raised again: the first of the two stands

    assert raised_at(one, 61.0)


def test_a_raise_that_is_not_refused_makes_older_bounds_void():
    one = slowed()
    one.charge(10, 35.0)
    one.charge(10, 40.0)
    one.pin(10, 0.0, 100.0, measure=True)  # since 30 s: (20 + 10) / 70 s, if it still counted

    assert one.rate_per_s == 6.25


def test_a_raise_that_is_refused_leaves_older_bounds_in_force():
    one = slowed()
    one.charge(20, 35.0)
    one.pin(10, 0.0, 60.0, measure=True)  # since 0 s: 140 / 60 s = 2.33; since 30 s: 30 / 30 s, over ten calls of 5

    assert one.rate_per_s == 1


def test_an_unknown_quota_is_no_limit():
    one = level(None)
    one.charge(1e9, 0.0)

    assert one.ready_at(1e9, 0.0) == 0.0
    assert one.rate_per_s is None


def test_an_unknown_quota_is_after_its_first_refusal_what_was_seen():
    one = level(None)
    one.charge(200, 0.0)
    one.pin(100, 20.0, 10.0, measure=True)  # -50 at 20 a second

    assert one.rate_per_s == 20
    assert one.ready_at(100, 10.0) == 17.5
    assert one.ready_at(5_000, 10.0) == 60.0  # full at 1,200: 62.5 s later, but left alone it is tried at 60 s


def test_an_unknown_quota_of_which_nothing_was_seen_is_one_call_a_minute():
    one = level(None)
    one.pin(60, 0.0, 0.0, measure=False)

    assert one.rate_per_s == 1


def test_it_says_what_it_believes():
    assert repr(level()) == "Level(600 at 0.0 s, rate_per_s=10.0)"


def test_a_rate_is_never_above_the_jobs_number():
    level = Level(10_000)
    level.pin(15_000, 0.0, 5.0, measure=True)

    assert level.rate_per_s == pytest.approx(10_000 / 60)
