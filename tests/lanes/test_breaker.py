"""When a lane is slowed, shut, tried again, and taken out."""

from math import inf

from batchrun.lanes.breaker import FIRST_SHUT_S, LONGEST_SHUT_S, SHUT_AFTER, Breaker


def failing(times: int, *, capacity: bool = False) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker.failed(9.0, 10.0, capacity=capacity)
    return breaker


def test_a_new_lane_takes_any_number_of_calls():
    breaker = Breaker()
    breaker.in_flight = 1_000

    assert breaker.ready_at(5.0) == 5.0


def test_one_capacity_fault_among_answers_is_chance():
    breaker = failing(1, capacity=True)
    breaker.in_flight = 50

    assert breaker.ready_at(10.0) == 10.0


def test_two_capacity_faults_in_a_row_bound_the_calls_in_flight():
    breaker = Breaker()
    breaker.in_flight = 9  # after the faulted call has left; 10 were out
    breaker.failed(1.0, 2.0, capacity=True)
    breaker.failed(1.1, 2.0, capacity=True)  # bounded to 0.7 × 10

    assert breaker.ready_at(2.0) == inf
    breaker.in_flight = 6
    assert breaker.ready_at(2.0) == 2.0


def test_faults_of_one_round_of_calls_bound_only_once():
    breaker = Breaker()
    breaker.in_flight = 9
    for _ in range(4):
        breaker.failed(1.0, 2.0, capacity=True)  # all sent before the first bound was set
    breaker.in_flight = 6

    assert breaker.ready_at(2.0) == 2.0


def test_answers_lift_the_bound():
    breaker = failing(2, capacity=True)
    breaker.in_flight = 1
    for _ in range(60):
        breaker.answered()

    breaker.in_flight = 1_000
    assert breaker.ready_at(11.0) == 11.0


def test_a_bound_is_never_less_than_one_call():
    breaker = failing(4, capacity=True)

    assert breaker.ready_at(10.0) == 10.0


def test_failures_in_a_row_shut_the_lane_for_a_while():
    breaker = failing(SHUT_AFTER)

    assert breaker.shut(10.0)
    assert breaker.ready_at(10.0) == 10.0 + FIRST_SHUT_S


def test_an_answer_between_failures_keeps_the_lane_open():
    breaker = failing(SHUT_AFTER - 1)
    breaker.answered()
    breaker.failed(9.0, 10.0, capacity=False)

    assert breaker.ready_at(10.0) == 10.0


def test_after_the_shut_time_one_call_tries_the_lane():
    breaker = failing(SHUT_AFTER)
    assert breaker.ready_at(11.0) == 11.0

    breaker.in_flight = 1

    assert breaker.ready_at(11.0) == inf


def test_an_answer_to_that_call_opens_the_lane():
    breaker = failing(SHUT_AFTER)
    breaker.answered()
    breaker.in_flight = 5

    assert breaker.ready_at(12.0) == 12.0


def test_the_shut_time_doubles_up_to_its_longest_and_never_becomes_for_ever():
    breaker = failing(SHUT_AFTER)
    now_s, shut = 11.0, []
    for _ in range(10):
        breaker.failed(now_s, now_s, capacity=False)
        shut.append(breaker.ready_at(now_s) - now_s)
        now_s = breaker.ready_at(now_s)

    assert shut == [2, 4, 8, 16, 32, LONGEST_SHUT_S, *[LONGEST_SHUT_S] * 4]


def test_calls_that_were_out_when_the_lane_was_shut_do_not_shut_it_longer():
    breaker = failing(SHUT_AFTER + 20)

    assert breaker.ready_at(10.0) == 10.0 + FIRST_SHUT_S


def test_a_retry_after_shuts_the_lane_that_long():
    breaker = Breaker()
    breaker.failed(9.0, 10.0, capacity=True, retry_after_s=7.0)

    assert breaker.ready_at(10.0) == 17.0


def test_a_lane_that_was_taken_out_stays_out_for_the_first_reason():
    breaker = Breaker()
    breaker.close("no access")
    breaker.close("something else")
    breaker.answered()

    assert breaker.ready_at(1e9) == inf
    assert breaker.closed_why == "no access"
