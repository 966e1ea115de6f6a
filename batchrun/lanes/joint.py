"""A joint pool: several pools that look like one are booked as one, and from time to time it is tested that they are.

Where they are one, a call that a bucket of their number has nothing left for is refused. Where each is a pool of its
own, the others let it through. `docs/quota.md` tells why, with the sums.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from batchrun.lanes.pool import Pool, Reservation
from batchrun.lanes.unconfirmed import CONFIRMED_AFTER, LEAST_ROUND_TRIP_S, Unconfirmed

FIRST_S = 4.0  # so long tests come soon one after the other, whatever the readings say: they prove nothing yet
SOON_S = 0.5  # from one of them to the next, or after a test that let many calls through
FIRST_WAIT_S = 2.0  # after another test that was refused; twice as long each time
LONGEST_WAIT_S = 240.0
SURPLUS_S = 1.0  # of what the number brings: a call let through so far beyond what one pool can have is no error
LATE_SURPLUS_S = 3.0  # the same after the first seconds: a window that slides may have more than seemed
SURPLUS_CALLS = 10  # and at least so many calls beyond
LEAST_RATE = 0.3  # of the number: measured below it they are rather several, and the smallest holds up the others
TOO_MUCH = 2.0  # times what one pool can have refilled since the first refusal, or holds: so much is several pools'
SPARE_CALLS = 3  # that passed since the first refusal are no sign


class JointPool(Pool):
    """One quota in the place of several equal ones; `several` once more got through than one pool has."""

    def __init__(self, name: str, members: Sequence[Pool], refused: Reservation, now_s: float) -> None:
        """Take the pools that look like one, and the refusal that showed it; those sent by then wait for theirs."""
        round_trip_s = max(LEAST_ROUND_TRIP_S, now_s - refused.sent_at_s)
        super().__init__(name, members[0].quota, replace(members[0].metering, round_trip_s=round_trip_s))
        self.members = tuple(members)
        self.joined_at_s = now_s
        self.several = False
        self._number_per_s = (self.quota.tokens_per_minute or 0.0) / 60
        self.largest_admitted = max(pool.largest_admitted for pool in members)
        self._refused: Reservation | None = refused
        self._opens_at_s = now_s + CONFIRMED_AFTER * round_trip_s
        self._tests = Unconfirmed(round_trip_s)
        self._test_at_s = 0.0
        self._first_until_s = self._opens_at_s + FIRST_S
        self._wait_s = FIRST_WAIT_S
        self._test_refused_at_s = -inf
        self._round_trip_s = round_trip_s
        self._had = inf  # the most that one pool can have had at a refusal, and what its minute had been charged then
        self._had_at_s = now_s
        self._used_then = 0.0
        self._proof_at_s = inf  # when a call was sent that one pool cannot let through

    def ready_at(self, hold: float, now_s: float) -> float:
        """Return the earliest time [s] at which a call may be sent, be it to test whether the pool is one."""
        if not self._has_begun(now_s):
            return self._opens_at_s
        ready_s = super().ready_at(hold, now_s)
        if ready_s <= now_s or ready_s == inf:
            return ready_s
        self._confirm(now_s)
        if now_s >= self._first_until_s and not self._tokens.forbids(hold, now_s):
            self._had = inf  # a window may have turned since
            return ready_s
        free_s = self._ready_but_for_tokens(hold, now_s)
        few_s = self._tests.ready_beyond_at(now_s, self._proof(hold, now_s) / hold)
        tested_s = max(self._test_at_s, few_s, free_s)
        return max(now_s, min(ready_s, tested_s))

    def rested_at(self, hold: float, now_s: float) -> float:
        """Return when the pool will have been idle for a minute: not before it knows what its members did."""
        return super().rested_at(hold, now_s) if self._has_begun(now_s) else self._opens_at_s

    def reserve(self, hold: float, now_s: float) -> Reservation:
        """Take what a call holds, and note it if it is a test."""
        beyond = now_s < super().ready_at(hold, now_s) < inf
        reservation = super().reserve(hold, now_s)
        if not beyond:
            return reservation
        self._tests.sent(now_s, beyond=True)
        if self._has(now_s) < -self._proof(hold, now_s):
            self._proof_at_s = min(self._proof_at_s, now_s)
        return reservation._replace(beyond=True)

    def withdraw(self, reservation: Reservation, now_s: float) -> None:
        """Take back a call that tells nothing of the quota."""
        super().withdraw(reservation, now_s)
        self._forget(reservation)

    def release(self, reservation: Reservation, now_s: float) -> None:
        """Give back the tokens of a call that was let in and failed."""
        super().release(reservation, now_s)
        self._forget(reservation)

    def refuse(
        self, reservation: Reservation, now_s: float, *, requests: bool, retry_after_s: float | None = None
    ) -> None:
        """Take a throttle; that of a test says that the pools are one, as far as it goes."""
        if requests or not reservation.beyond:
            super().refuse(reservation, now_s, requests=requests, retry_after_s=retry_after_s)
            self._had_less_than(reservation.hold, now_s)
            return
        self.throttled += 1
        self.withdraw(reservation, now_s)  # the level had foreseen it: nothing to learn about the quota
        self._had_less_than(reservation.hold, now_s)
        if reservation.sent_at_s > self._test_refused_at_s:
            self._end_test(reservation.hold, now_s)

    def _has_begun(self, now_s: float) -> bool:
        """Tell whether the members' calls in flight have been answered by now; then they are booked here."""
        if now_s < self._opens_at_s:
            return False
        if self._refused is not None:
            self._begin(self._refused)
            self._refused = None
        return True

    def _begin(self, refused: Reservation) -> None:
        """Book what the members were charged, and the refusal, as if they had been one all along."""
        at_s = self.joined_at_s
        self.take_over(self.members, at_s)
        first_s = min(told_s for pool in self.members if (told_s := pool.told_wrong_at_s()) is not None)
        passed = sum(calls for sent_at_s, calls in self._requests.minute.charges(at_s) if sent_at_s > first_s)
        refilled = (at_s - first_s) * self._number_per_s
        too_many = passed > SPARE_CALLS + TOO_MUCH * refilled / refused.hold
        self.several = too_many or self.used_tokens(at_s) > TOO_MUCH * 60 * self._number_per_s
        held = self._tokens.hold(refused.hold, refused.sent_at_s)
        if held.beyond:
            self._tokens.withdraw(held, at_s)  # no news
        else:
            self._tokens.refuse(held, at_s)
        self._had_less_than(refused.hold, at_s)

    def _proof(self, hold: float, now_s: float) -> float:
        """Return how far beyond what one pool can have a call that passes is no error [quota tokens]."""
        surplus_s = SURPLUS_S if now_s < self._first_until_s else LATE_SURPLUS_S
        return max(SURPLUS_CALLS * hold, surplus_s * self._number_per_s)

    def _has(self, now_s: float) -> float:
        """Return the most that one pool of the number can have now, by its last refusals."""
        flown_in = (now_s - self._had_at_s) * self._number_per_s
        return self._had + flown_in - (self.used_tokens(now_s) - self._used_then)  # a window forgets what it forgets

    def _had_less_than(self, hold: float, now_s: float) -> None:
        """Take that `hold` was refused: one pool had less, and what flowed in while the refusal was under way."""
        least = min(self._has(now_s), hold + self._round_trip_s * self._number_per_s)
        self._had, self._had_at_s, self._used_then = least, now_s, self.used_tokens(now_s)

    def _confirm(self, now_s: float) -> None:
        """Take the tests that no refusal came for, and the rate that refusals have measured."""
        self._tests.confirm(now_s)
        proven = self._proof_at_s <= now_s - CONFIRMED_AFTER * self._round_trip_s
        too_slow = (self.tokens_per_s() or inf) < LEAST_RATE * self._number_per_s
        self.several = self.several or proven or too_slow

    def _end_test(self, hold: float, now_s: float) -> None:
        if self._tests.passed_beyond:
            self._tokens.level_is_below(hold, now_s)
        soon = now_s < self._first_until_s or self._tests.passed_beyond >= SURPLUS_CALLS
        self._tests.start_again()
        self._proof_at_s = inf
        self._test_refused_at_s = now_s
        self._test_at_s = now_s + (SOON_S if soon else self._wait_s)
        if not soon:
            self._wait_s = min(LONGEST_WAIT_S, 2 * self._wait_s)

    def _forget(self, reservation: Reservation) -> None:
        if reservation.beyond:
            self._tests.forget(reservation.sent_at_s, beyond=True)
            self._proof_at_s = inf if self._proof_at_s == reservation.sent_at_s else self._proof_at_s
