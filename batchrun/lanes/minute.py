"""The window reading of a quota: what a minute is believed to take, and how refusals correct that."""

from math import inf

from batchrun.lanes.window import Window

NEARLY = 0.6  # of the limit: a refusal above it says «full a little early», below it «the number is wrong»
EARLY_S = 60.0  # how long a minute that was full a little early counts as so much smaller: a minute
STRETCH = 1.25  # of the limit, at most, for calls that it forbade and that were let through
MOST_SLACK = 0.01  # of the limit, at most, that is left free for what is in transit


class Minute(Window):
    """A window whose limit refusals lower: for a minute, or until more is seen to be let through."""

    def __init__(self, per_minute: float | None, skew_s: float, slack: float) -> None:
        """Take the quota, None if unknown, and the share of a call's cost to leave free beside it."""
        super().__init__(per_minute, skew_s)
        self._quota = per_minute
        self._slack = slack
        self._seen = 0.0  # what it held when a refusal last said that the number is wrong
        self._early_limit: float | None = None  # what the limit was before it was full early
        self._early_until_s = 0.0

    def fits(self, cost: float, now_s: float) -> bool:
        """Tell whether `cost` fits now, and a little more; above the limit it fits an empty minute."""
        if self.per_minute is None:
            return True
        if self._early_limit is not None and now_s >= self._early_until_s:
            self.per_minute = max(self.per_minute, self._early_limit)
            self._early_limit = None
        used = self.used(now_s)
        return used + cost + self._spare(cost) <= self.per_minute or used == 0

    def forbids(self, cost: float, now_s: float) -> bool:
        """Tell whether `cost` is too much even without the little more."""
        return not self.fits(cost, now_s) and self.used(now_s) + cost > (self.per_minute or 0.0)

    def ready_at(self, cost: float, now_s: float) -> float:
        """Return the earliest time [s] at which it will fit, if nothing more is charged."""
        if self.fits(cost, now_s):
            return now_s
        ready_s = super().ready_at(cost + self._spare(cost), now_s)
        if self._early_limit is not None:
            ready_s = min(ready_s, self._early_until_s)
        return min(ready_s, self.turns_at())

    def was_nearly_full(self, now_s: float) -> bool:
        """Tell whether a refusal now is about what this reading expects."""
        limit = self._early_limit or self.per_minute
        return limit is not None and self.used(now_s) >= NEARLY * limit

    def full_early(self, cost: float, now_s: float) -> None:
        """Take a refusal of `cost` a little below the limit: for a minute the limit is what is used now."""
        self._early_limit = self._early_limit or self.per_minute
        self._early_until_s = now_s + EARLY_S
        self.lower(cost, now_s)

    def wrong(self, cost: float, now_s: float) -> None:
        """Take a refusal of `cost` far below the limit: the limit is what is used now."""
        self._early_limit = None
        self._seen = self.used(now_s)
        self.lower(cost, now_s)

    def lower(self, cost: float, now_s: float) -> None:
        """Lower the limit to what is used, but not below one call."""
        used = self.used(now_s)
        self.per_minute = max(cost, used if self.per_minute is None else min(self.per_minute, used))

    def stretch(self, now_s: float) -> None:
        """Raise a lowered limit by a quarter at most: calls that it forbade were let through."""
        if self.per_minute is not None:
            most = min(self.used(now_s), STRETCH * self.per_minute, self._quota or inf)
            self.per_minute = max(self.per_minute, most)

    def seen(self, now_s: float) -> None:
        """Raise a limit that a refusal lowered too far, since calls in flight had not settled, to what is used."""
        if self.per_minute is None or self._seen <= self.per_minute:
            return
        self.per_minute = max(self.per_minute, min(self.used(now_s), self._seen, self._quota or self._seen))

    def _spare(self, cost: float) -> float:
        return min(self._slack * cost, MOST_SLACK * (self.per_minute or 0.0))
