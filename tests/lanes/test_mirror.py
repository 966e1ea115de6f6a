"""The two readings together, against small meters: what is sent, what is refused, and what is learnt of it."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.emulator.meter import Bucket, FixedWindow, Meter, SlidingMinute
from batchrun.lanes.doubt import Doubts
from batchrun.lanes.metering import Metering
from batchrun.lanes.mirror import Mirror
from tests.lanes.books import CAPACITY, LOST, MODEL, SERVER, admissions, admitted, tpm, trial

QUOTA = 6_000.0  # 100 a second
COST = 100.0
RTT_S, LATENCY_S = 0.05, 1.0
NO_CLOCK = Metering(skew_s=0.1)


@dataclass
class Driven:
    """When calls were let in and when they were refused [s], as the meter saw it."""

    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def rate(self, from_s: float, to_s: float, cost: float = COST) -> float:
        """Return what was let in of a stretch of time [quota tokens/s]."""
        return cost * self.calls(from_s, to_s) / (to_s - from_s)

    def calls(self, from_s: float, to_s: float) -> int:
        """Return how many calls were let in."""
        return sum(from_s <= at_s < to_s for at_s in self.admitted)

    def refusals(self, from_s: float, to_s: float = inf) -> int:
        """Return how many calls were refused."""
        return sum(from_s <= at_s < to_s for at_s in self.refused)


def mirror(per_minute: float | None = QUOTA, metering: Metering = NO_CLOCK) -> Mirror:
    """Return a mirror of tokens."""
    return Mirror(per_minute, metering, slack=0.5, cautious=True)


def drive(
    one: Mirror, meter: Meter, until_s: float, *, settled: float = COST, tenant: Sequence[tuple[float, float]] = ()
) -> Driven:
    """Send calls of COST as soon as `one` allows them; `tenant` is what somebody else takes when.

    A call is half a round trip under way, is worked on for LATENCY_S if `meter` has room, and so is its answer.
    """
    found = Driven()
    steps = [(at_s, number, "tenant", tokens) for number, (at_s, tokens) in enumerate(tenant)]
    heapq.heapify(steps)
    number, now_s = len(steps), 0.0
    while now_s < until_s:
        ready_s = one.ready_at(COST, now_s)
        if ready_s <= now_s:
            number += 1
            heapq.heappush(steps, (now_s + RTT_S / 2, number, "arrives", one.hold(COST, now_s)))
            continue
        if not steps or ready_s < steps[0][0]:
            now_s = max(ready_s, nextafter(now_s, inf))
            continue
        now_s, own, kind, what = heapq.heappop(steps)
        if kind == "tenant":
            meter.take(min(what, max(0.0, meter.room(now_s))), now_s)
        elif kind == "arrives" and meter.room(now_s) >= COST:
            found.admitted.append(now_s)
            heapq.heappush(steps, (now_s + LATENCY_S, own, "ends", (what, meter.take(COST, now_s))))
        elif kind == "arrives":
            found.refused.append(now_s)
            heapq.heappush(steps, (now_s + RTT_S / 2, own, "refused", what))
        elif kind == "refused":
            one.refuse(what, now_s)
        elif kind == "ends":
            held, taken = what
            meter.settle(taken, settled, now_s)
            heapq.heappush(steps, (now_s + RTT_S / 2, own, "answered", held))
        else:
            one.settle(what, settled, now_s)
    return found


def others(from_s: float, to_s: float, tokens_per_s: float) -> list[tuple[float, float]]:
    """Return what a tenant takes each second of a stretch of time."""
    return [(float(second), tokens_per_s) for second in range(int(from_s), int(to_s))]


# A quota that is right


def test_a_full_bucket_is_spent_and_then_its_rate_without_a_refusal():
    driven = drive(mirror(), Bucket(QUOTA), 240.0)

    assert driven.refused == []
    assert driven.calls(0, 60) >= 118  # 60 that are there, and one a second
    assert driven.rate(60, 240) == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("settled", [60.0, 150.0])
def test_on_a_bucket_it_makes_no_difference_what_answers_come_to(settled):
    driven = drive(mirror(), Bucket(QUOTA), 300.0, settled=settled)

    assert driven.rate(60, 300, settled) == pytest.approx(100, rel=0.02)
    assert driven.refusals(0) <= 1


@pytest.mark.parametrize("burst_s", [5.0, 10.0])
def test_a_small_bucket_refuses_one_flight_and_then_gives_all_of_its_rate(burst_s):
    one = mirror()
    driven = drive(one, Bucket(QUOTA, burst_s), 300.0)

    assert driven.rate(60, 300) == pytest.approx(100, rel=0.01)
    assert driven.refusals(0) <= 2
    assert driven.refusals(10) == 0
    assert one.rate_per_s() == pytest.approx(100, rel=0.01)


def test_half_of_a_bucket_is_never_refused():
    driven = drive(mirror(QUOTA / 2), Bucket(QUOTA), 300.0)

    assert driven.refused == []
    assert driven.rate(60, 300) == pytest.approx(50, rel=0.01)


WINDOWS = {
    "sliding": lambda: SlidingMinute(QUOTA),
    "fixed": lambda: FixedWindow(QUOTA),
    "fixed, its edge elsewhere": lambda: FixedWindow(QUOTA, edge_s=37.0),
}


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_filled_every_minute(window):
    calendar = Metering(day_ends_at_s=86_411.0)  # its full minutes are none of the windows' edges
    driven = drive(mirror(metering=calendar), WINDOWS[window](), 480.0)

    assert driven.rate(60, 480) >= 0.95 * 100


@pytest.mark.parametrize("window", WINDOWS)
def test_after_the_first_tests_failed_a_window_refuses_little(window):
    # Tests are 60, 120 and 240 s apart by then; one costs three refusals: one call more than was foreseen fits.
    driven = drive(mirror(), WINDOWS[window](), 600.0)

    assert driven.refusals(0, 60) <= 5
    assert driven.refusals(120) <= 9  # of 480 calls


def test_a_window_that_turns_at_the_full_minute_is_filled_anew_as_it_turns():
    # The run begins 37 s before a full minute. One that waited for 60 s since its first call would fill it later.
    driven = drive(mirror(metering=Metering(day_ends_at_s=37.0, skew_s=0.1)), FixedWindow(QUOTA, edge_s=37.0), 240.0)

    assert driven.calls(37, 97) >= 59
    assert driven.calls(97, 157) >= 59
    assert driven.calls(157, 217) >= 59


# A quota that is wrong, or not known


@pytest.mark.parametrize("told", [10 * QUOTA, None])
@pytest.mark.parametrize(("burst_s", "after_s"), [(5.0, 60.0), (10.0, 60.0), (60.0, 120.0)])
def test_a_buckets_rate_is_measured_within_five_percent(told, burst_s, after_s):
    one = mirror(told)
    drive(one, Bucket(QUOTA, burst_s), after_s)  # of 60 s: the first minute goes by before there is a rate to measure

    assert one.rate_per_s() == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("told", [10 * QUOTA, None])
@pytest.mark.parametrize("burst_s", [5.0, 10.0, 60.0])
def test_a_bucket_of_a_tenth_of_what_was_told_is_used_with_few_refusals(told, burst_s):
    driven = drive(mirror(told), Bucket(QUOTA, burst_s), 300.0)

    assert driven.rate(60, 300) == pytest.approx(100, rel=0.03)
    assert driven.refusals(0, 60) <= 24
    assert driven.refusals(60) <= 12  # 2 a minute: raises that were refused


@pytest.mark.parametrize("told", [10 * QUOTA, None])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_of_a_tenth_of_what_was_told_is_used_with_few_refusals(told, window):
    driven = drive(mirror(told), WINDOWS[window](), 300.0)

    assert driven.rate(60, 300) >= 0.95 * 100
    assert driven.refusals(0, 60) <= 20
    assert driven.refusals(60) <= 16


@pytest.mark.parametrize("times", [2, 10])
@pytest.mark.parametrize("kind", [SlidingMinute, FixedWindow])
def test_what_calls_give_back_on_a_window_is_not_taken_for_a_bucket_that_refills_slowly(kind, times):
    quota = 4 * QUOTA  # 240 calls fill it at first, and settle at a quarter of that
    driven = drive(mirror(times * quota), kind(quota), 180.0, settled=COST / 4)

    assert driven.rate(60, 180, COST / 4) >= 0.95 * quota / 60
    assert driven.refusals(0) <= 40  # of about 2,900 calls


def test_an_unknown_quota_is_felt_for_one_call_at_a_time():
    one = mirror(None)
    one.hold(COST, 0.0)

    assert 0.0 < one.ready_at(COST, 0.0) < 1.0
    assert one.feels_its_way(0.0)


def test_an_unknown_quota_that_is_not_cautious_is_no_limit():
    one = Mirror(None, NO_CLOCK, slack=0.0, cautious=False)
    for _ in range(1_000):
        one.hold(1, 0.0)

    assert one.ready_at(1, 0.0) == 0.0
    assert one.rate_per_s() is None


# Somebody else


@pytest.mark.parametrize("burst_s", [10.0, 60.0])
def test_while_a_tenant_takes_half_the_other_half_is_used_and_all_when_it_has_left(burst_s):
    driven = drive(mirror(), Bucket(QUOTA, burst_s), 420.0, tenant=others(120, 240, tokens_per_s=50.0))

    assert driven.rate(130, 240) == pytest.approx(50, rel=0.1)
    assert driven.rate(300, 420) == pytest.approx(100, rel=0.02)
    assert driven.refusals(120) <= 16


def test_a_tenant_in_a_sliding_minute_is_made_way_for_and_forgotten():
    # It fills what leaves while it is there, so we keep what we had: it gets what our pauses leave.
    driven = drive(mirror(), SlidingMinute(QUOTA), 480.0, tenant=others(120, 240, tokens_per_s=50.0))

    assert driven.rate(360, 480) >= 0.95 * 100
    assert driven.refusals(120) <= 16


# One refusal, and what belongs to it


def refused_before(one: Mirror) -> None:
    """Have `one` refused at 0.05 s, and then let 10 calls through, one a second."""
    one.refuse(one.hold(COST, 0.0), 0.05)
    for second in range(1, 11):
        one.settle(one.hold(COST, float(second)), COST, second + 0.5)


def test_refusals_of_one_flight_cut_the_rate_once():
    one = mirror()
    refused_before(one)
    flight = [one.hold(COST, 30.0) for _ in range(3)]
    rates = []
    for at_s, held in zip((30.05, 30.06, 30.07), flight, strict=True):
        one.ready_at(COST, at_s)
        one.refuse(held, at_s)
        rates.append(one.rate_per_s())

    assert rates == pytest.approx([1_300 / 30] * 3)  # 10 answered, 2 out and the refused one, in 30 s


def test_a_further_refusal_of_the_flight_sets_the_level_again():
    one = mirror()
    refused_before(one)
    first, second = one.hold(COST, 30.0), one.hold(COST, 30.0)
    one.refuse(first, 30.05)
    one.refuse(second, 31.0)

    assert one.ready_at(COST, 31.0) == pytest.approx(31.0 + 150 / (one.rate_per_s() or 0))  # from 50 below nothing


def test_a_refusal_of_a_call_sent_later_is_an_episode_of_its_own():
    one = mirror()
    refused_before(one)
    one.refuse(one.hold(COST, 30.0), 30.05)
    before = one.rate_per_s() or 0.0
    one.settle(one.hold(COST, 40.0), COST, 40.5)
    one.ready_at(COST, 60.0)
    one.refuse(one.hold(COST, 60.0), 60.05)  # 200 in 30 s

    assert (one.rate_per_s() or 0.0) < before


def test_a_refused_call_gives_its_hold_back():
    one = mirror()
    one.refuse(one.hold(COST, 0.0), 0.05)

    assert one.minute.used(0.05) == 0


@pytest.mark.parametrize("fault", [CAPACITY, SERVER, MODEL, LOST])
def test_faults_that_are_no_throttles_do_not_reach_the_mirror(fault):
    books = admissions({"us from us-east-1": tpm(6_000)})
    pool = books.router.pools["us-east-1/geo"]
    for _ in range(5):
        row = trial(hold=100)
        books.faulted(admitted(books, row, 0.0), row, fault, 0.1)
        books.router.breakers[books.router.lanes[0]].answered()

    assert (pool.throttled, pool.tokens_per_s()) == (0, 100)
    assert pool.ready_at(100, 0.1) == 0.1


# Retry-After


def closed_for_s(one: Mirror, now_s: float) -> float:
    return one.ready_at(COST, now_s) - now_s


def test_a_retry_after_is_waited_out():
    one = mirror()
    one.refuse(one.hold(COST, 0.0), 0.05, retry_after_s=20.0)

    assert closed_for_s(one, 0.05) == pytest.approx(20.0)
    assert closed_for_s(one, 20.05) == 0.0


def test_a_retry_after_is_believed_up_to_five_minutes():
    one = mirror()
    one.refuse(one.hold(COST, 0.0), 0.05, retry_after_s=86_400.0)

    assert closed_for_s(one, 0.05) == pytest.approx(300.0)


def test_a_shorter_retry_after_does_not_shorten_a_longer():
    one = mirror()
    first, second = one.hold(COST, 0.0), one.hold(COST, 0.0)
    one.refuse(first, 0.05, retry_after_s=20.0)
    one.refuse(second, 0.06, retry_after_s=1.0)

    assert closed_for_s(one, 0.05) == pytest.approx(20.0)


def test_what_is_tried_on_a_rested_pool_waits_for_it_too():
    one = mirror()
    one.refuse(one.hold(COST, 0.0), 0.05, retry_after_s=100.0)

    assert one.rested_at(0.05) == pytest.approx(100.05)


# Whatever happens


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hold", "hold", "wait", "settle", "refuse", "withdraw"]),
        st.integers(1, 1_000),  # what is held, or settled
        st.sampled_from([0.0, 0.01, 0.2, 3.0, 25.0]),  # the pause before it
        st.integers(0, 7),  # of which call
    ),
    max_size=40,
)
PER_MINUTE = st.sampled_from([1_000.0, 30_000.0, None])


@settings(max_examples=12, deadline=None)
@given(STEPS, PER_MINUTE, st.booleans())
def test_it_always_names_a_time_within_a_minute_and_keeps_to_it(steps, per_minute, cautious):
    one = Mirror(per_minute, Metering(day_ends_at_s=45.0, skew_s=0.1), slack=0.5, cautious=cautious)
    now_s, out = 0.0, []
    for kind, amount, pause_s, which in steps:
        now_s += pause_s
        if kind == "hold":
            ready_s = one.ready_at(amount, now_s)
            assert isfinite(ready_s)
            assert now_s <= ready_s <= now_s + 61.3  # a minute, or a minute, a skew and the longest round trip
            assert one.ready_at(amount, now_s) == ready_s
            now_s = ready_s if which % 2 else now_s  # or it goes without having asked, as on a rested pool
            out.append(one.hold(amount, now_s))
        elif out and kind != "wait":
            held = out.pop(which % len(out))
            if kind == "refuse":
                one.refuse(held, now_s)
            else:
                one.settle(held, amount if kind == "settle" else 0.0, now_s)
    first_s = ready_s = one.ready_at(1_000, now_s)
    for _ in range(len(steps) + 5):
        ready_s = one.ready_at(1_000, ready_s)

    assert ready_s <= first_s + 1.2  # a round trip: calls that are confirmed meanwhile may not be those in the way


def test_calls_that_failed_for_other_reasons_are_no_sign_that_the_minute_is_wrong():
    books = admissions({"us from us-east-1": tpm(10_000)})
    pool = books.router.pools["us-east-1/geo"]
    for number in range(20):
        admitted(books, trial(number, hold=490), 0.0)  # 9,800: the minute is full, and the level comes back
    assert pool.ready_at(490, 0.5) == 10.5  # when the minute is first put to the test
    row = trial(99, hold=490)
    for second in range(11, 16):
        books.faulted(admitted(books, row, second), row, SERVER, second + 0.1)
        books.router.breakers[books.router.lanes[0]].answered()
    again = admitted(books, row, 30.0)

    assert again.reservation.tokens.beyond  # still a test, and none has gone well: that would halve the wait
    assert "wait_s=30" in repr(pool)


def test_a_first_refusal_that_took_long_does_not_confirm_itself():
    mirror = Mirror(10_000, Metering(), slack=0.0, cautious=True)
    meter = FixedWindow(10_000)
    for number in range(20):
        mirror.hold(500, number * 1.0)
        meter.take(500, number * 1.0)
    mirror.ready_at(500, 20.0)
    test = mirror.hold(500, 31.0)
    mirror.refuse(test, 32.5)

    assert mirror.ready_at(500, 33.5) > 40.0  # the minute was right; the next test is half a minute away


def test_after_the_first_turn_one_call_goes_until_it_is_known_that_there_was_a_window():
    one = mirror()
    for call in range(57):  # 5,700 of 6,000: no refusal ever
        at_s = one.ready_at(COST, call * 0.5)
        one.settle(one.hold(COST, at_s), COST, at_s + 0.1)
    turned_s = 60.06

    assert one.ready_at(COST, turned_s) == turned_s
    one.hold(COST, turned_s)
    # The number brings 1.2 x 0.15 s x 1 call a second in a round trip: none. But for the turn, a tenth of 57 could be
    # out.
    assert one.ready_at(COST, turned_s) > turned_s


def test_a_quota_that_others_hold_whole_is_tried_ever_more_seldom_and_used_soon_after_they_leave():
    class Hogged(Bucket):
        def room(self, now_s: float) -> float:
            return super().room(now_s) if now_s >= 300.0 else 0.0

    driven = drive(mirror(), Hogged(QUOTA), 420.0)

    assert driven.refusals(0.0, 300.0) < 45  # 0.5 s, 1, 2, 4, and then 8 s apart
    assert min(driven.admitted) < 300.0 + 9.0
    assert driven.rate(340.0, 400.0) > 95.0


def test_a_full_minute_that_is_still_to_come_is_no_edge_at_which_a_window_turned():
    metering = Metering(day_ends_at_s=6_000.0, round_trip_s=0.15)
    doubts = Doubts(metering.day_ends_at_s)
    pools = [Mirror(10_000, metering, doubts, slack=0.0, cautious=True) for _ in range(2)]
    for one in pools:
        one.inherit(10_000, 4_999.0)
        one.take_over([], 4_999.0)  # neither waits for a window that began with its first call
        one.ready_at(500, 5_002.0)
    doubts.went_well(5_002.0, at_edge=False)  # each tests for itself
    tests = [one.hold(500, one.ready_at(500, 5_014.0)) for one in pools]
    pools[0].refuse(tests[0], 5_014.15)
    assert doubts.edge_s == 5_040.0
    pools[1].ready_at(500, 5_014.5)  # its test has passed

    assert all(test.beyond for test in tests)
    assert pools[1].minute.used(5_014.5) == 10_500
