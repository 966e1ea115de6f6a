"""How many calls may be out before a refusal could have come back, and what round trip that goes by."""

import pytest

from batchrun.lanes.unconfirmed import Unconfirmed


def unconfirmed(round_trip_s: float = 0.1, *, passed: int = 0, beyond: bool = False) -> Unconfirmed:
    """Return one of which `passed` calls were confirmed; a call counts as confirmed 0.12 s after it was sent."""
    one = Unconfirmed(round_trip_s)
    for _ in range(passed):
        one.sent(0.0, beyond=beyond)
    one.confirm(100.0)
    return one


def at_once(one: Unconfirmed, now_s: float) -> int:
    """Send as many calls as may go at one instant, and return how many."""
    sent = 0
    while one.ready_at(now_s) <= now_s:
        one.sent(now_s, beyond=False)
        sent += 1
    return sent


def beyond_at_once(one: Unconfirmed, now_s: float) -> int:
    """Send as many calls that the minute forbids as may go at one instant, and return how many."""
    sent = 0
    while one.ready_beyond_at(now_s) <= now_s:
        one.sent(now_s, beyond=True)
        sent += 1
    return sent


def test_the_first_call_goes_alone():
    assert at_once(unconfirmed(), 0.0) == 1


def test_a_call_is_confirmed_after_one_and_a_fifth_round_trips():
    one = unconfirmed()
    one.sent(5.0, beyond=False)

    assert one.ready_at(5.0) == pytest.approx(5.12)
    one.confirm(5.11)
    assert one.passed == 0
    one.confirm(5.13)
    assert one.passed == 1


def test_a_call_that_the_minute_forbade_is_none_beyond_it_if_it_fits_by_the_time_it_is_confirmed():
    one = unconfirmed()
    one.sent(5.0, beyond=True)
    one.confirm(6.0, fit=True)

    assert (one.passed, one.passed_beyond) == (1, 0)
    assert beyond_at_once(one, 6.0) == 1


@pytest.mark.parametrize(("passed", "calls"), [(9, 1), (10, 2), (19, 2), (20, 3), (700, 71)])
def test_one_more_may_be_out_for_every_ten_that_passed(passed, calls):
    assert at_once(unconfirmed(passed=passed), 200.0) == calls


def test_with_many_out_the_next_waits_until_enough_are_confirmed():
    one = unconfirmed(passed=10)
    one.sent(200.0, beyond=False)
    one.sent(200.05, beyond=False)  # two may be out

    assert one.ready_at(200.06) == pytest.approx(200.12)


def test_after_a_refusal_one_goes_alone_again():
    one = unconfirmed(passed=100)
    one.sent(200.0, beyond=False)
    one.start_again()

    assert one.passed == 0
    assert at_once(one, 200.1) == 1


def test_the_first_call_that_the_minute_forbids_goes_alone():
    one = unconfirmed(passed=100)  # none of these was forbidden

    assert beyond_at_once(one, 200.0) == 1


@pytest.mark.parametrize("passed", [1, 2, 5])
def test_one_more_forbidden_call_may_be_out_for_every_one_that_passed(passed):
    assert beyond_at_once(unconfirmed(passed=passed, beyond=True), 200.0) == passed + 1


def test_a_forbidden_call_waits_until_the_one_before_is_confirmed():
    one = unconfirmed()
    one.sent(5.0, beyond=True)

    assert one.ready_beyond_at(5.0) == pytest.approx(5.12)
    one.confirm(5.13)
    assert one.ready_beyond_at(5.13) == 5.13


def test_forbidden_calls_are_counted_among_all_that_passed():
    one = unconfirmed()
    one.sent(5.0, beyond=True)
    one.sent(5.0, beyond=False)
    one.confirm(6.0)

    assert (one.passed, one.passed_beyond) == (2, 1)


def test_a_refusal_that_comes_late_takes_back_what_was_confirmed():
    one = unconfirmed()
    one.sent(5.0, beyond=True)
    one.confirm(5.15)  # confirmed, wrongly
    one.forget(5.0, beyond=True)

    assert (one.passed, one.passed_beyond) == (0, 0)


def test_a_late_refusal_of_an_allowed_call_takes_back_no_forbidden_one():
    one = unconfirmed(passed=3, beyond=True)
    one.forget(200.0, beyond=False)

    assert (one.passed, one.passed_beyond) == (2, 3)


def test_a_call_that_is_forgotten_in_time_is_never_confirmed():
    one = unconfirmed(passed=3)
    one.sent(200.0, beyond=True)
    one.forget(200.0, beyond=True)
    one.confirm(300.0)

    assert (one.passed, one.passed_beyond) == (3, 0)


def confirmed_after_s(one: Unconfirmed) -> float:
    """Return how long a call counts as unconfirmed [s]."""
    one.start_again()
    one.sent(0.0, beyond=False)
    return one.ready_at(0.0)


def test_a_longer_round_trip_counts_at_once():
    one = unconfirmed(0.1)
    one.refusal_took(0.3)

    assert confirmed_after_s(one) == pytest.approx(1.2 * 0.3)


def test_a_shorter_round_trip_counts_by_three_tenths():
    one = unconfirmed(0.2)
    one.refusal_took(0.1)

    assert confirmed_after_s(one) == pytest.approx(1.2 * 0.17)  # 0.2 - 0.3 × 0.1


def test_a_round_trip_is_never_taken_for_longer_than_a_second():
    one = unconfirmed(0.1)
    one.refusal_took(30.0)  # it waited for a connection

    assert confirmed_after_s(one) == pytest.approx(1.2)


def test_a_round_trip_is_never_taken_for_shorter_than_a_fiftieth_of_a_second():
    one = unconfirmed(0.02)
    for _ in range(50):
        one.refusal_took(0.0)

    assert confirmed_after_s(one) == pytest.approx(1.2 * 0.02)


def test_without_a_round_trip_calls_are_confirmed_as_they_go():
    one = unconfirmed(0.0)
    one.sent(5.0, beyond=False)

    assert one.ready_at(5.0) == 5.0
