"""The router: which lane a row takes now, or when one will take it.

The rule: the cheapest price class that has room, there the pool with the largest relative room; a dearer class while
the cheaper are closed; if all are closed, wait for the earliest to open. Within a pool, the lane with the fewest calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from batchrun.lanes.breaker import Breaker
from batchrun.lanes.lane import Lane
from batchrun.lanes.pool import Pool


@dataclass(frozen=True, slots=True)
class Wait:
    """No lane takes the row before `at_s`; inf means not before a call in flight ends, or never.

    `for_quota` tells whether a pool stands in the way, and not only lanes that are slow or shut.
    """

    at_s: float
    for_quota: bool = True


class Router:
    """Lanes by price class and pool, with each lane's breaker and each pool's quota."""

    def __init__(self, lanes: Sequence[Lane], pools: Mapping[str, Pool], price: Mapping[str, float]) -> None:
        """Take the lanes, the pools by name, and one comparable price per class, such as dollars per input token."""
        self.lanes = tuple(lanes)
        self.pools = dict(pools)
        self.breakers = {lane: Breaker() for lane in lanes}
        classes = sorted({lane.price_class for lane in lanes}, key=lambda name: (price[name], name))
        self._classes = [self._pools_of(name) for name in classes]

    def choose(self, hold: float, now_s: float) -> Lane | Wait:
        """Return the lane for a call of `hold` quota tokens, or how long to wait for one."""
        earliest_s = inf
        any_pool_ready = False
        for pools in self._classes:
            # Most room first: mostly the first that is asked is ready.
            for pool, lanes in sorted(pools, key=lambda entry: -entry[0].room(now_s)):
                pool_ready_s = pool.ready_at(hold, now_s)
                chosen = self._ready(pool_ready_s, lanes, now_s)
                if isinstance(chosen, Lane):
                    return chosen
                any_pool_ready = any_pool_ready or pool_ready_s <= now_s
                earliest_s = min(earliest_s, chosen.at_s)
        return Wait(earliest_s, for_quota=not any_pool_ready)

    def choose_rested(self, tried: frozenset[str], now_s: float) -> Lane | Wait:
        """Return a lane whose pool has been idle for a minute, for a row that busy pools turned away.

        Pools that the row has not tried yet come first, the largest of them first.
        """
        earliest_s = inf
        pools = [entry for group in self._classes for entry in group]
        for pool, lanes in sorted(pools, key=lambda entry: (entry[0].name in tried, -entry[0].capacity())):
            chosen = self._ready(pool.rested_at(now_s), lanes, now_s)
            if isinstance(chosen, Lane):
                return chosen
            earliest_s = min(earliest_s, chosen.at_s)
        return Wait(earliest_s)

    def may_fit(self, hold: float) -> bool:
        """Tell whether any pool that is not blocked is believed to take a hold of that size."""
        return any(hold <= pool.capacity() for pool in self.pools.values() if pool.parked_until_s != inf)

    def largest_admitted(self) -> float:
        """Return the largest hold that was ever admitted [quota tokens]."""
        return max(pool.largest_admitted for pool in self.pools.values())

    def untried(self, tried: frozenset[str], now_s: float) -> list[str]:
        """Name the pools outside `tried` that a row could still go to."""
        usable = {lane.pool for lane in self.lanes if self.breakers[lane].closed_why is None}
        return sorted(name for name in usable - tried if self.pools[name].parked_until_s <= now_s)

    def close_region(self, source_region: str, why: str) -> None:
        """Take every lane of a source Region out for the whole run."""
        for lane in self.lanes:
            if lane.source_region == source_region:
                self.breakers[lane].close(why, access=True)

    def obstacles(self, now_s: float) -> list[str]:
        """Say of each lane that is shut for long why it is, for the message of a run that cannot go on."""
        lines = []
        for lane in self.lanes:
            breaker, pool = self.breakers[lane], self.pools[lane.pool]
            if breaker.closed_why is not None:
                lines.append(f"{lane.name}: {breaker.closed_why}")
            elif pool.parked_until_s > now_s:
                lines.append(f"{lane.name}: pool {pool.name}: {pool.parked_why}")
        return lines

    def without_access(self) -> bool:
        """Tell whether every lane was closed because access was refused."""
        return all(breaker.refused_access for breaker in self.breakers.values())

    def _ready(self, pool_ready_s: float, lanes: Sequence[Lane], now_s: float) -> Lane | Wait:
        earliest_s = inf
        best: Lane | None = None
        for lane in lanes:
            breaker = self.breakers[lane]
            ready_s = max(pool_ready_s, breaker.ready_at(now_s))
            if ready_s > now_s:
                earliest_s = min(earliest_s, ready_s)
            elif best is None or breaker.in_flight < self.breakers[best].in_flight:
                best = lane
        return best or Wait(earliest_s)

    def _pools_of(self, price_class: str) -> list[tuple[Pool, list[Lane]]]:
        lanes = [lane for lane in self.lanes if lane.price_class == price_class]
        names = sorted({lane.pool for lane in lanes})
        return [(self.pools[name], [lane for lane in lanes if lane.pool == name]) for name in names]
