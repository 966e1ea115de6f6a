"""The bucket reading of a quota: a level that refills at a rate, and what refusals say about both."""

from collections import deque
from math import inf

RESERVE = 0.5  # of the refused call: a refusal sets the level so far below nothing; charges in transit are unseen
LEAST_SPAN_S = 5.0  # between two refusals that measure a rate
LEAST_CALLS = 10  # and what must have been charged between them at the believed rate, in calls: an error of 10 %
FEWEST_CALLS = 2  # and what must have been charged at any rate: less is what a window shows before it turns
REFUSALS = 12  # that are remembered to measure from
RAISE = 1.25  # of the rate, after a time without a refusal while the level was all that held calls back
FIRST_RAISE_S = 5.0
LONGEST_RAISE_S = 30.0  # the wait doubles up to this while raises are refused
IDLE_S = 60.0  # quotas are quotas of a minute: one that was left alone that long has room for a call
SHORT_S = 5.0  # of the rate: a level below this is one that holds calls back
DUST = 1e-6  # quota tokens that float sums may be off by


class Level:
    """What a bucket of one minute's quota would hold now, if the rate is what refusals say it is.

    Under a bucket every refusal says that the level was below the refused call. Two refusals thus measure the rate:
    what was charged between them, and one call more, over the time between them is the most that it can be. The
    tightest of these bounds is believed, until a raise of the rate goes unrefused. Where calls passed but hardly
    anything was charged on the whole, they took what others gave back: that is a window, which has no such rate.
    """

    def __init__(self, per_minute: float | None) -> None:
        """Take the quota, which is never exceeded in the long run; None is unknown: no limit until a refusal."""
        self._ceiling_per_s = per_minute / 60 if per_minute else None
        self.rate_per_s = self._ceiling_per_s
        self._capacity = per_minute or 0.0
        self._level = self._capacity
        self._at_s = 0.0
        self._charged = 0.0
        self._charged_at_s = 0.0
        self._refusals: deque[tuple[float, float]] = deque(maxlen=REFUSALS)  # when, and what was charged until then
        self._raised = False
        self._raise_wait_s = FIRST_RAISE_S
        self._raise_at_s = inf

    def __repr__(self) -> str:
        return f"Level({self._level:.0f} at {self._at_s:.1f} s, rate_per_s={self.rate_per_s})"

    def ready_at(self, cost: float, now_s: float) -> float:
        """Return the earliest time [s] at which the level covers `cost`; a cost above the capacity needs it full."""
        if self.rate_per_s is None:
            return now_s
        missing = min(cost, self._capacity) - self._now(now_s)
        if missing <= DUST:
            return now_s
        return max(now_s, min(now_s + missing / self.rate_per_s, self._charged_at_s + IDLE_S))

    def charge(self, cost: float, now_s: float) -> None:
        """Take a call's hold."""
        self._charged += cost
        self._charged_at_s = now_s
        if self.rate_per_s is None:
            return
        self._level = self._now(now_s) - cost
        if now_s >= self._raise_at_s and self._level < SHORT_S * self.rate_per_s:
            self._raise_rate(now_s)

    def correct(self, difference: float, now_s: float) -> None:
        """Take what a call settled above its hold, or give back what it settled below."""
        self._charged += difference
        if self.rate_per_s is not None:
            self._level = min(self._capacity, self._now(now_s) - difference)

    def pin(self, cost: float, seen_per_s: float, now_s: float, *, measure: bool) -> None:
        """Take a refusal of `cost`: the level is below it, and what was charged since other refusals bounds the rate.

        `measure` tells whether anything was admitted since the last refusal: a shut door says nothing about its width.
        `seen_per_s` is the first guess where no quota is known.
        """
        if self.rate_per_s is None:
            self.rate_per_s = max(seen_per_s, cost / 60)
            self._capacity = 60 * self.rate_per_s
            self._at_s = now_s
        self._lower(cost, now_s)
        if measure:
            self._measure(cost, now_s)
        self._refusals.append((now_s, self._charged))
        if self._raised:
            self._raise_wait_s = min(LONGEST_RAISE_S, 2 * self._raise_wait_s)
        self._raised = False
        self._raise_at_s = now_s + self._raise_wait_s

    def repin(self, cost: float, now_s: float) -> None:
        """Take a further refusal of the same flight: what it held was no charge when the first came either."""
        self._lower(cost, now_s)
        if self._refusals:
            at_s, charged = self._refusals[-1]
            self._refusals[-1] = (at_s, charged - cost)

    def is_below(self, cost: float, now_s: float) -> None:
        """Take that calls passed which it did not cover until one of `cost` was refused: it is just below that."""
        self._now(now_s)
        self._level = -RESERVE * cost

    def _lower(self, cost: float, now_s: float) -> None:
        self._level = min(self._now(now_s), -RESERVE * cost)

    def _now(self, now_s: float) -> float:
        """Return the level, refilled until now."""
        if now_s > self._at_s:
            self._level = min(self._capacity, self._level + (now_s - self._at_s) * (self.rate_per_s or 0.0))
            self._at_s = now_s
        return self._level

    def _measure(self, cost: float, now_s: float) -> None:
        rate_per_s = self.rate_per_s or 0.0
        least_s = max(LEAST_SPAN_S, LEAST_CALLS * cost / rate_per_s)
        bounds = [
            (self._charged - charged + cost) / (now_s - at_s)
            for at_s, charged in self._refusals
            if now_s - at_s >= least_s and self._charged - charged >= FEWEST_CALLS * cost
        ]
        # Slower than one call a minute means nothing, and would take long to grow out of.
        least_per_s = min(cost / 60, self._ceiling_per_s or inf)
        self.rate_per_s = max(min([rate_per_s, *bounds]), least_per_s)

    def _raise_rate(self, now_s: float) -> None:
        """Try a higher rate. That the last one was not refused makes what was measured before it void."""
        if self.rate_per_s is None or self.rate_per_s == self._ceiling_per_s:
            return
        if self._raised:
            self._refusals.clear()
            self._raise_wait_s = FIRST_RAISE_S
        self._raised = True
        self.rate_per_s *= RAISE
        if self._ceiling_per_s is not None:
            self.rate_per_s = min(self.rate_per_s, self._ceiling_per_s)
        self._raise_at_s = now_s + self._raise_wait_s
