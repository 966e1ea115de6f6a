"""Which doors a price class asks, and what it remembers of their no."""

from math import inf

import pytest

from batchrun.lanes.breaker import Breaker
from batchrun.lanes.door import FRESH_S, Door
from batchrun.lanes.pool import Pool
from batchrun.lanes.price_class import PriceClass
from tests.lanes.books import AT_ONCE, lane, tpm

LANES = ["us from us-east-1", "us from us-east-2", "us from us-west-2"]


class AskedPool(Pool):
    """Counts how often it is asked when a call may go."""

    asked = 0

    def ready_at(self, hold: float, now_s: float) -> float:
        self.asked += 1
        return super().ready_at(hold, now_s)


def price_class(*used: float) -> tuple[PriceClass, list[AskedPool]]:
    """Return a class of one pool of 1,000 tokens for each of `used`, which it was charged at 0 s."""
    pools = [AskedPool(lane(name).pool, tpm(1_000), AT_ONCE) for name, _ in zip(LANES, used, strict=False)]
    for pool, tokens in zip(pools, used, strict=True):
        pool.settle(pool.reserve(tokens, 0.0), tokens, 0.0)
    doors = [Door(pool, [(lane(name), Breaker())]) for name, pool in zip(LANES, pools, strict=False)]
    return PriceClass(doors), pools


def asked(pools: list[AskedPool]) -> list[int]:
    """Return how often each pool was asked since this was last called."""
    counts = [pool.asked for pool in pools]
    for pool in pools:
        pool.asked = 0
    return counts


def test_the_pool_with_the_most_room_is_asked_and_no_other():
    doors, pools = price_class(500, 100, 300)

    assert doors.lane(200, 0.0) == lane(LANES[1])
    assert asked(pools) == [0, 1, 0]


def test_after_a_no_only_the_door_that_changed_is_asked():
    doors, pools = price_class(900, 950, 900)
    assert doors.lane(200, 1.0) is None
    asked(pools)

    assert doors.lane(200, 1.5) is None
    assert asked(pools) == [0, 0, 0]
    doors.forget(doors.doors[1])
    assert doors.lane(200, 2.0) is None
    assert asked(pools) == [0, 1, 0]


def test_a_smaller_hold_asks_all_that_said_no_to_a_larger_one():
    doors, pools = price_class(900, 950, 900)
    doors.lane(200, 1.0)
    asked(pools)

    assert doors.lane(60, 1.0) == lane(LANES[0])
    assert sum(asked(pools)) == 1  # the first has room
    assert doors.lane(150, 1.0) is None
    assert asked(pools) == [1, 1, 1]


def test_the_first_to_open_says_it_of_the_very_hold_and_not_of_a_smaller_one():
    doors, pools = price_class(900, 950, 980)
    doors.lane(150, 1.0)
    sooner_s = doors.opens_at_s
    asked(pools)

    assert doors.lane(1_000, 1.5) is None
    assert doors.opens_at_s == sooner_s  # a no to less holds for more; it is not worth a question before
    assert asked(pools) == [0, 0, 0]
    assert doors.lane(1_000, sooner_s) is None
    assert doors.opens_at_s > sooner_s + 10
    assert min(asked(pools)) == 1


def test_when_the_first_to_open_has_changed_all_are_looked_at_again():
    doors, _ = price_class(900, 950, 980)
    doors.lane(200, 1.0)
    first = min(doors.doors, key=lambda door: door.opens_at_s)
    doors.forget(first)

    assert doors.opens_at_s == -inf
    assert doors.lane(200, 1.0) is None
    assert doors.opens_at_s == first.opens_at_s


def test_a_room_is_looked_up_again_after_a_while_or_a_call_of_its_own():
    doors, pools = price_class(500)
    door = doors.doors[0]

    assert door.room(0.0) == 0.5
    pools[0].reserve(100, 0.0)
    assert door.room(FRESH_S / 2) == 0.5
    assert door.room(FRESH_S) == 0.4
    pools[0].reserve(100, FRESH_S)
    doors.forget(door)
    assert door.room(FRESH_S) == pytest.approx(0.3)
