"""When the minute is put to the test: the waits, and where they end on the clock."""

from math import inf

import pytest

from batchrun.lanes.doubt import Doubt


def doubt(full_minute_at_s: float = inf) -> Doubt:
    return Doubt(full_minute_at_s)


def waits(one: Doubt, times: int, now_s: float = 100.0) -> list[float]:
    """Return how long it waits after each of so many tests that fail as soon as they are made [s]."""
    found = []
    for _ in range(times):
        one.failed(now_s)
        found.append(one.at(now_s) - now_s)
        now_s = one.at(now_s)
    return found


def test_the_first_test_is_ten_seconds_after_the_first_no():
    one = doubt()

    assert one.at(100.0) == 110.0
    assert one.at(105.0) == 110.0  # and not ten seconds after every no


def test_failed_tests_are_twice_as_far_apart_each_time_up_to_four_minutes():
    assert waits(doubt(), 5) == [30, 60, 120, 240, 240]


def test_failed_tests_end_a_little_after_a_full_minute_of_the_clock():
    one = doubt(full_minute_at_s=86_400.0)
    one.failed(100.0)

    assert one.at(100.0) == pytest.approx(120.05)  # 130 is nearest to the minute at 120


def test_the_nearest_full_minute_may_be_the_next():
    one = doubt(full_minute_at_s=86_400.0)
    one.failed(125.0)

    assert one.at(125.0) == pytest.approx(180.05)  # 155 is nearer to 180


def test_minutes_are_those_of_the_clock_and_not_of_the_run():
    one = doubt(full_minute_at_s=86_417.0)  # the run began 43 s after a full minute
    one.failed(100.0)

    assert one.at(100.0) == pytest.approx(137.05)


@pytest.mark.parametrize("full_minute_at_s", [0.0, 17.0, 86_400.0])
def test_failed_tests_that_are_aligned_stay_a_minute_apart_and_more(full_minute_at_s):
    one = doubt(full_minute_at_s)
    one.failed(full_minute_at_s + 100.0)
    now_s = one.at(0.0) + 0.1  # a round trip after a full minute

    assert waits(one, 4, now_s) == pytest.approx([59.9, 120, 240, 240], abs=1e-6)


def test_calls_that_go_well_allow_the_next_at_once():
    one = doubt()
    one.at(100.0)  # 110
    one.went_well(103.0, enough=False)

    assert one.at(103.0) == 103.0


def test_calls_that_go_well_later_than_the_test_was_due_do_not_postpone_it():
    one = doubt()
    one.at(100.0)
    one.went_well(111.0, enough=False)

    assert one.at(111.0) == 110.0


def test_a_few_that_go_well_do_not_shorten_the_wait_after_a_failure():
    one = doubt()
    one.went_well(100.0, enough=False)

    assert waits(one, 1) == [30]


def test_enough_that_go_well_halve_the_wait_after_a_failure():
    one = doubt()
    waits(one, 2)  # the next would be 120 s
    one.went_well(200.0, enough=True)

    assert waits(one, 1) == [60]


def test_waits_are_never_halved_below_half_a_second():
    one = doubt()
    for _ in range(20):
        one.went_well(100.0, enough=True)

    assert waits(one, 2) == [0.5, 1]


def test_again_is_half_a_second_later():
    one = doubt()
    one.again(100.0)

    assert one.at(100.0) == 100.5


def test_a_postponed_test_is_not_due_at_once():
    one = doubt()
    one.went_well(90.0, enough=False)  # due
    one.postpone(100.0)

    assert one.at(100.0) == 100.5


def test_postponing_does_not_bring_a_test_forward():
    one = doubt()
    one.failed(100.0)
    one.postpone(101.0)

    assert one.at(101.0) == 130.0


def test_postponing_before_the_first_no_is_half_a_second():
    one = doubt()
    one.postpone(100.0)

    assert one.at(100.0) == 100.5


def test_starting_again_tests_soon_and_often():
    one = doubt()
    waits(one, 4)
    one.start_again(100.0)

    assert one.at(100.0) == 100.5
    assert waits(one, 6, 100.5) == [0.5, 1, 2, 4, 8, 16]


def test_short_waits_do_not_end_at_a_full_minute():
    one = doubt(full_minute_at_s=86_400.0)
    one.start_again(100.0)

    assert waits(one, 6, 100.5) == [0.5, 1, 2, 4, 8, 16]
    one.failed(133.0)  # 32 s: long
    assert one.at(133.0) == pytest.approx(180.05)
