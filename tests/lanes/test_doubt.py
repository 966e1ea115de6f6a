"""When the minute is put to the test: the waits, and where they end on the clock."""

from math import inf

import pytest

from batchrun.lanes.doubt import TRIAL_S, Doubt, Doubts


def doubt(full_minute_at_s: float = inf) -> Doubt:
    return Doubt(Doubts(full_minute_at_s))


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
    one.start_again(1_000.0)

    assert one.at(1_000.0) == 1_000.5
    assert waits(one, 6, 1_000.5) == [0.5, 1, 2, 4, 8, 16]


def test_short_waits_do_not_end_at_a_full_minute():
    one = doubt(full_minute_at_s=86_400.0)
    one.start_again(100.0)

    assert waits(one, 6, 100.5) == [0.5, 1, 2, 4, 8, 16]
    one.failed(133.0)  # 32 s: long
    assert one.at(133.0) == pytest.approx(180.05)


# Several pools of one run; the first is asked first, so its tests come first.


def doubts(pools: int = 3, full_minute_at_s: float = inf) -> list[Doubt]:
    """Return so many pools' doubts whose minutes all said no at 100 s: their first test is due at 110 s."""
    common = Doubts(full_minute_at_s)
    found = [Doubt(common) for _ in range(pools)]
    for one in found:
        one.at(100.0)
    return found


def test_while_one_pool_tests_the_others_wait_for_what_becomes_of_it():
    first, *others = doubts()
    first.tested(110.0)

    assert first.at(110.1) == 110.0  # if its call passes, its next may go
    assert [one.at(110.1) for one in others] == [110.0 + TRIAL_S] * 2


def test_a_test_that_failed_is_no_less_a_failure_for_the_others():
    first, *others = doubts()
    first.tested(110.0)
    first.failed(110.2)

    assert [one.at(110.3) for one in others] == [140.2] * 2  # 30 s later


def test_the_others_have_their_turn_before_the_pool_whose_test_failed():
    first, second, _ = doubts()
    first.failed(110.2)

    assert first.at(110.3) == 140.2 + TRIAL_S
    second.tested(140.2)
    assert first.at(140.3) == 140.2 + TRIAL_S


def test_the_waits_of_all_double_with_each_failure_of_any():
    first, second, third = doubts()
    first.failed(110.0)
    second.failed(140.0)  # 60 s

    assert third.at(141.0) == 200.0


def test_a_bucket_that_one_pool_has_found_may_be_seen_by_all_at_once():
    first, second, third = doubts()
    first.failed(110.0)
    second.tested(140.0)
    second.went_well(140.2, enough=False)
    assert third.at(140.3) == 140.0 + TRIAL_S

    second.went_well(140.4, enough=True)
    assert third.at(140.5) == 140.4
    third.tested(140.5)
    assert first.at(140.6) == 140.0 + TRIAL_S  # its own turn, and nobody's else


def test_a_window_that_one_pool_saw_turn_at_the_full_minute_is_looked_for_by_the_others():
    first, second, third = doubts(full_minute_at_s=86_400.0)
    first.failed(110.0)  # the next test is at the full minute at 120 s: 140 is nearer to it than to 180
    second.tested(120.05)
    second.found_edge(120.2)

    assert second.at(121.0) == 120.2 + 240
    assert (third.at(121.0), third.edge_s) == (120.2, 120.0)
    third.failed(121.2)  # it has other windows
    assert first.at(122.0) > 300


def test_a_pool_whose_number_was_wrong_tests_by_itself():
    first, second, _ = doubts()
    first.failed(110.0)
    second.start_again(120.0)

    assert second.at(120.0) == 120.5
    second.tested(120.5)
    second.failed(120.6)
    assert second.at(120.6) == 121.1
    assert first.at(121.0) == 140.0 + TRIAL_S  # not put off


def test_a_pool_may_leave_the_common_plan_for_one_test():
    first, second, _ = doubts()
    first.failed(110.0)
    second.again(115.0)

    assert second.at(115.0) == 115.5
    second.failed(116.0)
    assert second.at(116.0) == 116.0 + 60 + TRIAL_S


def test_a_window_that_did_not_turn_is_a_doubt_for_all_pools():
    first, second, _ = doubts()
    assert not second.windows_are_doubtful
    first.turned_back(160.0)

    assert second.windows_are_doubtful
