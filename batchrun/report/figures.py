"""What a report shows of an output, added up over its parts in one pass and little memory."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp, floor, log
from typing import Any

import pyarrow.parquet as pq

from batchrun.records import Status
from batchrun.storage.ranges import DATA
from batchrun.storage.store import Store

ROWS_AT_A_TIME = 4_096
STEPS = 20  # of a histogram, for every factor of e: values in a bin differ by 5 %
COLUMNS = [
    "row", "status", "input_tokens", "output_tokens", "cost_usd", "inference_id", "source_region", "attempts",
    "latency_s", "error_code", "error_message", "finished_at",
]  # fmt: skip


@dataclass(slots=True)
class Histogram:
    """Counts of positive values in bins that grow with the value."""

    bins: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        """Count a value; zero and less go to the lowest bin."""
        self.bins[floor(log(max(value, 1e-3)) * STEPS)] += 1

    def quantile(self, share: float) -> float | None:
        """Return the value that `share` of all lie at or below, within 5 %; None where there are none."""
        wanted, seen = share * self.bins.total(), 0
        for place in sorted(self.bins):
            seen += self.bins[place]
            if seen >= wanted:
                return exp((place + 0.5) / STEPS)
        return None

    def points(self) -> list[tuple[float, int]]:
        """Return (value, count) of every bin, the lowest first."""
        return [(exp((place + 0.5) / STEPS), self.bins[place]) for place in sorted(self.bins)]


@dataclass(slots=True)
class LaneFigures:
    """What one lane answered."""

    rows: int = 0
    usd: float = 0.0
    latency_s: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class ErrorFigures:
    """Rows that ended for one reason, and one of them."""

    rows: int = 0
    example: int = -1
    message: str = ""


@dataclass(slots=True)
class Minute:
    """What ended in one minute."""

    rows: int = 0
    tokens: int = 0
    usd: float = 0.0


@dataclass(slots=True)
class Figures:
    """Sums over all rows that have their part; a minute is counted from the epoch, UTC."""

    rows: int = 0
    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    minutes: dict[int, Minute] = field(default_factory=lambda: defaultdict(Minute))
    latency_s: Histogram = field(default_factory=Histogram)
    answer_tokens: Histogram = field(default_factory=Histogram)
    lanes: dict[tuple[str, str], LaneFigures] = field(default_factory=lambda: defaultdict(LaneFigures))
    errors: dict[tuple[str, str], ErrorFigures] = field(default_factory=lambda: defaultdict(ErrorFigures))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add result rows."""
        for row in rows:
            self._add(row)

    def _add(self, row: dict[str, Any]) -> None:
        tokens = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
        self.rows += 1
        self.usd += row["cost_usd"] or 0.0
        self.input_tokens += row["input_tokens"] or 0
        self.output_tokens += row["output_tokens"] or 0
        self.attempts += row["attempts"] or 0
        self.by_status[row["status"]] += 1
        if row["finished_at"] is not None:
            minute = self.minutes[int(row["finished_at"].timestamp() // 60)]
            minute.rows += 1
            minute.tokens += tokens
            minute.usd += row["cost_usd"] or 0.0
        if row["inference_id"] is not None:
            lane = self.lanes[row["inference_id"], row["source_region"] or ""]
            lane.rows += 1
            lane.usd += row["cost_usd"] or 0.0
        if row["latency_s"] is not None:
            self.latency_s.add(row["latency_s"])
            self.lanes[row["inference_id"] or "", row["source_region"] or ""].latency_s.add(row["latency_s"])
        if row["output_tokens"] is not None:
            self.answer_tokens.add(row["output_tokens"])
        if row["status"] != Status.OK.value:
            error = self.errors[row["status"], row["error_code"] or ""]
            if not error.rows:
                error.example, error.message = row["row"], row["error_message"] or ""
            error.rows += 1


def figures_of(store: Store) -> Figures:
    """Read what a report shows from the parts that are there; no prompt and no answer is read.

    Raises OSError or pyarrow's errors if a part cannot be read.
    """
    figures = Figures()
    for name in sorted(store.names(DATA)):
        with store.open(f"{DATA}/{name}") as opened, pq.ParquetFile(opened, pre_buffer=False) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=COLUMNS, use_threads=False):
                figures.add(batch.to_pylist())
    return figures
