"""How many calls may be in flight: a minute's quota of them, or Little's law where calls take long."""

from collections.abc import Iterable
from math import ceil, inf

from batchrun.lanes.pool import Pool

HEADROOM = 2.0  # answers vary in length; a bound at the mean would idle half of the time
BURST_S = 60.0  # of the rate: a meter that is full, or a window that turns, takes a whole minute's quota at once
SHARE_OF_LAST = 0.05  # weight of a new call in the running means
FIRST_LATENCY_S = 2.0  # before an answer is seen; a guess
LEAST = 8
REFRESH_S = 0.25  # asked for every call, worked out four times a second
# A call in flight with an answer of 16 KB costs about 100 KB in the SDK; one core sends under 1,500 a second.
MOST = 600


class InFlightLimit:
    """The bound on calls in flight: the job's number, or derived from pools, costs and latency.

    The derived bound begins at LEAST and at the most doubles every REFRESH_S, longer than a refusal takes to come back:
    a wrong quota, or a closed door, costs a few calls and not a whole first flight.
    """

    def __init__(self, fixed: int | None, *, connections: int, first_cost: float) -> None:
        """Take the job's number, if any, the connections there may be, and what a first call costs [quota tokens]."""
        self._fixed = fixed
        self._most = max(1, min(MOST, connections))
        self._latency_s = FIRST_LATENCY_S
        self._cost = first_cost
        self._bound = LEAST // 2  # doubled when first asked
        self._fresh_until_s = 0.0

    def answered(self, cost: float, latency_s: float) -> None:
        """Learn from a call that was answered; `cost` in quota tokens."""
        self._latency_s += SHARE_OF_LAST * (latency_s - self._latency_s)
        self._cost += SHARE_OF_LAST * (cost - self._cost)

    def calls(self, pools: Iterable[Pool], now_s: float) -> int:
        """Return the bound."""
        if self._fixed is not None:
            return self._fixed
        if now_s >= self._fresh_until_s:
            self._fresh_until_s = now_s + REFRESH_S
            self._bound = min(self._little(pools, now_s), 2 * self._bound)
        return self._bound

    def grows_at(self) -> float:
        """Return when the bound is worked out anew [s]; inf for the job's own number."""
        return inf if self._fixed is not None else self._fresh_until_s

    def _little(self, pools: Iterable[Pool], now_s: float) -> int:
        cost = max(self._cost, 1.0)
        per_s = 0.0
        for pool in pools:
            if pool.parked_until_s > now_s:
                continue
            rates = [rate for rate in (_over(pool.tokens_per_s(), cost), pool.requests_per_s()) if rate is not None]
            if not rates:
                return self._most
            per_s += min(rates)
        return min(self._most, max(LEAST, ceil(per_s * max(BURST_S, HEADROOM * self._latency_s))))


def _over(tokens_per_s: float | None, cost: float) -> float | None:
    return None if tokens_per_s is None else tokens_per_s / cost
