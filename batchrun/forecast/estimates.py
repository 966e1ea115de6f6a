"""Sums before a run: tokens, dollars and time of a job, from the mean row, the prices and the quotas."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from batchrun.lanes.budget import dollars, price_order
from batchrun.lanes.pool import Quota
from batchrun.readyjob import ReadyJob
from batchrun.records import Usage

MINUTES_A_DAY = 1_440
LONG_DAYS = 7.0  # from which on a job is worth a second thought


@dataclass(frozen=True, slots=True)
class Row:
    """A mean row: its input, and its output where anything is known of it [tokens].

    `charged_input` is what quota is charged for the input where prefixes are read from a cache; None for all of it.
    """

    input: float
    output: float | None = None
    charged_input: float | None = None

    @property
    def charged(self) -> float:
        """Return what quota is charged for the input [tokens]."""
        return self.input if self.charged_input is None else self.charged_input


@dataclass(frozen=True, slots=True)
class Estimates:
    """What `rows` mean rows come to."""

    ready: ReadyJob
    rows: int
    row: Row

    def usd(self) -> dict[str, dict[str, float]]:
        """Return dollars by price class: of the input alone, and with every answer at max_tokens."""
        input_tokens = round(self.row.input * self.rows)
        most = Usage(input=input_tokens, output=self.ready.longest_answer * self.rows)
        return {
            name: {
                "input": round(dollars(Usage(input=input_tokens), self.ready.prices[name]), 6),
                "at_most": round(dollars(most, self.ready.prices[name]), 6),
            }
            for name in self._classes()
        }

    def minutes(self) -> dict[str, float | None]:
        """Return the time at the quotas, with no answers and with the longest; None = never, or unknown."""
        burndown = self.ready.output_burndown
        return {
            "at_least": self._minutes(self.row.charged),
            "at_most": self._minutes(self.row.input + burndown * self.ready.longest_answer),
        }

    def expected(self, known_from: str) -> dict[str, Any] | None:
        """Return what is likely, where anything is known of the answers' length."""
        if self.row.output is None:
            return None
        mean = Usage(input=round(1e6 * self.row.input), output=round(1e6 * self.row.output))
        usd_per_row = {name: dollars(mean, self.ready.prices[name]) / 1e6 for name in self._classes()}
        charge = self.row.charged + self.ready.output_burndown * self.row.output
        shares = self.shares(charge)
        return {
            "from": known_from,
            "output_tokens": round(self.row.output * self.rows),
            "output_per_row": round(self.row.output, 1),
            "usd_by_class": {name: round(self.rows * usd, 6) for name, usd in usd_per_row.items()},
            "shares": {name: round(share, 4) for name, share in shares.items()},
            "usd": round(self.rows * sum(share * usd_per_row[name] for name, share in shares.items()), 6),
            "minutes": self._minutes(charge),
        }

    def shares(self, charge: float) -> dict[str, float]:
        """Return which share of the rows each price class takes, if a row is charged `charge` quota tokens.

        The cheapest takes all that it can in a minute; beyond that all of them run at their quota.
        """
        rates = dict.fromkeys(self._classes(), 0.0)
        class_of = {lane.pool: lane.price_class for lane in self.ready.lanes}
        for pool, quota in self.ready.quotas.items():
            if not quota.blocked:
                rates[class_of[pool]] += _rows_per_minute(quota, max(charge, 1.0))[0]
        open_classes = [name for name in rates if rates[name]]
        if not open_classes:
            return {}
        order = price_order(self.ready.prices)
        cheapest = min(open_classes, key=order.__getitem__)
        if rates[cheapest] == inf or self.rows <= rates[cheapest]:
            return {cheapest: 1.0}
        total = sum(rates.values())
        if total == inf:
            return {name: float(rates[name] == inf) for name in open_classes if rates[name] == inf}
        return {name: rates[name] / total for name in open_classes}

    def bound_by(self) -> str | None:
        """Name the key of the quota that makes the job take so long, in most pools; None where none is known."""
        open_quotas = [quota for quota in self.ready.quotas.values() if not quota.blocked]
        if not open_quotas or not self.rows:
            return None
        charge = self.row.charged + self.ready.output_burndown * (self.row.output or 0.0)
        named = [_rows_per_minute(quota, max(charge, 1.0))[1] for quota in open_quotas]
        return max(sorted(set(named)), key=named.count) or None

    def _classes(self) -> list[str]:
        return sorted({lane.price_class for lane in self.ready.lanes})

    def _minutes(self, charge: float) -> float | None:
        """Return how long the rows take at `charge` quota tokens each.

        None if every pool is blocked, or if one has no number that is known.
        """
        open_quotas = [quota for quota in self.ready.quotas.values() if not quota.blocked]
        if not self.rows or not charge:
            return 0.0 if open_quotas else None
        rate = sum(_rows_per_minute(quota, charge)[0] for quota in open_quotas)
        return round(self.rows / rate, 2) if 0 < rate < inf else None


def _rows_per_minute(quota: Quota, charge: float) -> tuple[float, str]:
    """Return what the tightest of a pool's numbers lets through, the day's spread over its minutes, and its key."""
    rates: Mapping[str, float | None] = {
        "requests_per_minute": quota.requests_per_minute,
        "tokens_per_minute": quota.tokens_per_minute and quota.tokens_per_minute / charge,
        "tokens_per_day": quota.tokens_per_day and quota.tokens_per_day / MINUTES_A_DAY / charge,
    }
    known = {key: rate for key, rate in rates.items() if rate is not None}
    tightest = min(known, key=known.__getitem__, default="")
    return known.get(tightest, inf), tightest


def too_long(ready: ReadyJob, rows: int) -> str | None:
    """Return a word on rows that take longer than anybody would wait, whatever their length; None if they need not."""
    estimates = Estimates(ready, rows, Row(1.0))
    minutes = estimates.minutes()["at_least"] or 0.0
    if minutes < LONG_DAYS * MINUTES_A_DAY:
        return None
    return long_time(minutes / MINUTES_A_DAY, estimates.bound_by(), ready.quotas)


def long_time(days: float, bound_by: str | None, quotas: Mapping[str, Quota]) -> str:
    """Say that a job takes absurdly long, what keeps it, and what to do."""
    numbers = [getattr(quota, bound_by) or 0 for quota in quotas.values()] if bound_by else []
    what = f" with {bound_by} = {sum(numbers):,.0f} in all pools together" if numbers else ""
    return (
        f"at these quotas the job takes {days:,.0f} days{what}: ask for more in the AWS console (Service Quotas), add "
        "routing.scopes or source_regions, or send fewer rows (limits.rows)"
    )
