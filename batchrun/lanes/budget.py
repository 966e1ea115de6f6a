"""Budgets of a run: dollars, which are never exceeded, and extra calls, which slow admission when they run over."""

from collections import deque
from collections.abc import Mapping
from math import inf

from batchrun.bedrock.card import Prices
from batchrun.records import Usage

WINDOW_S = 300.0  # retry.budget is a share over 5 minutes
FREE_RETRIES = 10  # the share of a few calls means nothing


def dollars(usage: Usage, prices: Prices, ttl: str = "5m") -> float:
    """Return what a call costs [USD]; what it wrote to a cache is kept for `ttl`."""
    return (
        usage.input * prices.input
        + usage.output * prices.output
        + usage.cache_write * prices.cache_write(ttl)
        + usage.cache_read * prices.cache_read
    ) / 1e6


def saved_dollars(usage: Usage, prices: Prices, ttl: str = "5m") -> float:
    """Return what a call cost less than without a cache [USD]; below zero where it wrote for more than it read."""
    without = (usage.input + usage.cache_read + usage.cache_write) * prices.input + usage.output * prices.output
    return without / 1e6 - dollars(usage, prices, ttl)


def worst_dollars(input_tokens: int, max_tokens: int, prices: Prices, cached_tokens: int = 0, ttl: str = "5m") -> float:
    """Return the most a call can cost [USD]: at most `input_tokens`, of which `cached_tokens` may be written."""
    written = max(0.0, prices.cache_write(ttl) - prices.input) * cached_tokens
    return (input_tokens * prices.input + written + max_tokens * prices.output) / 1e6


class DollarBudget:
    """Dollars over the output's whole life: spent, possibly spent, and reserved by calls in flight."""

    def __init__(self, cap_usd: float | None, spent_usd: float = 0.0) -> None:
        self.cap_usd = inf if cap_usd is None else cap_usd
        self.spent_usd = spent_usd
        self._reserved_usd = 0.0
        self._reservations = 0

    def __repr__(self) -> str:
        return f"DollarBudget(spent={self.spent_usd:.6f} + {self._reserved_usd:.6f} reserved of {self.cap_usd})"

    @property
    def reserved_usd(self) -> float:
        """Return what the calls in flight may cost."""
        return self._reserved_usd

    def fits(self, worst_usd: float) -> bool:
        """Tell whether a call that may cost `worst_usd` stays inside the cap whatever happens."""
        return self.spent_usd + self._reserved_usd + worst_usd <= self.cap_usd

    def reserve(self, worst_usd: float) -> None:
        """Set aside the most that a call can cost."""
        self._reserved_usd += worst_usd
        self._reservations += 1

    def settle(self, worst_usd: float, spent_usd: float) -> None:
        """Replace a reservation by what is counted as spent; all of it where the call's end is unknown."""
        self._reservations -= 1
        # With nothing reserved, forget what float sums leave behind.
        self._reserved_usd = self._reserved_usd - worst_usd if self._reservations else 0.0
        self.spent_usd += spent_usd


class RetryBudget:
    """Extra calls as a share of all calls over the last 5 minutes."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._seconds: deque[list[float]] = deque()  # [second, calls, extra calls]
        self._calls = 0.0
        self._extra = 0.0

    def count(self, now_s: float, *, extra: bool) -> None:
        """Note a call; `extra` if the row was sent before."""
        self._forget(now_s)
        second = float(int(now_s))
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0.0, 0.0])
        self._seconds[-1][1] += 1
        self._calls += 1
        if extra:
            self._seconds[-1][2] += 1
            self._extra += 1

    def slowdown(self, now_s: float) -> float:
        """Return the factor (0 to 1] by which fewer calls may be in flight."""
        if self._extra <= FREE_RETRIES:  # nearly always, and asked several times a row
            return 1.0
        self._forget(now_s)
        allowed = self.share * self._calls + FREE_RETRIES
        return 1.0 if self._extra <= allowed else allowed / self._extra

    def _forget(self, now_s: float) -> None:
        while self._seconds and self._seconds[0][0] < now_s - WINDOW_S:
            _, calls, extra = self._seconds.popleft()
            self._calls -= calls
            self._extra -= extra


def price_order(prices: Mapping[str, Prices]) -> dict[str, float]:
    """Return one number per price class by which the cheaper comes first."""
    return {name: price.input + price.output for name, price in prices.items()}
