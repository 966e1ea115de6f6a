"""The correction of a meter by refusals: a pool that says no is closed a while, then fed at a rate, then trusted again.

A mirror of the minute lets a whole quota go at once. Where Bedrock allows less burst, or somebody else draws on the
quota, it refuses. One refusal begins an episode: refusals of calls sent before it tell nothing new. The episode closes
the pool for a pause, which doubles while nothing gets through; afterwards calls go one by one until the first is
through, and then at a rate: the quota's own at first, after further refusals what was seen to be admitted.
"""

from dataclasses import dataclass

PAUSE_S = 0.5  # first pause; a refusal takes 30-150 ms to come back, and a bucket refills meanwhile. A guess.
LONGEST_PAUSE_S = 15.0  # a quarter of the window that somebody else may have used up
PROBE_S = 0.5  # a call not refused after this long is through
CUT = 0.85  # least cut of the rate at a refusal while pacing; a guess
DEEPEST_CUT = 0.3  # one episode never cuts deeper: its measurement may be short
GROWTH = 1.05  # raise per GROWTH_S without a refusal
GROWTH_S = 10.0
LONGEST_GROWTH = 6  # periods of GROWTH_S that one call may make up for; a slow pool is asked once a minute
IDLE_S = 60.0  # quotas are quotas of a minute: one that was left alone that long has room for a call
LONGEST_RETRY_AFTER_S = 300.0  # no throttle of Bedrock's was seen with a Retry-After; a gateway's is taken up to this
TRUST_AFTER_S = 120.0  # two windows without a refusal at the quota's own rate: the burst is worth another try


@dataclass(frozen=True, slots=True)
class Throttle:
    """A refusal as a pace sees it: what the call would have charged, and when it was sent.

    `used_last_minute` is the meter's sum, the best guess of the quota where no number is known; `retry_after_s` what
    the answer asked for, if anything.
    """

    cost: float
    sent_at_s: float
    used_last_minute: float
    retry_after_s: float | None = None


class Pace:
    """How fast one dimension of a pool may be charged, besides what its meter allows."""

    def __init__(self, quota_per_s: float | None) -> None:
        self._quota_per_s = quota_per_s
        self.rate_per_s: float | None = None  # None: the meter alone governs
        self._next_at_s = 0.0
        self._charged_at_s = float("-inf")
        self._closed_until_s = 0.0
        self._pause_s = PAUSE_S
        self._cut_at_s = float("-inf")
        self._grown_at_s = 0.0
        self._probing_since_s: float | None = None
        self._charged_since_cut = 0.0

    def __repr__(self) -> str:
        return f"Pace(rate_per_s={self.rate_per_s}, closed_until_s={self._closed_until_s:.1f}, pause_s={self._pause_s})"

    def ready_at(self, now_s: float) -> float:
        """Return the earliest time [s] at which the pace lets another call go."""
        if self.rate_per_s is None:
            return now_s
        paced_s = min(self._next_at_s, self._charged_at_s + IDLE_S)
        ready_s = max(self._closed_until_s, paced_s, now_s)
        if self._probing_since_s is not None:
            ready_s = max(ready_s, self._probing_since_s + PROBE_S)
        return ready_s

    def charged(self, cost: float, now_s: float) -> None:
        """Note an admission."""
        self._charged_since_cut += cost
        self._charged_at_s = now_s
        if self.rate_per_s is not None:
            self._grow(now_s)
        if self.rate_per_s is not None:
            self._next_at_s = max(self._next_at_s, now_s) + cost / self.rate_per_s
            self._probing_since_s = now_s if self._pause_s > PAUSE_S else None

    def corrected(self, difference: float) -> None:
        """Note that a call settled `difference` above (or below) its hold."""
        self._charged_since_cut += difference
        if self.rate_per_s is not None:
            self._next_at_s += difference / self.rate_per_s

    def turned_away(self, cost: float, sent_at_s: float) -> None:
        """Take back the charge of a refused call; one from before the last cut counts neither as paced nor as seen."""
        if sent_at_s > self._cut_at_s:
            self.corrected(-cost)

    def passed(self, sent_at_s: float) -> None:
        """Note that a call sent at `sent_at_s` was let through."""
        if sent_at_s >= self._closed_until_s:
            self._pause_s = PAUSE_S
            self._probing_since_s = None

    def refused(self, throttle: Throttle, now_s: float) -> bool:
        """Note a refusal; return whether it begins an episode."""
        asked_s = min(throttle.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
        self._closed_until_s = max(self._closed_until_s, now_s + asked_s)
        if throttle.sent_at_s <= self._cut_at_s:
            return False
        self._cut(throttle, now_s)
        self._closed_until_s = max(self._closed_until_s, now_s + self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._probing_since_s = None
        self._next_at_s = min(self._next_at_s, now_s)
        return True

    def _cut(self, throttle: Throttle, now_s: float) -> None:
        first = self.rate_per_s is None
        one_a_minute = throttle.cost / IDLE_S
        if self.rate_per_s is None:
            self.rate_per_s = self._quota_per_s or max(throttle.used_last_minute / 60, one_a_minute)
        elif self._charged_since_cut > 0:
            # Only an episode in which something got through can measure; a shut door says nothing about its width.
            seen_per_s = self._charged_since_cut / max(now_s - self._cut_at_s, PAUSE_S)
            cut_per_s = self.rate_per_s * min(CUT, max(DEEPEST_CUT, seen_per_s / self.rate_per_s))
            # Slower than a call a minute means nothing, and would take long to grow out of.
            self.rate_per_s = max(cut_per_s, min(self.rate_per_s, one_a_minute))
        self._cut_at_s = self._grown_at_s = now_s
        self._charged_since_cut = 0.0
        if first:
            self._next_at_s = now_s

    def _grow(self, now_s: float) -> None:
        periods = min(int((now_s - self._grown_at_s) / GROWTH_S), LONGEST_GROWTH)
        if self.rate_per_s is None or periods < 1:
            return
        self._grown_at_s = now_s
        self.rate_per_s *= GROWTH**periods
        if self._quota_per_s is not None and self.rate_per_s >= self._quota_per_s:
            self.rate_per_s = self._quota_per_s
            if now_s - self._cut_at_s >= TRUST_AFTER_S:
                self.rate_per_s = None
