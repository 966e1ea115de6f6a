"""Three ways in which Bedrock may meter a quota: a bucket, a fixed window, a sliding window. Nobody outside AWS knows.

All obey the same rule. A call takes its hold when it is admitted and is settled at its charge when it is complete;
the charge may be above the hold, and then the meter is in debt: nothing is admitted until the debt is paid off.
Time is passed in [s]; amounts are quota tokens, or requests.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

MINUTE_S = 60.0
DAY_S = 86_400.0

WindowKind = Literal["bucket", "fixed", "sliding"]


@dataclass(slots=True, eq=False)
class Hold:
    """What one call has taken; `tokens` falls when the call is settled for less."""

    tokens: float
    taken_at_s: float


class Meter(Protocol):
    """One quota: how much can be taken now, and what calls have taken."""

    @property
    def quota(self) -> float:
        """Quota tokens per window."""

    def room(self, now_s: float) -> float:
        """Return what can be taken now; negative while in debt."""

    def take(self, tokens: float, now_s: float) -> Hold:
        """Take a hold, whether it fits or not: ask for `room` first."""

    def settle(self, hold: Hold, charge: float, now_s: float) -> None:
        """Replace a hold by what the call cost; a charge of 0 gives it back."""


def make_meter(kind: WindowKind, quota: float, burst_s: float, edge_s: float = 0.0) -> Meter:
    """Return a meter of `quota` a minute that starts with nothing used."""
    if kind == "fixed":
        return FixedWindow(quota, edge_s=edge_s)
    if kind == "sliding":
        return SlidingMinute(quota)
    return Bucket(quota, burst_s)


class Bucket:
    """A level that refills at quota / 60 a second, up to `burst_s` seconds' worth; debt is a level below zero."""

    def __init__(self, quota: float, burst_s: float = MINUTE_S) -> None:
        self.quota = quota
        self.capacity = quota * burst_s / MINUTE_S
        self._level = self.capacity
        self._filled_at_s = 0.0

    def __repr__(self) -> str:
        return f"Bucket(level={self._level:g} of {self.capacity:g} at {self._filled_at_s:g} s)"

    def room(self, now_s: float) -> float:
        """Return the level; a hold above `capacity` never fits."""
        gained = max(0.0, now_s - self._filled_at_s) * self.quota / MINUTE_S
        self._level = min(self.capacity, self._level + gained)
        self._filled_at_s = max(now_s, self._filled_at_s)
        return self._level

    def take(self, tokens: float, now_s: float) -> Hold:
        """Lower the level by the hold."""
        self._level = self.room(now_s) - tokens
        return Hold(tokens, now_s)

    def settle(self, hold: Hold, charge: float, now_s: float) -> None:
        """Give back hold - charge, never above the capacity; take it if it is negative."""
        self._level = min(self.capacity, self.room(now_s) + hold.tokens - charge)


class FixedWindow:
    """A sum that starts anew at every edge, with what was used above the quota carried over as debt."""

    def __init__(self, quota: float, window_s: float = MINUTE_S, edge_s: float = 0.0) -> None:
        self.quota = quota
        self._window_s = window_s
        self._edge_s = edge_s  # a window begins here and at every multiple of window_s from here
        self._window = self._window_of(0.0)
        self._used = 0.0
        self._carried = 0.0  # how much of `_used` is debt of earlier windows

    def __repr__(self) -> str:
        return f"FixedWindow(used={self._used:g} of {self.quota:g}, carried={self._carried:g}, window={self._window})"

    def room(self, now_s: float) -> float:
        """Return what is left of the window."""
        window = self._window_of(now_s)
        if window > self._window:
            # Each window that passes pays off one quota of the debt.
            self._used = self._carried = max(0.0, self._used - self.quota * (window - self._window))
            self._window = window
        return self.quota - self._used

    def take(self, tokens: float, now_s: float) -> Hold:
        """Add the hold to the window."""
        self.room(now_s)
        self._used += tokens
        return Hold(tokens, now_s)

    def settle(self, hold: Hold, charge: float, now_s: float) -> None:
        """Charge the difference to the current window; a refund of an earlier one only lowers the debt it left."""
        self.room(now_s)
        difference = charge - hold.tokens
        if difference < 0 and self._window_of(hold.taken_at_s) < self._window:
            difference = -min(-difference, self._carried)
            self._carried += difference
        self._used += difference

    def _window_of(self, at_s: float) -> int:
        return math.floor((at_s - self._edge_s) / self._window_s)


class SlidingMinute:
    """The sum over the last 60 s: a hold counts from its admission, what is charged above it from the settlement."""

    def __init__(self, quota: float) -> None:
        self.quota = quota
        self._holds: deque[Hold] = deque()  # oldest first
        self._used = 0.0

    def __repr__(self) -> str:
        return f"SlidingMinute(used={self._used:g} of {self.quota:g} in {len(self._holds)} holds)"

    def room(self, now_s: float) -> float:
        """Return what the last 60 s left; a charge is forgotten exactly 60 s after it was taken."""
        holds = self._holds
        while holds and holds[0].taken_at_s <= now_s - MINUTE_S:
            self._used -= holds.popleft().tokens
        if not holds:
            self._used = 0.0  # no rounding is carried for ever
        return self.quota - self._used

    def take(self, tokens: float, now_s: float) -> Hold:
        """Add the hold at this moment."""
        self.room(now_s)
        hold = Hold(tokens, now_s)
        self._holds.append(hold)
        self._used += tokens
        return hold

    def settle(self, hold: Hold, charge: float, now_s: float) -> None:
        """Lower the hold where it stands, or add the excess now: a call longer than a minute must still pay it."""
        self.room(now_s)
        if charge > hold.tokens:
            self.take(charge - hold.tokens, now_s)
            return
        if hold.taken_at_s > now_s - MINUTE_S:
            self._used -= hold.tokens - charge
        hold.tokens = charge
