"""A pool: one account quota, as we count it and as Bedrock's refusals correct it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from batchrun.lanes.day import Day
from batchrun.lanes.doubt import Doubts
from batchrun.lanes.metering import Metering
from batchrun.lanes.mirror import Held, Mirror
from batchrun.lanes.promise import Promise, Promised

TOKEN_SLACK = 0.5  # of a call: its input is an estimate, and charges in transit are counted here a round trip late
DAY_SPENT = "its tokens per day are used up"
PARKED_S = 300.0  # for a quota that Bedrock does not name; long enough not to hammer, a guess


@dataclass(frozen=True, slots=True)
class Quota:
    """What a pool allows; None is unknown and not limited until a refusal says otherwise, 0 is blocked.

    `sources` says for each number where it came from; `promised` numbers are a share of the account's quota that is
    never exceeded in any 60 s.
    """

    tokens_per_minute: float | None = None
    requests_per_minute: float | None = None
    tokens_per_day: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    promised: bool = False

    @property
    def blocked(self) -> bool:
        """Tell whether any of the numbers is 0."""
        return self.blocked_why is not None

    @property
    def blocked_why(self) -> str | None:
        """Say which number is 0 and where it came from, None if none is."""
        for key in ("tokens_per_minute", "requests_per_minute", "tokens_per_day"):
            if getattr(self, key) == 0:
                return f"its quota is 0: {key}" + (f" ({self.sources[key]})" if key in self.sources else "")
        return None


class Reservation(NamedTuple):
    """What one call holds of its pool until it is settled."""

    hold: float
    sent_at_s: float
    tokens: Held
    requests: Held
    promised: Promised | None
    rested: bool  # nothing was in flight and nothing charged for a minute: a refusal means that the hold never fits
    beyond: bool = False  # of a joint pool: it was sent to see whether the pool is one


class Pool:
    """Counts what is charged, and says when a further call fits.

    Source of the rule: Bedrock user guide, token burndown: input + max_tokens are held at admission, and settled at
    input + cache writes + burndown x output; settling above the hold puts the pool into debt.
    """

    def __init__(self, name: str, quota: Quota, metering: Metering | None = None, doubts: Doubts | None = None) -> None:
        """Take what the account was told to have, what is known of metering, and what the run's pools find out."""
        self.metering = metering = metering or Metering()
        doubts = doubts or Doubts(metering.day_ends_at_s)
        self.name = name
        self.quota = quota
        self.in_flight = 0
        self.throttled = 0
        self.settled_tokens = 0.0
        self.largest_admitted = 0.0
        self.parked_until_s = inf if quota.blocked else 0.0
        self.parked_why = quota.blocked_why or ""
        self._tokens = Mirror(quota.tokens_per_minute, metering, doubts, slack=TOKEN_SLACK, cautious=True)
        self._requests = Mirror(quota.requests_per_minute, metering, doubts, slack=0.0, cautious=False)
        self._promise: Promise | None = None
        if quota.promised:
            self._promise = Promise(quota.tokens_per_minute, quota.requests_per_minute, metering)
        self._day = Day(quota.tokens_per_day, metering.day_ends_at_s)

    def __repr__(self) -> str:
        return f"Pool({self.name}, in_flight={self.in_flight}, {self._tokens})"

    def capacity(self) -> float:
        """Return the largest hold believed to fit [quota tokens]."""
        return max(self.quota.tokens_per_minute or inf, self.largest_admitted)

    def takes(self, hold: float, now_s: float) -> bool:
        """Tell whether nothing but the minute's use keeps out a call of `hold` quota tokens: not size, park or day."""
        return hold <= self.capacity() and self.parked_until_s <= now_s and hold <= self.day_left(now_s)

    def ready_at(self, hold: float, now_s: float) -> float:
        """Return the earliest time [s] at which a call of `hold` quota tokens may be sent; inf if it is too large."""
        if hold > self.capacity():
            return inf
        return max(self._tokens.ready_at(hold, now_s), self._ready_but_for_tokens(hold, now_s))

    def rested_at(self, hold: float, now_s: float) -> float:
        """Return when the pool will have been idle for a minute, if nothing more is sent; inf while calls are out.

        `hold` may be above the capacity, but not above what a day allows.
        """
        if self.in_flight:
            return inf
        return max(self._open_at(hold, now_s), self._tokens.rested_at(now_s), self._requests.ready_at(1, now_s))

    def day_left(self, now_s: float) -> float:
        """Return how many quota tokens of the day are left; inf where no day quota is known."""
        return self._day.left(now_s)

    def room(self, now_s: float) -> float:
        """Return the free share of what a minute is believed to take; 1.0 where no limit is known."""
        return self._tokens.room(now_s)

    def feels_its_way(self, now_s: float) -> bool:
        """Tell whether calls are held back only until the first have turned out to pass: a matter of round trips."""
        return self._tokens.feels_its_way(now_s)

    def told_wrong_at_s(self) -> float | None:
        """Return when a call was first refused although far less than the quota was used; None if none was."""
        return self._tokens.told_wrong_at_s

    def used_tokens(self, now_s: float) -> float:
        """Return the quota tokens charged in the last 60 s."""
        return self._tokens.minute.used(now_s)

    def take_over(self, pools: Collection["Pool"], now_s: float) -> None:
        """Charge what these pools were charged today and in the last minute, and hear how their calls in flight end.

        What those settle above or below their holds is missing from the day's tokens.
        """
        self._day.charge(sum(pool._day.used(now_s) for pool in pools), now_s)
        if self._promise is not None:
            for promise in (pool._promise for pool in pools if pool._promise is not None):
                self._promise.charge(*promise.most(now_s), now_s)
        self._tokens.take_over([pool._tokens for pool in pools], now_s)
        self._requests.take_over([pool._requests for pool in pools], now_s)

    def part_with_heir(self) -> None:
        """Keep to itself again how its calls end."""
        self._tokens.part_with_heir()
        self._requests.part_with_heir()

    def tokens_per_s(self) -> float | None:
        """Return the rate at which the pool can be fed in the long run [quota tokens/s], None if unknown."""
        return self._tokens.rate_per_s()

    def requests_per_s(self) -> float | None:
        """Return the same for requests."""
        return self._requests.rate_per_s()

    def reserve(self, hold: float, now_s: float) -> Reservation:
        """Take what a call holds."""
        rested = self.in_flight == 0 and self._tokens.minute.used(now_s) == 0
        self.in_flight += 1
        self._day.charge(hold, now_s)
        return Reservation(
            hold,
            now_s,
            self._tokens.hold(hold, now_s),
            self._requests.hold(1, now_s),
            self._promise.hold(hold, now_s) if self._promise is not None else None,
            rested,
        )

    def settle(self, reservation: Reservation, charge: float, now_s: float) -> None:
        """Give back what an answered call did not need, or take what it needed more."""
        self.settled_tokens += charge
        self.largest_admitted = max(self.largest_admitted, reservation.hold)
        self.in_flight -= 1
        self._day.correct(reservation.sent_at_s, charge - reservation.hold)
        self._tokens.settle(reservation.tokens, charge, now_s)
        if self._promise is not None and reservation.promised is not None:
            self._promise.settle(reservation.promised, charge, now_s)

    def settled_elsewhere(self, charge: float, now_s: float) -> None:
        """Take what a call of its lane came to that is booked on a joint pool: if they part, it was its own."""
        self.settled_tokens += charge
        self._day.charge(charge, now_s)
        self._tokens.inherit(charge, now_s)
        self._requests.inherit(1, now_s)
        if self._promise is not None:
            self._promise.charge(charge, 1, now_s)

    def share_is_used(self, now_s: float) -> None:
        """Take that an earlier start may have used the promised share in the last minute."""
        if self._promise is not None:
            self._promise.charge(self.quota.tokens_per_minute or 0.0, self.quota.requests_per_minute or 0.0, now_s)

    def keep(self, reservation: Reservation, now_s: float) -> None:
        """Leave the hold of a call whose end is unknown where it is: Bedrock may hold it too."""
        self.in_flight -= 1
        if self._promise is not None and reservation.promised is not None:
            self._promise.settle(reservation.promised, reservation.promised.most, now_s)

    def withdraw(self, reservation: Reservation, now_s: float) -> None:
        """Take back a call that tells nothing of the quota: never sent, or refused for other reasons."""
        self._requests.withdraw(reservation.requests, now_s)
        self._tokens.withdraw(reservation.tokens, now_s)
        self._leave(reservation, now_s)

    def release(self, reservation: Reservation, now_s: float) -> None:
        """Give back the tokens of a call that was let in and failed; the request itself was counted."""
        self.in_flight -= 1
        self._day.correct(reservation.sent_at_s, -reservation.hold)
        self._tokens.withdraw(reservation.tokens, now_s)
        self._requests.forget(reservation.requests)
        if self._promise is not None and reservation.promised is not None:
            self._promise.settle(reservation.promised, 0.0, now_s)

    def refuse(
        self, reservation: Reservation, now_s: float, *, requests: bool, retry_after_s: float | None = None
    ) -> None:
        """Take a throttle: give the hold back, and have the mirror that it speaks of learn from it."""
        self.throttled += 1
        oversized = reservation.rested and reservation.hold > self.capacity()
        if oversized and not requests:
            # It was a try whether so large a hold fits at all; no other call need wait for that.
            self.withdraw(reservation, now_s)
            return
        self._leave(reservation, now_s)
        if requests:
            self._tokens.withdraw(reservation.tokens, now_s)
            self._requests.refuse(reservation.requests, now_s, retry_after_s)
        else:
            self._requests.withdraw(reservation.requests, now_s)
            self._tokens.refuse(reservation.tokens, now_s, retry_after_s)

    def park(self, reservation: Reservation, until_s: float, why: str, now_s: float) -> None:
        """Close the pool until a time that only AWS's side can shorten, such as the turn of the day."""
        self.withdraw(reservation, now_s)
        self.throttled += 1
        if until_s > self.parked_until_s:  # the longest stands: a call of before may bring a lesser reason
            self.parked_until_s = until_s
            self.parked_why = why

    def shut_why(self, now_s: float) -> str | None:
        """Say why the pool takes nothing for long, None if nothing is known."""
        if self.parked_until_s > now_s:
            if self.parked_why == DAY_SPENT and self.largest_admitted == 0:
                return f"{DAY_SPENT}, and no call ever got through: the day quota is probably 0"
            return self.parked_why
        if self.quota.tokens_per_day is not None:
            return f"{self._day.used(now_s):.0f} of {self.quota.tokens_per_day:.0f} tokens per day are used"
        return None

    def _ready_but_for_tokens(self, hold: float, now_s: float) -> float:
        ready_s = self._open_at(hold, now_s)
        if self._requests.limited:
            ready_s = max(ready_s, self._requests.ready_at(1, now_s))
        if self._promise is not None:
            ready_s = max(ready_s, self._promise.ready_at(hold, now_s))
        return ready_s

    def _leave(self, reservation: Reservation, now_s: float) -> None:
        """Book a call out that Bedrock did not count."""
        self.in_flight -= 1
        self._day.correct(reservation.sent_at_s, -reservation.hold)
        if self._promise is not None and reservation.promised is not None:
            self._promise.withdraw(reservation.promised, now_s)

    def _open_at(self, hold: float, now_s: float) -> float:
        """Return when the pool is neither parked nor out of its day's tokens."""
        return self.parked_until_s if hold <= self.day_left(now_s) else max(self.parked_until_s, self._day.ends_at_s)
