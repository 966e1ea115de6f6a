"""The router: which lane a row takes now, or when one will take it.

The rule: the cheapest price class that has room, there the pool with the largest relative room; a dearer class while
the cheaper are closed; if all are closed, wait for the earliest to open. Within a pool, the lane with the fewest calls.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from batchrun.lanes.breaker import Breaker
from batchrun.lanes.lane import Lane
from batchrun.lanes.pool import Pool

_Lanes = list[tuple[Lane, Breaker]]


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
        self._price_classes = sorted({lane.price_class for lane in lanes}, key=lambda name: (price[name], name))
        self._classes = self._open_pools()

    def choose(self, hold: float, now_s: float) -> Lane | Wait:
        """Return the lane for a call of `hold` quota tokens, or how long to wait for one."""
        earliest_s = inf
        any_pool_ready = False
        for pools in self._classes:
            # Most room first: mostly the first that is asked is ready. Where no quota is known, the fewest calls.
            for pool, lanes in sorted(pools, key=lambda entry: (-entry[0].room(now_s), entry[0].in_flight)):
                pool_ready_s = pool.ready_at(hold, now_s)
                chosen = self._ready(pool_ready_s, lanes, now_s)
                if isinstance(chosen, Lane):
                    return chosen
                any_pool_ready = any_pool_ready or pool_ready_s <= now_s
                earliest_s = min(earliest_s, chosen)
        return Wait(earliest_s, for_quota=not any_pool_ready)

    def choose_rested(self, hold: float, tried: frozenset[str], now_s: float) -> Lane | Wait:
        """Return a lane whose pool has been idle for a minute, for a row that busy pools turned away.

        Pools that the row has not tried yet come first, the largest of them first.
        """
        earliest_s = inf
        pools = [entry for group in self._classes for entry in group]
        for pool, lanes in sorted(pools, key=lambda entry: (entry[0].name in tried, -entry[0].capacity())):
            chosen = self._ready(pool.rested_at(hold, now_s), lanes, now_s)
            if isinstance(chosen, Lane):
                return chosen
            earliest_s = min(earliest_s, chosen)
        return Wait(earliest_s)

    def takes(self, hold: float, now_s: float) -> bool:
        """Tell whether any pool that is open, or will be in a minute, is believed to take a hold of that size."""
        return any(pool.takes(hold, now_s) for pools in self._classes for pool, _ in pools)

    def open_to_smaller(self, hold: float, now_s: float) -> bool:
        """Tell whether any pool is open to what is as large as it can take, though not larger than `hold`."""
        pools = (pool for pools in self._classes for pool, _ in pools)
        return any(pool.takes(min(hold, pool.capacity()), now_s) for pool in pools)

    def may_fit(self, hold: float) -> bool:
        """Tell the same of any pool that is not out for the whole run."""
        pools = (pool for pools in self._classes for pool, _ in pools)
        return any(hold <= pool.capacity() for pool in pools if pool.parked_until_s != inf)

    def largest_admitted(self) -> float:
        """Return the largest hold ever admitted by a pool that still has a lane [quota tokens]."""
        return max((pool.largest_admitted for pools in self._classes for pool, _ in pools), default=0.0)

    def untried(self, tried: frozenset[str], now_s: float) -> list[str]:
        """Name the pools outside `tried` that a row could still go to."""
        usable = {lane.pool for lane in self.lanes if not self.breakers[lane].shut(now_s)}
        return sorted(name for name in usable - tried if self.pools[name].parked_until_s <= now_s)

    def close(self, lanes: Iterable[Lane], why: str) -> None:
        """Take lanes out for the whole run."""
        for lane in lanes:
            self.breakers[lane].close(why)
        self._classes = self._open_pools()

    def close_region(self, source_region: str, why: str) -> None:
        """Take every lane of a source Region out for the whole run."""
        self.close([lane for lane in self.lanes if lane.source_region == source_region], why)

    def obstacles(self, now_s: float) -> list[str]:
        """Say of each lane that is shut for long why it is, for the message of a run that cannot go on."""
        lines = []
        for lane in self.lanes:
            closed_why, pool = self.breakers[lane].closed_why, self.pools[lane.pool]
            if closed_why is not None:
                lines.append(f"{lane.name}: {closed_why}")
            elif (shut_why := pool.shut_why(now_s)) is not None:
                lines.append(f"{lane.name}: pool {pool.name}: {shut_why}")
        return lines

    def all_closed(self) -> bool:
        """Tell whether every lane is out for the whole run."""
        return not any(self._classes)

    def _ready(self, pool_ready_s: float, lanes: _Lanes, now_s: float) -> Lane | float:
        """Return the lane of a pool that takes a call now, or the time [s] at which one will."""
        earliest_s, best, fewest = inf, None, 0
        for lane, breaker in lanes:
            ready_s = max(pool_ready_s, breaker.ready_at(now_s))
            if ready_s > now_s:
                earliest_s = min(earliest_s, ready_s)
            elif best is None or breaker.in_flight < fewest:
                best, fewest = lane, breaker.in_flight
        return earliest_s if best is None else best

    def _open_pools(self) -> list[list[tuple[Pool, _Lanes]]]:
        """Group the lanes that are not out: by price class, the cheapest first, and there by pool."""
        classes = []
        for price_class in self._price_classes:
            pools: dict[str, _Lanes] = {}
            for lane, breaker in self.breakers.items():
                if lane.price_class == price_class and breaker.closed_why is None:
                    pools.setdefault(lane.pool, []).append((lane, breaker))
            classes.append([(self.pools[name], pools[name]) for name in sorted(pools)])
        return classes
