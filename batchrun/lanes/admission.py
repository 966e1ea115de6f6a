"""Admission and settlement: what a call takes from lane, pool and budgets, and what its end gives back or closes.

The one place that decides what is done about a fault's action.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import NamedTuple

from batchrun.bedrock.card import Prices
from batchrun.bedrock.faults import FEW_ATTEMPTS, THROTTLES, Action, Fault
from batchrun.lanes.breaker import Breaker
from batchrun.lanes.budget import DollarBudget, RetryBudget, dollars, saved_dollars, worst_dollars
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.lane import Lane
from batchrun.lanes.max_tokens import MaxTokens
from batchrun.lanes.oversize import Oversize
from batchrun.lanes.pool import DAY_SPENT, PARKED_S, Pool, Reservation
from batchrun.lanes.router import Router, Wait
from batchrun.lanes.shared import Sharing
from batchrun.lanes.trial import Trial
from batchrun.lanes.warmth import Warmth
from batchrun.records import Request, Usage

CHEAPER_S = 0.25  # between looks for a lane that the dollars left still cover


class Bound(Enum):
    """What a row at the front waits for."""

    QUOTA = "quota"
    IN_FLIGHT = "in_flight"
    LANES = "lanes"
    CACHE = "cache"  # a lane that keeps the prefix, or is about to
    DOLLARS = "dollars"


class Next(Enum):
    """What happens to a row after a fault."""

    ELSEWHERE = auto()  # at once, by whatever lane is open; nothing is counted against the row
    RETRY = auto()  # after a back-off; counted against the row only where it may be the row's doing
    FAILED = auto()
    UNSENDABLE = auto()
    REFRESH = auto()  # read the credentials again, then ELSEWHERE
    STOP = auto()  # the run cannot go on


class Admission(NamedTuple):
    """What one call took at the gate."""

    lane: Lane
    pool: Pool  # on which it is booked
    reservation: Reservation
    worst_usd: float
    sent_at_s: float
    kept: tuple[bytes, ...] = ()  # the prefixes that are read or written
    leads: tuple[bytes, ...] = ()  # those of them that it is the one to write


class Refused(NamedTuple):
    """Why nothing goes now, and when it is worth asking again [s]; inf means when a call in flight ends, or never."""

    bound: Bound
    at_s: float
    usd: float = 0.0  # where dollars are what it waits for: the most that its call can cost


@dataclass(frozen=True, slots=True)
class Budgets:
    """The run-wide bounds on admission."""

    in_flight: InFlightLimit
    dollars: DollarBudget
    retries: RetryBudget
    max_attempts: int
    far_larger: float = inf  # than what earlier starts got through is a hold above this [quota tokens]
    max_tokens: MaxTokens | None = None  # where it is learnt; None: each request has the job's own


class Admissions:
    """Books every call in and out; pure but for the day's end, which the calendar tells."""

    def __init__(
        self,
        router: Router,
        budgets: Budgets,
        prices: Mapping[str, Prices],
        burndown: int,
        seconds_to_midnight: Callable[[], float],
        warmth: Warmth | None = None,
    ) -> None:
        """Take what calls are booked on; `warmth` where prefixes are kept, None where no job asks for it."""
        self.router = router
        self.sharing = Sharing(router)
        self.budgets = budgets
        self.in_flight = 0
        self._answering: set[tuple[str, str]] = set()  # accesses and source Regions that answered a call, ever
        self._oversize = Oversize(router, budgets.far_larger)
        self._prices = prices
        self._burndown = burndown
        self._seconds_to_midnight = seconds_to_midnight
        self.warmth = warmth
        self._ttl = warmth.ttl if warmth is not None else "5m"

    def admit(self, trial: Trial, now_s: float) -> Admission | Refused:
        """Book the row's next call on the best lane, or say what it waits for."""
        self._size(trial)
        self.sharing.look()
        hold = trial.request.hold
        if self.in_flight >= self.limit(now_s):
            return Refused(Bound.IN_FLIGHT, self.budgets.in_flight.grows_at())
        lane = self._route(trial, now_s)
        if isinstance(lane, Wait):
            return Refused(_bound(lane), lane.at_s)
        worst_usd = self.worst_usd(trial.request, lane)
        if not self.budgets.dollars.fits(worst_usd):
            return self._too_dear(trial.request, now_s)
        pool, breaker = self.router.books_of(lane)
        self.in_flight += 1
        breaker.in_flight += 1
        self.budgets.dollars.reserve(worst_usd)
        # An answer that was cut, or does not fit the schema, is no failure of the service: were its row's next call an
        # extra one, a wrong guess would slow the run.
        self.budgets.retries.count(now_s, extra=trial.attempts > trial.cuts + trial.misfits)
        kept = self.warmth.kept(trial.request) if self.warmth is not None else None
        if kept is None:
            return Admission(lane, pool, pool.reserve(hold, now_s), worst_usd, now_s)
        leads = kept.warmth.sent(lane, kept.keys, now_s)
        return Admission(lane, pool, pool.reserve(hold, now_s), worst_usd, now_s, kept.keys, leads)

    def _too_dear(self, request: Request, now_s: float) -> Refused:
        """Tell what a row waits for that the dollars left do not cover: a cheaper lane, if they cover that."""
        lanes = [one for one in self.router.lanes if not self.router.breakers[one].shut(now_s)]
        cheapest_usd = min((self.worst_usd(request, one) for one in lanes), default=inf)
        if self.budgets.dollars.fits(cheapest_usd):
            return Refused(Bound.QUOTA, now_s + CHEAPER_S)
        return Refused(Bound.DOLLARS, inf, cheapest_usd)

    def limit(self, now_s: float) -> int:
        """Return how many calls may be in flight now."""
        calls: float = self.budgets.in_flight.calls(self.router.booked(), now_s)
        if self.budgets.max_tokens is not None:
            calls = min(calls, self.budgets.max_tokens.calls)
        return max(1, int(calls * self.budgets.retries.slowdown(now_s)))

    def _route(self, trial: Trial, now_s: float) -> Lane | Wait:
        """Choose a lane; a row larger than all that ever fitted, or could, is tried on rested pools only."""
        hold = trial.request.hold
        if not self._oversize.is_likely(trial):
            kept = self.warmth.kept(trial.request) if self.warmth is not None else None
            chosen = self.router.choose(hold, now_s) if kept is None else self.router.choose_kept(hold, kept, now_s)
            if isinstance(chosen, Lane) or chosen.at_s < inf or self.router.may_fit(hold):
                return chosen
        if now_s < trial.rests_until_s and not self.router.untried(trial.tried_rested, now_s):
            return Wait(trial.rests_until_s)
        return self.router.choose_rested(hold, trial.tried_rested, now_s)

    def stands_aside(self, trial: Trial, now_s: float) -> bool:
        """Tell whether a row should not hold up others: it needs a rested pool, or one that is shut for long."""
        self._size(trial)
        return self._oversize.is_likely(trial) or not self.router.takes(trial.request.hold, now_s)

    def _size(self, trial: Trial) -> None:
        if self.budgets.max_tokens is not None:
            self.budgets.max_tokens.size(trial)

    def worst_usd(self, request: Request, lane: Lane) -> float:
        """Return the most that a call can cost."""
        prices, cached_tokens = self._prices[lane.price_class], request.most_cached_tokens
        return worst_dollars(request.most_input_tokens, request.max_tokens, prices, cached_tokens, self._ttl)

    def saved_usd(self, usage: Usage, lane: Lane) -> float:
        """Return what a call cost less than it would have without a cache."""
        return saved_dollars(usage, self._prices[lane.price_class], self._ttl)

    def answered(self, admission: Admission, trial: Trial, usage: Usage, now_s: float) -> float:
        """Settle a call that was answered; return what it cost [USD]."""
        spent_usd = dollars(usage, self._prices[admission.lane.price_class], self._ttl)
        if self.warmth is not None:
            self.warmth.answered(admission.lane, admission.kept, usage, admission.sent_at_s)
        charge = usage.input + usage.cache_write + self._burndown * usage.output
        breaker = self._leave(admission, spent_usd)
        admission.pool.settle(admission.reservation, charge, now_s)
        told = self.router.pools[admission.lane.pool]
        if told is not admission.pool:
            told.settled_elsewhere(charge, now_s)
        breaker.answered()
        self._answering.add((admission.lane.access, admission.lane.source_region))
        self.budgets.in_flight.answered(charge, now_s - admission.sent_at_s)
        trial.attempts += 1
        trial.cost_usd += spent_usd
        return spent_usd

    def abandoned(self, admission: Admission, now_s: float) -> None:
        """Book out a call that was cancelled: its end is unknown, so quota and dollars stay taken."""
        self._leave(admission, admission.worst_usd)
        admission.pool.keep(admission.reservation, now_s)

    def withdrawn(self, admission: Admission, now_s: float) -> None:
        """Book out a call that was let in and never sent."""
        self._leave(admission, 0.0)
        admission.pool.withdraw(admission.reservation, now_s)

    def faulted(self, admission: Admission, trial: Trial, fault: Fault, now_s: float) -> Next:
        """Book out a call that failed; return what becomes of its row."""
        pool = admission.pool
        breaker = self._leave(admission, admission.worst_usd if fault.maybe_billed else 0.0)
        if fault.action in THROTTLES:
            return self._throttled(pool, admission.reservation, trial, fault, now_s)
        if fault.maybe_billed:
            pool.keep(admission.reservation, now_s)
        else:
            pool.release(admission.reservation, now_s)
        return self._failed(admission, breaker, trial, fault, now_s)

    def lost(self, lane: Lane, fault: Fault) -> Next:
        """Close a Region that answered before and is refused with new credentials too; return what becomes of a row."""
        self.router.close_region(lane.source_region, f"{fault.code}: {fault.message}", lane.access)
        return Next.STOP if self.router.all_closed() else Next.ELSEWHERE

    def lost_access(self, lane: Lane, why: str) -> Next:
        """Close all lanes of an account that nothing works in, if there are others; return what becomes of a row."""
        if all(one.access == lane.access for one in self.router.lanes):
            return Next.STOP
        self.router.close_access(lane.access, why)
        return Next.STOP if self.router.all_closed() else Next.ELSEWHERE

    def _throttled(self, pool: Pool, reservation: Reservation, trial: Trial, fault: Fault, now_s: float) -> Next:
        if fault.action is Action.DAY:
            pool.park(reservation, now_s + self._seconds_to_midnight(), DAY_SPENT, now_s)
        elif fault.action is Action.PARK:
            pool.park(reservation, now_s + PARKED_S, f"{fault.code}: {fault.message}", now_s)
        else:
            requests = fault.action is Action.REQUESTS
            pool.refuse(reservation, now_s, requests=requests, retry_after_s=fault.retry_after_s)
            if not requests:
                self.sharing.refused(pool, reservation, now_s)
                trial.throttled(pool.name, now_s, rested=reservation.rested)
            if self._oversize.is_certain(trial, now_s):
                return Next.UNSENDABLE
        return Next.ELSEWHERE

    def _failed(self, admission: Admission, breaker: Breaker, trial: Trial, fault: Fault, now_s: float) -> Next:
        trial.attempts += 1
        lane = admission.lane
        why = f"{fault.code}: {fault.message}"
        match fault.action:
            case Action.COOL:
                breaker.failed(admission.sent_at_s, now_s, capacity=True, retry_after_s=fault.retry_after_s)
                return Next.RETRY
            case Action.LANE:
                self.router.close([lane], why)
                return Next.ELSEWHERE
            case Action.REGION if (lane.access, lane.source_region) in self._answering:
                return Next.REFRESH  # it was good for calls before, so something has expired
            case Action.REGION:
                self.router.close_region(lane.source_region, why, lane.access)
                return Next.ELSEWHERE
            case Action.REFRESH:
                return Next.REFRESH
            case Action.RUN:
                return self.lost_access(lane, why)
            case Action.ROW:
                return Next.UNSENDABLE
        breaker.failed(admission.sent_at_s, now_s, capacity=False)
        trial.failures += 1
        few = FEW_ATTEMPTS if fault.action is Action.RETRY_FEW else self.budgets.max_attempts
        return Next.RETRY if trial.failures < min(few, self.budgets.max_attempts) else Next.FAILED

    def _leave(self, admission: Admission, spent_usd: float) -> Breaker:
        """Book a call out of everything but its pool's quota; return the breaker that is to hear of its end."""
        _, breaker = self.router.books_of(admission.lane)
        self.in_flight -= 1
        breaker.in_flight -= 1
        self.budgets.dollars.settle(admission.worst_usd, spent_usd)
        if self.warmth is not None and admission.leads:
            self.warmth.ended(admission.lane, admission.leads)
        return breaker


def _bound(wait: Wait) -> Bound:
    if wait.for_cache:
        return Bound.CACHE
    return Bound.QUOTA if wait.for_quota else Bound.LANES
