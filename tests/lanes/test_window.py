"""A minute that turns: what it forgets, what it carries over, and how a turn that was none is taken back."""

from batchrun.lanes.window import Window

LATE_S = 0.05  # our clock may be a little fast


def window(*, used: float, at_s: float = 1.0) -> Window:
    """Return a window of 10,000 that began at 0 s with its first call, of 0, and was charged `used` at `at_s`."""
    one = Window(10_000, 0.0)
    one.hold(0, 0.0)
    one.hold(used, at_s)
    return one


def test_a_window_begins_with_the_first_call_and_turns_a_minute_later():
    one = window(used=9_000, at_s=50.0)

    assert one.used(60.0) == 9_000
    assert one.used(60.0 + LATE_S) == 0


def test_it_turns_every_minute_from_there():
    one = window(used=0)
    one.hold(4_000, 119.0)

    assert one.used(120.0) == 4_000
    assert one.used(120.0 + LATE_S) == 0


def test_what_was_above_the_limit_is_carried_over():
    one = window(used=12_400)

    assert one.used(60.0 + LATE_S) == 2_400
    assert one.used(120.0 + LATE_S) == 0


def test_a_refund_after_the_turn_lowers_the_debt_and_nothing_else():
    one = window(used=8_000)
    late = one.hold(4_000, 59.0)
    assert one.used(61.0) == 2_000

    one.settle(late, 500, 61.0)  # 3,500 come back, of which 2,000 were debt

    assert one.used(61.0) == 0


def test_a_turn_may_be_supposed_anywhere():
    one = window(used=9_000)
    one.turn(30.0)

    assert one.used(30.0) == 0
    assert one.turns_at() == 90.0 + LATE_S


def test_a_turn_that_was_none_is_taken_back_and_the_sum_slides():
    one = window(used=9_000, at_s=20.0)
    one.turn(30.0)

    assert one.turn_back()
    assert one.used(79.9) == 9_000
    assert one.used(80.0) == 0


def test_there_is_nothing_to_take_back_of_a_window_that_never_turned():
    one = window(used=9_000)

    assert not one.turn_back()
    assert one.used(60.5) == 9_000  # until 61 s: it slides


def test_what_calls_gave_back_after_a_turn_counts_when_it_is_taken_back():
    one = Window(50_000, 0.0)
    held = [one.hold(5_000, 59.0) for _ in range(8)]
    one.turn(60.0)
    for call in held:
        one.settle(call, 500, 61.0)
    one.turn_back()

    assert one.used(62.0) == 8 * 500


def test_a_debt_that_has_left_the_minute_is_not_taken_off_twice():
    one = window(used=22_000)
    one.turn(10.0)  # 12,000 in debt
    one.hold(1_500, 65.0)
    assert one.used(70.5) == 3_500  # turned again: 12,000 + 1,500 - 10,000
    one.turn_back()

    assert one.used(70.5) == 1_500  # the 22,000 and their debt are more than a minute old


def test_a_window_that_has_yet_to_turn_may_be_given_up_for_one_that_slides():
    one = window(used=9_000, at_s=50.0)
    one.slide()

    assert one.used(60.0 + LATE_S) == 9_000
    assert one.used(110.0) == 0


def test_a_window_that_has_turned_is_not_given_up_for_what_other_pools_saw():
    one = window(used=0)
    one.used(60.0 + LATE_S)
    one.hold(4_000, 119.0)
    one.slide()

    assert one.used(120.0 + LATE_S) == 0
