"""A pool's day: the quota tokens that it has taken since the last midnight, UTC."""

from math import inf

DAY_S = 86_400.0


class Day:
    """The sum of a day's charges, held first and settled later."""

    def __init__(self, per_day: float | None, ends_at_s: float) -> None:
        """Take what a day allows [quota tokens], None if unknown, and when the first one ends [s]."""
        self.per_day = per_day
        self.ends_at_s = ends_at_s
        self._began_at_s = -inf
        self._used = 0.0

    def __repr__(self) -> str:
        return f"Day(used={self._used:.0f} of {self.per_day}, ends_at_s={self.ends_at_s:.0f})"

    def left(self, now_s: float) -> float:
        """Return how many quota tokens are left of it; inf where no day quota is known."""
        return inf if self.per_day is None else self.per_day - self.used(now_s)

    def used(self, now_s: float) -> float:
        """Return how many quota tokens it has taken."""
        if now_s >= self.ends_at_s:
            self.ends_at_s += DAY_S * (1 + (now_s - self.ends_at_s) // DAY_S)
            self._began_at_s = self.ends_at_s - DAY_S
            self._used = 0.0
        return self._used

    def charge(self, tokens: float, now_s: float) -> None:
        """Take what a call holds, or what another pool has taken."""
        self._used = self.used(now_s) + tokens

    def correct(self, sent_at_s: float, difference: float) -> None:
        """Take what a call came to beyond its hold, or give back; what was taken yesterday is not given back today."""
        if sent_at_s >= self._began_at_s:
            self._used += difference
