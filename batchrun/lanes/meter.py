"""A mirror of Bedrock's minute: what was charged in the last 60 seconds, held first and settled later."""

from collections import deque
from math import inf

WINDOW_S = 60.0


class Charge:
    """One call's entry in a meter: its hold, later what it settled at; the meter changes it."""

    __slots__ = ("at_s", "cost", "expired")

    def __init__(self, cost: float, at_s: float) -> None:
        self.cost = cost
        self.at_s = at_s
        self.expired = False


class TrailingMinute:
    """The sum of charges over the trailing 60 s, kept under a quota.

    Of the windows that Bedrock may use this is the strictest without a burst below one minute: a client that never
    exceeds it in any 60 s exceeds no fixed minute and no sliding one. `per_minute` None means no known limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self._charges: deque[Charge] = deque()
        self._used = 0.0

    def __repr__(self) -> str:
        return f"TrailingMinute(used={self._used:.0f} of {self.per_minute}, {len(self._charges)} charges)"

    def used(self, now_s: float) -> float:
        """Return what was charged in the last 60 s."""
        while self._charges and self._charges[0].at_s <= now_s - WINDOW_S:
            charge = self._charges.popleft()
            charge.expired = True
            self._used -= charge.cost
        if not self._charges:
            self._used = 0.0  # forget what float sums leave behind
        return self._used

    def free(self, now_s: float) -> float:
        """Return what may still be charged now; below zero while the minute is in debt."""
        return inf if self.per_minute is None else self.per_minute - self.used(now_s)

    def ready_at(self, cost: float, now_s: float) -> float:
        """Return the earliest time [s] at which `cost` fits; a cost above the quota fits an empty minute."""
        if self.per_minute is None:
            return now_s
        excess = self.used(now_s) + cost - self.per_minute
        if excess <= 0:
            return now_s
        for charge in self._charges:
            excess -= charge.cost
            if excess <= 0:
                return charge.at_s + WINDOW_S
        return self.empty_at(now_s)

    def empty_at(self, now_s: float) -> float:
        """Return when the last charge will have left the window, if nothing more comes."""
        self.used(now_s)
        return self._charges[-1].at_s + WINDOW_S if self._charges else now_s

    def hold(self, cost: float, now_s: float) -> Charge:
        """Charge `cost` at admission and return the entry to settle."""
        charge = Charge(cost, now_s)
        self._charges.append(charge)
        self._used += cost
        return charge

    def settle(self, charge: Charge, cost: float, now_s: float) -> None:
        """Correct a hold to what the call came to; more than the hold is debt that begins now."""
        self.used(now_s)
        if cost > charge.cost:
            self.hold(cost - charge.cost, now_s)
        elif not charge.expired:
            self._used += cost - charge.cost
            charge.cost = cost
