"""Sums that grow row by row, in place; `Totals` is what others get to see of them."""

from dataclasses import dataclass, field

from batchrun.records import Outcome, Totals, Usage


@dataclass(slots=True)
class Sums:
    """Sums over the rows of a log or of an output."""

    rows: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float = 0.0
    unsettled_usd: float = 0.0
    waiting_usd: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one row."""
        usage, status = outcome.usage, outcome.status.value
        self.rows += 1
        self.by_status[status] = self.by_status.get(status, 0) + 1
        self.input += usage.input
        self.output += usage.output
        self.cache_read += usage.cache_read
        self.cache_write += usage.cache_write
        self.cost_usd += outcome.cost_usd

    def add_totals(self, totals: Totals) -> None:
        """Count many rows."""
        self.rows += totals.rows
        for status, rows in totals.by_status.items():
            self.by_status[status] = self.by_status.get(status, 0) + rows
        self.input += totals.usage.input
        self.output += totals.usage.output
        self.cache_read += totals.usage.cache_read
        self.cache_write += totals.usage.cache_write
        self.cost_usd += totals.cost_usd
        self.unsettled_usd += totals.unsettled_usd
        self.waiting_usd += totals.waiting_usd

    @property
    def totals(self) -> Totals:
        """Return the sums as they are now."""
        return Totals(
            rows=self.rows,
            by_status=dict(self.by_status),
            usage=Usage(self.input, self.output, self.cache_read, self.cache_write),
            cost_usd=self.cost_usd,
            unsettled_usd=self.unsettled_usd,
            waiting_usd=self.waiting_usd,
        )
