"""A promise to the account's other users: never more than a share of the quota in any 60 s, whatever the calls cost."""

from dataclasses import dataclass
from math import inf

from batchrun.lanes.meter import Charge, TrailingMinute
from batchrun.lanes.metering import Metering


@dataclass(frozen=True, slots=True)
class Promised:
    """The most that one call may come to, until it is known what it did."""

    most: float  # quota tokens
    requests: Charge


class Promise:
    """Counts every call in flight at the most that it can settle at, and for a minute from its end at what it did.

    A mirror counts a call at its hold, and a long answer settles above: right for what Bedrock admits, and not enough
    for a promise. No call of a hold h settles above burndown x h (Bedrock user guide, token burndown), and what it
    settles above is charged when it ends, however long it took.
    """

    def __init__(self, tokens_per_minute: float | None, requests_per_minute: float | None, metering: Metering) -> None:
        """Take what is promised; None is no promise."""
        self._burndown = metering.burndown
        self._tokens = TrailingMinute(tokens_per_minute, metering.skew_s)
        self._requests = TrailingMinute(requests_per_minute, metering.skew_s)
        self._in_flight = 0.0
        self._calls = 0

    def __repr__(self) -> str:
        return f"Promise({self._tokens}, {self._requests})"

    def ready_at(self, hold: float, now_s: float) -> float:
        """Return the earliest time [s] at which a call of `hold` quota tokens cannot break the promise.

        inf means not before a call in flight ends. A call that alone might is let go when nothing is in flight and
        nothing was charged for a minute.
        """
        most = self._in_flight + self._burndown * hold
        limit = self._tokens.per_minute
        if limit is not None and most > limit and self._calls:
            return inf
        return max(self._tokens.ready_at(most, now_s), self._requests.ready_at(1, now_s))

    def hold(self, hold: float, now_s: float) -> Promised:
        """Count a call that goes out."""
        self._calls += 1
        self._in_flight += self._burndown * hold
        return Promised(self._burndown * hold, self._requests.hold(1, now_s))

    def settle(self, promised: Promised, charge: float, now_s: float) -> None:
        """Count a call at what it came to, from now: what is above its hold is charged now."""
        self._leave(promised)
        self._tokens.hold(charge, now_s)

    def withdraw(self, promised: Promised, now_s: float) -> None:
        """Take a call out that Bedrock did not count."""
        self._leave(promised)
        self._requests.settle(promised.requests, 0.0, now_s)

    def charge(self, tokens: float, requests: float, now_s: float) -> None:
        """Count what was charged elsewhere: by another pool's name, or by an earlier start."""
        self._tokens.hold(tokens, now_s)
        self._requests.hold(requests, now_s)

    def most(self, now_s: float) -> tuple[float, float]:
        """Return the most that calls of the last minute can have come to: quota tokens, and requests."""
        return self._tokens.used(now_s) + self._in_flight, self._requests.used(now_s)

    def _leave(self, promised: Promised) -> None:
        self._calls -= 1
        self._in_flight = self._in_flight - promised.most if self._calls else 0.0  # no rounding is carried for ever
