"""What a call takes at the gate, and what each end gives back, closes, or decides about its row."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.lanes.admission import Admissions, Bound, Next, Refused
from batchrun.lanes.trial import HOPELESS_THROTTLES, RESTED_THROTTLES, Trial
from batchrun.records import Usage
from tests.lanes.books import (
    CAPACITY,
    DAY,
    EXPIRED,
    FAULTS,
    INVALID,
    LOST,
    MODEL,
    NO_FORM,
    NO_LANE,
    NO_REGION,
    PARK,
    REQUESTS,
    SERVER,
    TOKENS,
    admissions,
    admitted,
    lane,
    tpm,
    trial,
)

GEO, EAST2, GLOBAL = "us from us-east-1", "us from us-east-2", "global from us-east-1"
ONE = {GEO: tpm(60_000)}
TWO = {GEO: tpm(60_000), EAST2: tpm(60_000)}


def taken(books: Admissions) -> tuple[int, int, int, float]:
    """Return what calls in flight hold: calls in all, by pools, by lanes, and dollars."""
    router = books.router
    pools = sum(pool.in_flight for pool in router.pools.values())
    return (
        books.in_flight,
        pools,
        sum(b.in_flight for b in router.breakers.values()),
        books.budgets.dollars.reserved_usd,
    )


def throttled_at_rest(books: Admissions, row: Trial, times: int, now_s: float = 0.0) -> tuple[Next, float]:
    """Have rested pools turn a row away so many times; return what became of it, and when."""
    verdict = Next.ELSEWHERE
    while times:
        answer = books.admit(row, now_s)
        if isinstance(answer, Refused):
            assert answer.at_s < inf, "it would wait for ever"
            now_s = answer.at_s
            continue
        times -= 1
        verdict = books.faulted(answer, row, TOKENS, now_s + 0.1)
        now_s += 0.1
    return verdict, now_s


def test_a_call_takes_a_place_in_flight_its_hold_and_its_worst_case_in_dollars():
    books = admissions(ONE)
    admitted(books, trial(hold=1_000, max_tokens=100), 0.0)

    assert taken(books) == (1, 1, 1, pytest.approx((100 * 1.1 + 100 * 5.5) / 1e6))  # 100 bytes, 100 max_tokens
    assert books.router.pools["us-east-1/geo"].used_tokens(0.0) == 1_000


def test_an_answer_settles_at_input_cache_writes_and_five_times_output():
    books, row = admissions(ONE), trial()
    usage = Usage(input=80, output=20, cache_read=500, cache_write=40)
    spent_usd = books.answered(admitted(books, row, 0.0), row, usage, 1.0)

    assert books.router.pools["us-east-1/geo"].used_tokens(1.0) == 80 + 40 + 5 * 20
    assert spent_usd == pytest.approx((80 * 1.1 + 20 * 5.5 + 500 * 0.11 + 40 * 1.375) / 1e6)
    assert books.budgets.dollars.spent_usd == row.cost_usd == spent_usd
    assert taken(books) == (0, 0, 0, 0.0)


def test_the_in_flight_limit_stops_the_next_call():
    books = admissions(ONE, in_flight=1)
    admitted(books, trial(0), 0.0)

    assert books.admit(trial(1), 0.0) == Refused(Bound.IN_FLIGHT, inf)


def test_retries_above_the_budget_lower_the_in_flight_limit_and_fail_no_row():
    books = admissions(ONE, in_flight=100)
    for _ in range(60):
        row = trial(hold=10, max_tokens=1)
        row.attempts = 1  # sent before
        books.withdrawn(admitted(books, row, 0.0), 0.0)

    assert books.limit(0.0) == 36  # (0.2 × 60 + 10) / 60 of 100


def test_a_call_whose_worst_case_exceeds_the_cap_is_not_let_in():
    books = admissions(ONE, cap_usd=0.001)  # a call is 0.00066 at worst
    admitted(books, trial(0), 0.0)

    assert books.admit(trial(1), 0.0) == Refused(Bound.DOLLARS, inf, pytest.approx(0.00066))


def test_a_call_that_was_cancelled_keeps_quota_and_dollars():
    books, row = admissions(ONE), trial()
    admission = admitted(books, row, 0.0)
    books.abandoned(admission, 0.0)

    assert taken(books) == (0, 0, 0, 0.0)
    assert books.budgets.dollars.spent_usd == admission.worst_usd
    assert books.router.pools["us-east-1/geo"].used_tokens(1.0) == 1_000


def test_a_call_that_was_never_sent_gives_all_back():
    books, row = admissions(ONE), trial()
    books.withdrawn(admitted(books, row, 0.0), 0.0)

    assert taken(books) == (0, 0, 0, 0.0)
    assert books.budgets.dollars.spent_usd == 0
    assert books.router.pools["us-east-1/geo"].used_tokens(0.0) == 0


def test_a_fault_that_may_have_been_billed_counts_its_worst_case_as_spent_and_keeps_the_hold():
    books, row = admissions(ONE), trial()
    admission = admitted(books, row, 0.0)
    books.faulted(admission, row, LOST, 1.0)

    assert books.budgets.dollars.spent_usd == admission.worst_usd
    assert books.router.pools["us-east-1/geo"].used_tokens(1.0) == 1_000


def test_a_throttle_sends_the_row_elsewhere_at_once_and_counts_nothing_against_it():
    books, row = admissions(TWO), trial()
    first = admitted(books, row, 0.0)

    assert books.faulted(first, row, TOKENS, 0.1) is Next.ELSEWHERE
    assert (row.attempts, row.failures) == (0, 0)
    assert admitted(books, row, 0.1).lane != first.lane


def test_a_used_up_day_parks_the_pool_until_midnight():
    books, row = admissions(ONE), trial()

    assert books.faulted(admitted(books, row, 0.0), row, DAY, 10.0) is Next.ELSEWHERE
    assert books.admit(row, 11.0) == Refused(Bound.QUOTA, 3_610.0)  # midnight is an hour away


def test_another_quota_parks_the_pool_for_five_minutes():
    books, row = admissions(ONE), trial()
    books.faulted(admitted(books, row, 0.0), row, PARK, 10.0)

    assert books.admit(row, 11.0) == Refused(Bound.QUOTA, 310.0)


def test_a_lane_without_access_is_closed_and_the_row_goes_elsewhere():
    books, row = admissions(TWO), trial()
    first = admitted(books, row, 0.0)

    assert books.faulted(first, row, NO_LANE, 0.1) is Next.ELSEWHERE
    assert row.failures == 0
    assert "AccessDeniedException" in (books.router.breakers[first.lane].closed_why or "")


def test_a_region_that_is_not_enabled_closes_all_its_lanes():
    books, row = admissions({GLOBAL: tpm(60_000), GEO: tpm(60_000), EAST2: tpm(60_000)}), trial()

    assert books.faulted(admitted(books, row, 0.0), row, NO_REGION, 0.1) is Next.ELSEWHERE
    assert admitted(books, row, 0.1).lane == lane(EAST2)


@pytest.mark.parametrize(
    ("fault", "becomes"),
    [
        (CAPACITY, Next.RETRY),
        (SERVER, Next.RETRY),
        (MODEL, Next.RETRY),
        (LOST, Next.RETRY),
        (INVALID, Next.UNSENDABLE),
        (EXPIRED, Next.REFRESH),
        (NO_FORM, Next.STOP),
        (REQUESTS, Next.ELSEWHERE),
    ],
)
def test_each_fault_decides_about_its_row(fault, becomes):
    books, row = admissions(ONE), trial()

    assert books.faulted(admitted(books, row, 0.0), row, fault, 0.1) is becomes


def fails(fault, *, max_attempts: int = 6) -> int:
    """Return after how many faults a row has failed."""
    books, row = admissions({GEO: tpm(None)}, max_attempts=max_attempts), trial()
    for attempt in range(1, 100):
        now_s = 1_000.0 * attempt  # whatever was shut is open again
        if books.faulted(admitted(books, row, now_s), row, fault, now_s) is Next.FAILED:
            return attempt
    return 0


def test_a_row_fails_after_its_attempts():
    assert fails(SERVER) == 6
    assert fails(SERVER, max_attempts=1) == 1


def test_a_fault_that_is_likely_the_rows_own_is_tried_three_times():
    assert fails(MODEL) == 3
    assert fails(MODEL, max_attempts=2) == 2


def test_capacity_faults_are_not_counted_against_the_row():
    assert fails(CAPACITY) == 0


def test_a_row_larger_than_any_quota_goes_to_a_rested_pool_only():
    books = admissions(ONE)
    row = trial(1, hold=70_000)
    small = admitted(books, trial(0), 0.0)
    assert books.stands_aside(row, 0.0)
    assert books.admit(row, 0.0) == Refused(Bound.QUOTA, inf)  # one is out

    books.answered(small, trial(0), Usage(10, 1), 1.0)

    assert books.admit(row, 1.0) == Refused(Bound.QUOTA, 60.0)
    assert admitted(books, row, 60.0).reservation.rested


def test_dollars_that_cover_a_cheaper_lane_only_are_kept_for_it():
    books = admissions({GLOBAL: tpm(1_000), GEO: tpm(60_000)}, cap_usd=0.00125)
    first = trial(0)
    books.answered(admitted(books, first, 0.0), first, Usage(100, 100), 0.2)
    row = trial(1)
    soon = books.admit(row, 0.3)

    assert isinstance(soon, Refused)
    assert (soon.bound, soon.at_s) == (Bound.QUOTA, pytest.approx(0.55))
    assert admitted(books, row, 60.0).lane.scope == "global"


def test_five_throttles_by_rested_pools_make_a_row_unsendable():
    books = admissions(ONE)
    row = trial(hold=70_000)
    assert throttled_at_rest(books, row, RESTED_THROTTLES - 1)[0] is Next.ELSEWHERE

    verdict, now_s = throttled_at_rest(books, row, 1, now_s=50.0)

    assert verdict is Next.UNSENDABLE
    assert now_s >= 60  # the five span a minute


def test_a_row_is_unsendable_only_after_every_open_pool_has_turned_it_away():
    quotas = {f"global from {region}": tpm(60_000) for region in ("a-1", "b-1", "c-1", "d-1", "e-1", "f-1", "g-1")}
    books, row = admissions(quotas), trial(hold=70_000)

    verdict, now_s = throttled_at_rest(books, row, 7 + RESTED_THROTTLES - 2)
    assert (verdict, row.tried_rested) == (Next.ELSEWHERE, set(books.router.pools))

    verdict, now_s = throttled_at_rest(books, row, 1, now_s)
    assert verdict is Next.UNSENDABLE
    assert 240 <= now_s < 260  # the pools are tried one after the other, and only then in minutes


def test_a_minute_that_others_used_up_speaks_once_against_a_row_however_often_it_refuses():
    books, row = admissions(ONE), trial(hold=2_000)
    verdict, now_s = throttled_at_rest(books, row, 30)

    assert verdict is Next.ELSEWHERE
    assert row.rested_throttles == 1 + int(now_s // 60)


def test_where_nothing_ever_got_through_a_row_that_may_fit_is_not_given_up():
    books, row = admissions(ONE), trial(hold=2_000)
    verdicts = {throttled_at_rest(books, row, 1, now_s=100.0 * turn)[0] for turn in range(50)}

    assert verdicts == {Next.ELSEWHERE}


def test_throttles_by_busy_pools_never_make_a_row_unsendable():
    books = admissions({GEO: tpm(None)})
    first = trial(0, hold=2_000)
    books.answered(admitted(books, first, 0.0), first, Usage(10, 1), 0.1)  # as large as the row: it fits
    admitted(books, trial(2), 1.0)  # stays out: the pool is never idle
    row, now_s = trial(1, hold=2_000), 1.0
    for _ in range(50):
        now_s += 90
        assert books.faulted(admitted(books, row, now_s), row, TOKENS, now_s + 0.1) is Next.ELSEWHERE


def test_a_row_no_larger_than_others_is_unsendable_only_after_many_throttles_by_rested_pools():
    books = admissions({GEO: tpm(None)})
    first = trial(0, hold=2_000)
    books.answered(admitted(books, first, 0.0), first, Usage(10, 1), 0.1)
    row = trial(1, hold=2_000)
    verdicts = [throttled_at_rest(books, row, 1, now_s=100.0 * turn)[0] for turn in range(1, HOPELESS_THROTTLES + 1)]

    assert verdicts == [Next.ELSEWHERE] * (HOPELESS_THROTTLES - 1) + [Next.UNSENDABLE]


def test_a_row_larger_than_all_that_was_admitted_asks_for_a_rested_pool_after_five_throttles():
    books = admissions({GEO: tpm(None)})
    row, now_s = trial(1, hold=2_000), 0.0
    for _ in range(5):
        assert not books.stands_aside(row, now_s)
        now_s += 30
        books.faulted(admitted(books, row, now_s), row, TOKENS, now_s + 0.1)

    assert books.stands_aside(row, now_s)


def test_throttled_requests_say_nothing_about_a_rows_size():
    books = admissions({GEO: tpm(None)})
    row, now_s = trial(1, hold=2_000), 0.0
    for _ in range(20):
        now_s += 60
        assert books.faulted(admitted(books, row, now_s), row, REQUESTS, now_s + 0.1) is Next.ELSEWHERE

    assert not books.stands_aside(row, now_s)


def test_a_row_that_fits_a_parked_pool_waits_for_it_and_tries_no_smaller_one():
    books = admissions({GEO: tpm(100_000), EAST2: tpm(10_000)})
    small = trial(0)
    books.faulted(admitted(books, small, 0.0), small, DAY, 0.1)  # the large pool is parked for an hour
    assert small.throttles == 0

    assert books.admit(trial(1, hold=50_000), 100.0) == Refused(Bound.QUOTA, pytest.approx(3_600.1))


def test_a_row_that_only_a_parked_pool_takes_stands_aside():
    books = admissions({GEO: tpm(100_000), EAST2: tpm(10_000)})
    small = trial(0)
    books.faulted(admitted(books, small, 0.0), small, DAY, 0.1)

    assert books.stands_aside(trial(1, hold=50_000), 1.0)
    assert not books.stands_aside(trial(1, hold=50_000), 3_601.0)


ENDS = st.sampled_from(["answered", "abandoned", "withdrawn", *(fault.code + fault.message for fault in FAULTS)])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), ENDS, st.integers(0, 5), st.integers(0, 90)), max_size=80))
def test_after_any_admissions_and_ends_nothing_stays_taken(steps):
    faults = {fault.code + fault.message: fault for fault in FAULTS}
    books = admissions({GEO: tpm(20_000), EAST2: tpm(None), GLOBAL: tpm(5_000, requests_per_minute=10)}, cap_usd=1.0)
    now_s, out = 0.0, []

    def end(how: str, which: int) -> None:
        admission, row = out.pop(which % len(out))
        if how == "answered":
            books.answered(admission, row, Usage(90, 30), now_s)
        elif how == "abandoned":
            books.abandoned(admission, 0.0)
        elif how == "withdrawn":
            books.withdrawn(admission, now_s)
        else:
            books.faulted(admission, row, faults[how], now_s)

    for step, (admits, how, which, pause_s) in enumerate(steps):
        now_s += pause_s
        if admits or not out:
            row = trial(step, hold=500 + 997 * which)
            answer = books.admit(row, now_s)
            if isinstance(answer, Refused):
                assert answer.at_s > now_s
            else:
                out.append((answer, row))
        else:
            end(how, which)
        assert books.in_flight == len(out) == taken(books)[1] == taken(books)[2]
    while out:
        end("answered", 0)

    assert taken(books) == (0, 0, 0, 0.0)
