"""A promise to the account's other users: never more than a share of the quota in any 60 s, whatever the calls cost."""

from dataclasses import dataclass

from batchrun.lanes.meter import Charge, TrailingMinute
from batchrun.lanes.metering import Metering


@dataclass(frozen=True, slots=True)
class Promised:
    """The most that one call may come to, until it is known what it did."""

    tokens: Charge
    requests: Charge


class Promise:
    """Counts every call in flight at the most that it can settle at.

    A mirror counts a call at its hold, and a long answer settles above: right for what Bedrock admits, and not enough
    for a promise. No call of a hold h settles above burndown x h (Bedrock user guide, token burndown).
    """

    def __init__(self, tokens_per_minute: float | None, requests_per_minute: float | None, metering: Metering) -> None:
        """Take what is promised; None is no promise."""
        self._burndown = metering.burndown
        self._tokens = TrailingMinute(tokens_per_minute, metering.skew_s)
        self._requests = TrailingMinute(requests_per_minute, metering.skew_s)

    def __repr__(self) -> str:
        return f"Promise({self._tokens}, {self._requests})"

    def ready_at(self, hold: float, now_s: float) -> float:
        """Return the earliest time [s] at which a call of `hold` quota tokens cannot break the promise.

        A call that alone might is let go when nothing else was charged for a minute.
        """
        return max(self._tokens.ready_at(self._burndown * hold, now_s), self._requests.ready_at(1, now_s))

    def hold(self, hold: float, now_s: float) -> Promised:
        """Count a call that goes out."""
        return Promised(self._tokens.hold(self._burndown * hold, now_s), self._requests.hold(1, now_s))

    def settle(self, promised: Promised, charge: float, now_s: float) -> None:
        """Count a call at what it came to."""
        self._tokens.settle(promised.tokens, charge, now_s)

    def withdraw(self, promised: Promised, now_s: float) -> None:
        """Take a call out that Bedrock did not count."""
        self._tokens.settle(promised.tokens, 0.0, now_s)
        self._requests.settle(promised.requests, 0.0, now_s)
