"""A mirror of Bedrock's minute: what was charged in the last 60 seconds, held first and settled later."""

from collections import deque
from collections.abc import Iterable
from math import inf

WINDOW_S = 60.0
MOMENT_S = 0.05  # charges so close together leave the window together: a minute is 1,200 entries at any rate


class Moment:
    """The charges of one short stretch of time, which ends with its latest charge."""

    __slots__ = ("began_s", "cost", "expired", "last_s")

    def __init__(self, began_s: float, cost: float = 0.0) -> None:
        self.began_s = began_s
        self.last_s = began_s
        self.cost = cost
        self.expired = False


class Charge:
    """One call's share of a moment: its hold, later what it settled at; the meter changes it."""

    __slots__ = ("cost", "moment")

    def __init__(self, cost: float, moment: Moment) -> None:
        self.cost = cost
        self.moment = moment


class TrailingMinute:
    """The sum of charges over the trailing 60 s, kept under a quota.

    A client that never exceeds it in any 60 s exceeds no fixed minute and no sliding one. `per_minute` None means no
    known limit; `skew_s` keeps a charge longer, since a call leaves us before it arrives there.
    """

    def __init__(self, per_minute: float | None, skew_s: float = 0.0) -> None:
        self.per_minute = per_minute
        self._window_s = WINDOW_S + skew_s
        self._moments: deque[Moment] = deque()
        self._used = 0.0

    def __repr__(self) -> str:
        return f"TrailingMinute(used={self._used:.0f} of {self.per_minute}, {len(self._moments)} moments)"

    def used(self, now_s: float) -> float:
        """Return what was charged in the last minute."""
        while self._moments and self._moments[0].last_s + self._window_s <= now_s:
            moment = self._moments.popleft()
            moment.expired = True
            self._used -= moment.cost
        if not self._moments:
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
        for moment in self._moments:
            excess -= moment.cost
            if excess <= 0:
                return moment.last_s + self._window_s
        return self.empty_at(now_s)

    def empty_at(self, now_s: float) -> float:
        """Return when the last charge will have left the window, if nothing more comes."""
        self.used(now_s)
        # What was given back whole charged nothing.
        last_s = next((moment.last_s for moment in reversed(self._moments) if moment.cost > 0), None)
        return now_s if last_s is None else last_s + self._window_s

    def age_s(self, now_s: float) -> float:
        """Return how long ago the oldest charge of the last minute was taken; 0 if there is none."""
        self.used(now_s)
        return now_s - self._moments[0].began_s if self._moments else 0.0

    def hold(self, cost: float, now_s: float) -> Charge:
        """Charge `cost` at admission and return the entry to settle."""
        self.used(now_s)  # also where nobody asks for the sum, what is over must leave memory
        moment = self._moment(now_s)
        moment.cost += cost
        self._used += cost
        return Charge(cost, moment)

    def settle(self, charge: Charge, cost: float, now_s: float) -> None:
        """Correct a hold to what the call came to; more than the hold is debt that begins now."""
        self.used(now_s)
        if cost > charge.cost:
            self.hold(cost - charge.cost, now_s)
            return
        if not charge.moment.expired:
            self._used += cost - charge.cost
        charge.moment.cost += cost - charge.cost  # also of one that is out: a window's turn may be taken back
        charge.cost = cost

    def charges(self, now_s: float) -> list[tuple[float, float]]:
        """Return when the charges of the last minute were taken, and what each moment's came to, the oldest first."""
        self.used(now_s)
        return [(moment.began_s, moment.cost) for moment in self._moments]

    def forget_before(self, at_s: float) -> list[Moment]:
        """Take out what was charged before `at_s`, and return it."""
        forgotten = []
        while self._moments and self._moments[0].last_s < at_s:
            moment = self._moments.popleft()
            moment.expired = True
            self._used -= moment.cost
            forgotten.append(moment)
        return forgotten

    def remember(self, moments: Iterable[Moment]) -> None:
        """Put back what was charged before everything else, the oldest first."""
        for moment in reversed(list(moments)):
            moment.expired = False
            self._used += moment.cost
            self._moments.appendleft(moment)

    def _moment(self, now_s: float) -> Moment:
        if not self._moments or now_s - self._moments[-1].began_s >= MOMENT_S:
            self._moments.append(Moment(now_s))
        self._moments[-1].last_s = now_s
        return self._moments[-1]
