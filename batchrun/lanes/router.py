"""The router: which lane a row takes now, or when one will take it.

The rule: the cheapest price class that has room, there the pool with the largest relative room; a dearer class while
the cheaper are closed; if all are closed, wait for the earliest to open. Within a pool, the lane with the fewest calls.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from batchrun.lanes.breaker import Breaker
from batchrun.lanes.door import Door
from batchrun.lanes.lane import Lane
from batchrun.lanes.pool import Pool
from batchrun.lanes.price_class import PriceClass
from batchrun.lanes.warmth import Heat, Kept

STAY_S = 5.0  # waited for a warm lane: as long as for one that is being warmed, about. A guess.
SOON_S = 1.2  # the longest that a call is unconfirmed


class Wait(NamedTuple):
    """No lane takes the row before `at_s`; inf means not before a call in flight ends, or never.

    `for_quota` tells whether a pool stands in the way, and not only lanes that are slow or shut; `for_cache`, whether
    it is a lane that keeps the row's prefix, or is about to: rows with another one need not wait.
    """

    at_s: float
    for_quota: bool = True
    for_cache: bool = False


class Router:
    """Lanes by price class and pool, with each lane's breaker and each pool's quota."""

    def __init__(self, lanes: Sequence[Lane], pools: Mapping[str, Pool], price: Mapping[str, float]) -> None:
        """Take the lanes, the pools by name, and one comparable price per class, such as dollars per input token."""
        self.lanes = tuple(lanes)
        self.pools = dict(pools)  # as the account is believed to have them
        self._booked = dict(pools)  # where calls are booked: pools that look like one are
        self.breakers = {lane: Breaker() for lane in lanes}
        self._price_classes = sorted({lane.price_class for lane in lanes}, key=lambda name: (price[name], name))
        self._open_doors()

    def choose(self, hold: float, now_s: float) -> Lane | Wait:
        """Return the lane for a call of `hold` quota tokens, or how long to wait for one."""
        asked: list[PriceClass] = []
        for price_class in self._classes:
            asked.append(price_class)
            lane = price_class.lane(hold, now_s)
            if lane is not None:
                return lane
            if self._is_about_to_open(price_class, now_s):
                break  # no reason to pay more
        earliest_s = min([one.opens_at_s for one in asked], default=inf)
        return Wait(earliest_s, for_quota=all(one.pool_opens_at_s > now_s for one in asked))

    def choose_kept(self, hold: float, kept: Kept, now_s: float) -> Lane | Wait:
        """Return the lane for a call whose prefix is kept, or how long to wait for one.

        A warm lane with room; else a cold one with room, if enough rows wait for its entry to pay for itself; else wait
        for one that is being warmed, or is warm and open soon. Docs/caching.md has the sums.
        """
        cold: Lane | None = None
        passed_over = False
        asked: list[Door] = []
        for price_class in self._classes:
            asked += price_class.doors
            first: Lane | None = None
            for door in sorted(price_class.doors, key=lambda door: (-door.room(now_s), door.pool.in_flight)):
                if door.is_known_shut(hold, now_s):
                    continue
                for lane in door.lanes(hold, now_s):
                    heat = kept.heat(lane, now_s)
                    if heat is Heat.WARM:
                        return lane
                    passed_over = True
                    if heat is Heat.COLD and first is None:
                        first = lane
            if first is not None and kept.pays(self.lanes, now_s):
                return first
            cold = cold or first
            if self._is_about_to_open(price_class, now_s):
                break  # no reason to pay more
        if passed_over or not kept.many:
            led_until_s = kept.led_until([lane for door in asked for lane in door.holds()], now_s)
            opens_s = min([door.opens_at_s for door in asked if _keeps(door, kept, now_s)], default=inf)
            if led_until_s < inf or opens_s <= now_s + STAY_S:
                spreads_s = kept.spreads_at(now_s) if cold is not None else inf
                at_s = min(led_until_s, opens_s, spreads_s if spreads_s > now_s else inf)
                return Wait(at_s, for_quota=False, for_cache=True)
        if cold is not None:
            return cold
        earliest_s = min([door.opens_at_s for door in asked], default=inf)
        return Wait(earliest_s, for_quota=all(door.pool_opens_at_s > now_s for door in asked))

    def choose_rested(self, hold: float, tried: frozenset[str], now_s: float) -> Lane | Wait:
        """Return a lane whose pool has been idle for a minute, for a row that busy pools turned away.

        Pools that the row has not tried yet come first, the largest of them first.
        """
        earliest_s = inf
        for door in sorted(self._doors, key=lambda door: (door.pool.name in tried, -door.pool.capacity())):
            chosen = door.lane_when(door.pool.rested_at(hold, now_s), now_s)
            if isinstance(chosen, Lane):
                return chosen
            earliest_s = min(earliest_s, chosen)
        return Wait(earliest_s)

    def takes(self, hold: float, now_s: float) -> bool:
        """Tell whether any pool that is open, or will be in a minute, is believed to take a hold of that size."""
        return any(door.pool.takes(hold, now_s) for door in self._doors)

    def open_to_smaller(self, hold: float, now_s: float) -> bool:
        """Tell whether any pool is open to what is as large as it can take, though not larger than `hold`."""
        return any(door.pool.takes(min(hold, door.pool.capacity()), now_s) for door in self._doors)

    def may_fit(self, hold: float) -> bool:
        """Tell the same of any pool that is not out for the whole run."""
        pools = (door.pool for door in self._doors)
        return any(hold <= pool.capacity() for pool in pools if pool.parked_until_s != inf)

    def largest_admitted(self) -> float:
        """Return the largest hold ever admitted by a pool that still has a lane [quota tokens]."""
        return max((door.pool.largest_admitted for door in self._doors), default=0.0)

    def untried(self, tried: frozenset[str], now_s: float) -> list[str]:
        """Name the pools outside `tried` that a row could still go to."""
        usable = {lane.pool for lane in self.lanes if not self.breakers[lane].shut(now_s)}
        pools = {self._booked[name] for name in usable}
        return sorted(pool.name for pool in pools if pool.name not in tried and pool.parked_until_s <= now_s)

    def books_of(self, lane: Lane) -> tuple[Pool, Breaker]:
        """Return the pool and the breaker on which to book a call of `lane`; its door will be asked anew."""
        for price_class, door in self._doors_to[lane.pool]:
            price_class.forget(door)
        return self._booked[lane.pool], self.breakers[lane]

    def booked(self) -> tuple[Pool, ...]:
        """Return the pools on which calls are booked now."""
        return self._pools_booked

    def book(self, pools: Iterable[Pool], joint: Pool) -> None:
        """Book the calls of several pools on one from now on."""
        self._booked |= {pool.name: joint for pool in pools}
        self._open_doors()

    def book_apart(self, pools: Iterable[Pool]) -> None:
        """Book the calls of each of these pools on itself again."""
        self._booked |= {pool.name: pool for pool in pools}
        self._open_doors()

    def close(self, lanes: Iterable[Lane], why: str) -> None:
        """Take lanes out for the whole run."""
        for lane in lanes:
            self.breakers[lane].close(why)
        self._open_doors()

    def close_region(self, source_region: str, why: str, access: str = "") -> None:
        """Take every lane that an access has in a source Region out for the whole run."""
        self.close([one for one in self.lanes if (one.source_region, one.access) == (source_region, access)], why)

    def close_access(self, access: str, why: str) -> None:
        """Take every lane of an access out for the whole run."""
        self.close([lane for lane in self.lanes if lane.access == access], why)

    def obstacles(self, now_s: float) -> list[str]:
        """Say why lanes are shut for long, those of one reason together, for the message of a run that cannot go on."""
        lanes: dict[str, list[str]] = {}
        for lane in self.lanes:
            why, pool = self.breakers[lane].closed_why, self._booked[lane.pool]
            if why is None and (shut_why := pool.shut_why(now_s)) is not None:
                why = f"pool {pool.name}: {shut_why}"
            if why is not None:
                lanes.setdefault(why, []).append(lane.name)
        return [f"{', '.join(names)}: {why}" for why, names in lanes.items()]

    def all_closed(self) -> bool:
        """Tell whether every lane is out for the whole run."""
        return not self._doors

    def _open_doors(self) -> None:
        """Group the lanes that are not out: by price class, the cheapest first, and there by pool."""
        self._pools_booked = tuple(dict.fromkeys(self._booked.values()))
        self._classes: list[PriceClass] = []
        self._doors_to: dict[str, list[tuple[PriceClass, Door]]] = {name: [] for name in self.pools}
        for name_of_class in self._price_classes:
            lanes: dict[Pool, list[tuple[Lane, Breaker]]] = {}
            for lane, breaker in self.breakers.items():
                if lane.price_class == name_of_class and breaker.closed_why is None:
                    lanes.setdefault(self._booked[lane.pool], []).append((lane, breaker))
            doors = {pool: Door(pool, lanes[pool]) for pool in sorted(lanes, key=lambda pool: pool.name)}
            class_of_doors = PriceClass(doors.values())
            self._classes.append(class_of_doors)
            for name, pool in self._booked.items():
                if pool in doors:
                    self._doors_to[name].append((class_of_doors, doors[pool]))
        self._doors = [door for one in self._classes for door in one.doors]

    def _is_about_to_open(self, price_class: PriceClass, now_s: float) -> bool:
        """Tell whether one that is not the dearest is shut for a round trip only: its first calls are out."""
        if price_class is self._classes[-1]:
            return False
        doors = price_class.doors
        return any(door.opens_at_s - now_s <= SOON_S and door.pool.feels_its_way(now_s) for door in doors)


def _keeps(door: Door, kept: Kept, now_s: float) -> bool:
    """Tell whether a shut door leads to a lane that is warm."""
    return door.opens_at_s > now_s and any(kept.heat(lane, now_s) is Heat.WARM for lane in door.holds())
