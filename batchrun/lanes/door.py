"""A door: one pool with its lanes, as the router sees it; it remembers until when it said that it is shut.

Asking a pool costs, and at the quota nearly all pools are shut whenever a row asks. What makes a pool or a lane open
earlier than it said is a call of its own that goes out or ends, and then the door forgets; time alone it has foretold.
"""

from collections.abc import Iterator, Sequence
from math import inf

from batchrun.lanes.breaker import Breaker
from batchrun.lanes.lane import Lane
from batchrun.lanes.pool import Pool

FRESH_S = 0.25  # for so long a pool that nothing happens to is taken to have the room that it had


class Door:
    """Lets calls to the lanes of one pool and price class; `opens_at_s` is its last no, for the hold asked about."""

    __slots__ = ("_fresh_until_s", "_lanes", "_room", "asked_hold", "opens_at_s", "pool", "pool_opens_at_s")

    def __init__(self, pool: Pool, lanes: Sequence[tuple[Lane, Breaker]]) -> None:
        self.pool = pool
        self._lanes = tuple(lanes)
        self._room = 0.0
        self.forget()

    def __repr__(self) -> str:
        return f"Door({self.pool.name}, {len(self._lanes)} lanes, opens_at_s={self.opens_at_s:.1f})"

    def forget(self) -> None:
        """Have the pool asked again; call it whenever a call of the door's has gone out or ended."""
        self.asked_hold = inf
        self.pool_opens_at_s = -inf
        self.opens_at_s = -inf
        self._fresh_until_s = -inf

    def is_known_shut(self, hold: float, now_s: float) -> bool:
        """Tell whether it said to a hold no larger than this one that it opens later than now."""
        return now_s < self.opens_at_s and hold >= self.asked_hold

    def room(self, now_s: float) -> float:
        """Return the free share of the pool's minute, looked up now or a moment ago."""
        if now_s >= self._fresh_until_s:
            self._fresh_until_s = now_s + FRESH_S
            self._room = self.pool.room(now_s)
        return self._room

    def lane(self, hold: float, now_s: float) -> Lane | None:
        """Return the lane for a call of `hold` quota tokens, or None and remember when there will be one."""
        pool_ready_s = self.pool.ready_at(hold, now_s)
        chosen = self.lane_when(pool_ready_s, now_s)
        if isinstance(chosen, Lane):
            return chosen
        self.asked_hold, self.pool_opens_at_s, self.opens_at_s = hold, pool_ready_s, chosen
        return None

    def lanes(self, hold: float, now_s: float) -> list[Lane]:
        """Return every lane that takes a call now, the one with the fewest calls first; remember a no as `lane`."""
        if self.lane(hold, now_s) is None:
            return []
        ready = [(breaker.in_flight, lane) for lane, breaker in self._lanes if breaker.ready_at(now_s) <= now_s]
        return [lane for _, lane in sorted(ready, key=lambda one: one[0])]

    def holds(self) -> Iterator[Lane]:
        """Yield all of its lanes."""
        return (lane for lane, _ in self._lanes)

    def lane_when(self, pool_ready_s: float, now_s: float) -> Lane | float:
        """Return the lane with the fewest calls if one takes a call now, or the time [s] at which one will."""
        earliest_s, best, fewest = inf, None, 0
        for lane, breaker in self._lanes:
            ready_s = max(pool_ready_s, breaker.ready_at(now_s))
            if ready_s > now_s:
                earliest_s = min(earliest_s, ready_s)
            elif best is None or breaker.in_flight < fewest:
                best, fewest = lane, breaker.in_flight
        return earliest_s if best is None else best
