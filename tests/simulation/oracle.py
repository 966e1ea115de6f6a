"""The oracle: how fast a client could be that knows the meters.

Optimum A is a discrete-event run over meters of its own, made of the emulator's spec: rows in order, each sent the
instant it fits into any pool, settled after its latency, never refused. Where a row could go later, the oracle wakes at
the earliest moment at which a meter may have room again: a settlement, an edge, a charge that leaves the minute, a
bucket's refill. Only the order of pools that open at the same instant is arbitrary.

Optimum B is a sum: (what was settled − what the meters held at the start) ÷ the rate at which they are refilled, plus
the last row's latency. What tenants drew counts as settled. A may undercut B: windows forget debt at their edge, and a
settlement above its hold is charged late. The larger of the two is what a run is compared with.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

from batchrun.emulator.meter import MINUTE_S, Bucket, FixedWindow, Meter
from batchrun.emulator.pools import Pool, Reservation
from batchrun.emulator.tenants import STEP_S

HAIR_S = 1e-6  # past a moment, so that rounding does not leave us before it


@dataclass(frozen=True, slots=True)
class Call:
    """What one row takes of a pool."""

    hold: int
    charge: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class Outlet:
    """A pool that answers, how much longer than others it takes, and where its fixed minutes have their edge."""

    pool: Pool
    latency_factor: float = 1.0
    edge_s: float = 0.0


class _Moment(NamedTuple):
    at_s: float
    number: int  # first pushed, first handled
    place: int  # of the outlet
    reservation: Reservation | None = None
    charge: int = 0


class _Oracle:
    def __init__(self, outlets: Sequence[Outlet], calls: Iterable[Call]) -> None:
        self._outlets = outlets
        self._calls = iter(calls)
        self._next = next(self._calls, None)
        self._moments: list[_Moment] = []
        self._looks_at_s = [inf] * len(outlets)  # when time alone may open each outlet
        self._pushed = 0
        self.ends_at_s = 0.0

    def run(self) -> None:
        for place in range(len(self._outlets)):
            self._look(place, 0.0)
        while self._moments:
            at_s, _, place, reservation, charge = heapq.heappop(self._moments)
            pool = self._outlets[place].pool
            if reservation is not None:
                pool.settle(reservation, charge, at_s)
                self._leaves(place, at_s)
            if at_s >= self._looks_at_s[place]:
                self._looks_at_s[place] = inf
            self._send(place, at_s)
        assert self._next is None, f"a row that holds {self._next.hold} fits nowhere"

    def _send(self, place: int, now_s: float) -> None:
        """Send all that fits the outlet now, and see when to look again."""
        outlet = self._outlets[place]
        while self._next is not None:
            if outlet.pool.refusal(self._next.hold, now_s) is not None:
                opens_at_s = _opens_at(outlet, self._next.hold, now_s)
                if opens_at_s < self._looks_at_s[place]:
                    self._look(place, opens_at_s)
                return
            call, self._next = self._next, next(self._calls, None)
            reservation = outlet.pool.admit(call.hold, now_s)
            done_at_s = now_s + call.latency_s * outlet.latency_factor
            self.ends_at_s = max(self.ends_at_s, done_at_s)
            self._push(_Moment(done_at_s, self._pushed, place, reservation, call.charge))
            self._leaves(place, now_s)

    def _leaves(self, place: int, taken_at_s: float) -> None:
        """Come back when what was charged now leaves a trailing minute."""
        pool = self._outlets[place].pool
        if self._next is not None and not all(isinstance(meter, Bucket | FixedWindow) for meter in _meters(pool)):
            self._push(_Moment(taken_at_s + MINUTE_S + HAIR_S, self._pushed, place))

    def _look(self, place: int, at_s: float) -> None:
        if at_s < inf:
            self._looks_at_s[place] = at_s
            self._push(_Moment(at_s, self._pushed, place))

    def _push(self, moment: _Moment) -> None:
        self._pushed += 1
        heapq.heappush(self._moments, moment)


def optimum_a(outlets: Sequence[Outlet], calls: Iterable[Call]) -> float:
    """Return when the last answer is there [s], if each of `calls` goes out in order as soon as it fits anywhere."""
    oracle = _Oracle(outlets, calls)
    oracle.run()
    return oracle.ends_at_s


def optimum_b(pools: Iterable[Pool], settled_tokens: float, calls: int, last_latency_s: float) -> float:
    """Return (settled − held at the start) ÷ rate + the last latency [s], for tokens or requests, whichever is longer.

    `pools` must be as they were at the start.
    """
    pools = list(pools)
    waits_s = [_sum_s([pool.tokens for pool in pools], settled_tokens)]
    requests = [pool.requests for pool in pools if pool.requests is not None]
    if len(requests) == len(pools):
        waits_s.append(_sum_s(requests, calls))
    return max(0.0, *waits_s) + last_latency_s


def _sum_s(meters: Sequence[Meter], settled: float) -> float:
    held = sum(meter.room(0.0) for meter in meters)
    return (settled - held) / (sum(meter.quota for meter in meters) / MINUTE_S)


def _meters(pool: Pool) -> list[Meter]:
    return [pool.tokens] if pool.requests is None else [pool.tokens, pool.requests]


def _opens_at(outlet: Outlet, hold: int, now_s: float) -> float:
    """Return the earliest time [s] at which time alone may let a refused call in; inf if only a charge's end can."""
    pool = outlet.pool
    costs = [hold, 1]
    waits = [
        _meter_opens_at(meter, cost, now_s, outlet.edge_s) for meter, cost in zip(_meters(pool), costs, strict=False)
    ]
    opens_at_s = max(waits)
    return min(opens_at_s, now_s + STEP_S) if pool.tenants else opens_at_s


def _meter_opens_at(meter: Meter, cost: float, now_s: float, edge_s: float) -> float:
    lacking = cost - meter.room(now_s)
    if lacking <= 0:
        return now_s + HAIR_S
    if isinstance(meter, Bucket):
        return inf if cost > meter.capacity else now_s + lacking / meter.quota * MINUTE_S + HAIR_S
    if isinstance(meter, FixedWindow):
        return inf if cost > meter.quota else edge_s + ceil((now_s - edge_s) / MINUTE_S + HAIR_S) * MINUTE_S + HAIR_S
    return inf  # a trailing minute opens when a charge leaves it, and those moments are known
