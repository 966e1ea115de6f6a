"""Calls sent so recently that a refusal may be under way: they alone can overshoot, so their number is bounded."""

from collections import deque
from math import inf

LEAST_ROUND_TRIP_S = 0.02
LONGEST_ROUND_TRIP_S = 1.0  # a refusal that took longer waited for a connection, not for Bedrock
SHARE_OF_LAST = 0.3  # weight of a new round trip in the running mean; a longer one counts at once
CONFIRMED_AFTER = 1.2  # round trips without a refusal
GROWTH = 0.1  # calls that may be unconfirmed for each that was confirmed since the last refusal, besides the first


class Unconfirmed:
    """How many calls may be out that no refusal has had the time to answer: one after a refusal, then ever more.

    `passed` counts the calls confirmed since the last refusal, `passed_beyond` those of them that the minute forbade:
    of these one may be unconfirmed, and one more for each that was confirmed. `beyond` of them are unconfirmed.
    """

    def __init__(self, round_trip_s: float) -> None:
        """Take how long a refusal is taken to be under way before one was seen [s]."""
        self.passed = 0
        self.passed_beyond = 0
        self._sent: deque[tuple[float, bool]] = deque()
        self.beyond = 0
        self._round_trip_s = round_trip_s

    def __repr__(self) -> str:
        return f"Unconfirmed({len(self._sent)}, passed={self.passed}, round_trip_s={self._round_trip_s:.3f})"

    def ready_at(self, now_s: float, calls_per_s: float = 0.0) -> float:
        """Return when another call may be sent [s]; what comes back in a round trip, at `calls_per_s`, comes on top."""
        coming = CONFIRMED_AFTER * self._round_trip_s * calls_per_s
        out = len(self._sent)
        if out <= GROWTH * self.passed + coming:
            return now_s
        for confirmed, (sent_at_s, _) in enumerate(self._sent, 1):
            if out - confirmed <= GROWTH * (self.passed + confirmed) + coming:
                return sent_at_s + CONFIRMED_AFTER * self._round_trip_s
        return now_s

    def ready_beyond_at(self, now_s: float, most: float = inf) -> float:
        """Return when another call may be sent that the minute forbids [s]; `most` of them may be out."""
        if self.beyond <= min(self.passed_beyond, most) or not self._sent:
            return now_s
        return self._sent[0][0] + CONFIRMED_AFTER * self._round_trip_s

    def sent(self, now_s: float, *, beyond: bool) -> None:
        """Note a call; `beyond` if the minute forbade it."""
        self._sent.append((now_s, beyond))
        self.beyond += beyond

    def confirm(self, now_s: float, *, fit: bool = False) -> None:
        """Count the calls that no refusal came for in time; `fit` if those that the minute forbade fit by now."""
        until_s = now_s - CONFIRMED_AFTER * self._round_trip_s
        while self._sent and self._sent[0][0] <= until_s:
            _, beyond = self._sent.popleft()
            self.passed += 1
            self.passed_beyond += beyond and not fit
            self.beyond -= beyond

    def forget(self, sent_at_s: float, *, beyond: bool) -> None:
        """Take out a call that was refused, or failed for other reasons; also one that was confirmed too soon."""
        try:
            self._sent.remove((sent_at_s, beyond))
            self.beyond -= beyond
        except ValueError:
            self.passed = max(0, self.passed - 1)
            self.passed_beyond = max(0, self.passed_beyond - beyond)

    def refusal_took(self, took_s: float) -> None:
        """Learn the round trip; a longer one counts at once."""
        took_s = max(took_s, LEAST_ROUND_TRIP_S)
        shorter_s = self._round_trip_s + SHARE_OF_LAST * (took_s - self._round_trip_s)
        self._round_trip_s = min(max(took_s, shorter_s), LONGEST_ROUND_TRIP_S)

    def start_again(self) -> None:
        """Begin an episode: one call at a time."""
        self._sent.clear()
        self.passed = self.passed_beyond = self.beyond = 0
