"""A lane's breaker: slows a lane that is short of capacity, shuts one that answers nothing, and tries it again.

Capacity faults (503, 529, a cold model) say nothing about quota. Where they are more than chance they bound how many
calls the lane may have in flight; a row of failures without an answer between them shuts it for a while, and one call
tries it afterwards.
"""

from math import inf

CROWDED = 0.15  # share of capacity faults, a running mean: one among many answers is chance, two in a row are not
SHARE_OF_LAST = 0.1
SHUT_AFTER = 5  # failures in a row; at 20 % random errors this happens once in 3,000 calls
FIRST_SHUT_S = 1.0  # AWS: back off from about 1 s
LONGEST_SHUT_S = 60.0
CUT = 0.7  # of the calls in flight, at a capacity fault; AWS: return to the last stable rate


class Breaker:
    """What one lane may take on now, from how its calls ended."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.closed_why: str | None = None  # set once: the lane is out for the whole run
        self._limit = inf
        self._failures = 0
        self._shut_s = FIRST_SHUT_S
        self._shut_until_s = 0.0
        self._cut_at_s = -inf
        self._crowding = 0.0

    def __repr__(self) -> str:
        return f"Breaker(in_flight={self.in_flight}, limit={self._limit}, failures={self._failures})"

    def ready_at(self, now_s: float) -> float:
        """Return when the lane takes another call [s]; inf while it waits for calls in flight, or for ever."""
        if self.closed_why is not None or self.in_flight >= self._limit:
            return inf
        if self._failures >= SHUT_AFTER and self.in_flight:
            return inf  # half open: one call at a time tries the lane
        return max(self._shut_until_s, now_s)

    def answered(self) -> None:
        """Note an answer: the lane works."""
        self._failures = 0
        self._shut_s = FIRST_SHUT_S
        self._crowding -= SHARE_OF_LAST * self._crowding
        # One more call in flight per round of answers, until the bound is far from what is used.
        self._limit += 1 / self._limit
        if self._limit > 2 * self.in_flight + 8:
            self._limit = inf

    def shut(self, now_s: float) -> bool:
        """Tell whether the lane takes nothing now, however little is in flight."""
        return self.closed_why is not None or self._shut_until_s > now_s

    def failed(self, sent_at_s: float, now_s: float, *, capacity: bool, retry_after_s: float | None = None) -> None:
        """Note a failure that may be the lane's; `capacity` bounds the lane once per round of calls."""
        self._failures += 1
        if capacity:
            self._crowding += SHARE_OF_LAST * (1 - self._crowding)
        if capacity and self._crowding > CROWDED and sent_at_s >= self._cut_at_s:
            self._limit = max(1.0, CUT * (self.in_flight + 1))
            self._cut_at_s = now_s
        if self._failures >= SHUT_AFTER and sent_at_s >= self._shut_until_s:
            self._shut_until_s = now_s + self._shut_s
            self._shut_s = min(self._shut_s * 2, LONGEST_SHUT_S)
        if retry_after_s is not None:
            self._shut_until_s = max(self._shut_until_s, now_s + min(retry_after_s, LONGEST_SHUT_S))

    def close(self, why: str) -> None:
        """Take the lane out for the whole run; the first reason stands."""
        self.closed_why = self.closed_why or why
