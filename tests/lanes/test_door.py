"""What a door remembers of its pool's last no, and that remembering lets in whom asking anew would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.lanes.admission import Refused
from batchrun.lanes.breaker import Breaker
from batchrun.lanes.door import Door
from batchrun.lanes.pool import Pool
from batchrun.lanes.router import Router, Wait
from batchrun.records import Usage
from tests.lanes.books import CAPACITY, NO_LANE, REQUESTS, SERVER, TOKENS, admissions, lane, tpm, trial

GEO, EAST2, GLOBAL = "us from us-east-1", "us from us-east-2", "global from us-east-1"


def door_of_a_full_pool() -> Door:
    """Return a door whose pool of 1,000 tokens has been full since 0 s."""
    pool = Pool("us-east-1/geo", tpm(1_000))
    pool.settle(pool.reserve(900, 0.0), 900, 0.0)
    return Door(pool, [(lane(GEO), Breaker())])


def test_a_door_that_has_not_been_asked_is_not_known_to_be_shut():
    assert not door_of_a_full_pool().is_known_shut(5_000, 1.0)


def test_a_door_stays_shut_until_the_time_it_named():
    door = door_of_a_full_pool()

    assert door.lane(200, 1.0) is None
    assert door.opens_at_s == 11.0  # the minute would say 60, and is first put to the test after 10 s
    assert door.is_known_shut(200, 10.9)
    assert not door.is_known_shut(200, 11.0)


def test_what_it_said_to_a_hold_it_said_to_larger_ones_and_not_to_smaller_ones():
    door = door_of_a_full_pool()
    door.lane(200, 1.0)

    assert door.is_known_shut(201, 1.0)
    assert not door.is_known_shut(199, 1.0)


def test_a_door_that_forgot_is_asked_anew():
    door = door_of_a_full_pool()
    door.lane(200, 1.0)
    door.forget()

    assert not door.is_known_shut(200, 1.0)


def test_a_lane_that_is_shut_shuts_the_door_though_its_pool_is_open():
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0, 1.0, capacity=False)  # shut for 1 s
    door = Door(Pool("us-east-1/geo", tpm(1_000)), [(lane(GEO), breaker)])

    assert door.lane(200, 1.0) is None
    assert (door.pool_opens_at_s, door.opens_at_s) == (1.0, 2.0)


def without_memory(router: Router) -> Router:
    """Return a router over the same pools and breakers whose doors have said nothing yet."""
    other = Router(router.lanes, router.pools, {"global": 1.0, "geo": 1.1})
    other.breakers.update(router.breakers)
    other.close([], "nothing, but the doors are made of these breakers now")
    return other


FAULTS = {"tokens": TOKENS, "requests": REQUESTS, "capacity": CAPACITY, "server": SERVER, "no lane": NO_LANE}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "answered", "abandoned", "withdrawn", *FAULTS]),
        st.integers(50, 6_000),  # the hold of who enters, or how much an answer settles at
        st.sampled_from([0.0, 0.0, 0.31, 0.4, 7.0]),  # s to the next step; a room is remembered for 0.25 s
    ),
    min_size=20,
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_was_booked_a_router_that_remembers_chooses_like_one_that_asks_anew(steps):
    books = admissions({GEO: tpm(9_000), EAST2: tpm(6_000, requests_per_minute=3), GLOBAL: tpm(2_000)})
    now_s, out = 0.0, []
    for what, size, delay_s in steps:
        now_s += delay_s
        if what == "enter":
            row = trial(hold=size, max_tokens=50)
            admission = books.admit(row, now_s)
            if not isinstance(admission, Refused):
                out.append((admission, row))
        elif out:
            admission, row = out.pop(0)
            if what == "answered":
                books.answered(admission, row, Usage(size, 0), now_s)
            elif what == "abandoned":
                books.abandoned(admission, now_s)
            elif what == "withdrawn":
                books.withdrawn(admission, now_s)
            else:
                books.faulted(admission, row, FAULTS[what], now_s)
        for hold in (100, 6_000, 1_000):
            chosen, anew = books.router.choose(hold, now_s), without_memory(books.router).choose(hold, now_s)

            if isinstance(anew, Wait):  # a larger hold may be told the time that a smaller one was: to ask again then
                assert isinstance(chosen, Wait)
                assert now_s < chosen.at_s <= anew.at_s + 1e-6
            elif chosen != anew:  # at the very moment sums of floats differ: that door opens, as it had said
                assert isinstance(chosen, Wait)
                assert now_s <= chosen.at_s <= now_s + 1e-6
