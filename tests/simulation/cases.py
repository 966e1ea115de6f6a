"""The cases of the table, their meters, and the numbers to reach: those of the issue «At the limit»."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.simulation import setups
from tests.simulation.setups import CEILING, Setup

METERS: Mapping[str, Mapping[str, Any]] = {
    "bucket 60 s": {"window": "bucket", "burst_s": 60},
    "bucket 10 s": {"window": "bucket", "burst_s": 10},
    "bucket 5 s": {"window": "bucket", "burst_s": 5},
    "fixed": {"window": "fixed"},  # from the first call
    "fixed, edge": {"window": "fixed"},  # at the calendar's full minute, which is any second of the run, by seed
    "fixed, odd": {"window": "fixed"},  # any second, and no full minute of the calendar
    "sliding": {"window": "sliding"},
}
EDGES = ("fixed, edge", "fixed, odd")
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
BUCKETS = ("bucket 60 s", "bucket 10 s", "bucket 5 s")
RTTS_MS = (0, 50, 150)
DAY = "day"  # the case of `make simulate-long`, not of the table


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the table."""

    case: str
    meter: str
    rtt_ms: int
    seed: int
    rows: int | None = None  # instead of the case's own number

    @property
    def edge_s(self) -> float:
        """Return where fixed minutes begin [s after the first call]: with it, or somewhere."""
        return 0.0 if self.meter not in EDGES else round(Random(f"edge {self.seed}").uniform(4, 56), 3)

    @property
    def began(self) -> datetime:
        """Return what the calendar shows at the first call: an odd second, where no edge is to be a full minute."""
        return NOON - timedelta(seconds=self.edge_s if self.meter == "fixed, edge" else 43)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The numbers to reach; None asks for nothing."""

    ratio: float | None = None  # makespan ÷ optimum
    plus_s: float | None = None  # or makespan − optimum
    throttled_share: float | None = None  # of rows
    throttled_calls: int = 0  # or so many, if that is more
    calls_per_row: float | None = None
    times_faster: float | None = None  # than the rival "fixed"
    sent_again: float | None = None  # share of rows
    says: str = ""  # a word of the summary's notes

    def throttled(self, rows: int) -> float | None:
        """Return how many refusals are allowed."""
        if self.throttled_share is None:
            return None
        return max(self.throttled_share * rows, self.throttled_calls)

    def throttled_text(self, rows: int) -> str:
        """Return the same as people read it."""
        if self.throttled_share is None:
            return ""
        if self.throttled_calls > self.throttled_share * rows:
            return f"≤ {self.throttled_calls} calls"
        return f"≤ {100 * self.throttled_share:g} %"


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table for every meter."""

    name: str
    title: str
    setup: Callable[[int], Setup]  # of a seed
    target: Target
    meters: tuple[str, ...] = tuple(METERS)
    targets: Mapping[str, Target] = field(default_factory=dict)  # of meters that have their own
    seeds: int = 3  # per meter and round trip; each round trip has seeds of its own


_ALL = (
    Case(
        "a",
        "quota known, 11 minutes of work",
        setups.one_lane(11),
        Target(ratio=1.03, throttled_share=0.005, throttled_calls=25),
    ),
    Case(
        "b",
        "1.4 minutes of work, meter full at the start",
        setups.one_lane(1.4),
        Target(ratio=1.10, throttled_share=0.02),
        (*BUCKETS, "fixed", "sliding"),
    ),
    Case(
        "b'",
        "the same, fixed minute with unknown edge",
        setups.one_lane(1.4),
        Target(plus_s=8.0, throttled_share=0.02),
        EDGES,
        seeds=8,
    ),
    Case(
        "c",
        "told 10 × the true quota, 11 minutes of work",
        setups.one_lane(11, told=10),
        Target(ratio=1.03, throttled_share=0.04, throttled_calls=80),
    ),
    Case(
        "d",
        "another tenant takes half from minute 2 to 4, 11 minutes of work",
        setups.tenant,
        Target(ratio=1.10, throttled_share=0.02),
        targets={"sliding": Target(ratio=1.10, throttled_share=0.04)},
    ),
    Case(
        "e60",
        "60 requests a minute, 11 minutes of work",
        setups.requests(60, 11),
        Target(ratio=1.05, throttled_share=0.0, throttled_calls=8),
    ),
    Case(
        "e10k",
        "10,000 requests a minute, 2.5 minutes of work",
        setups.requests(10_000, 2.5),
        Target(ratio=1.03, throttled_share=0.001),
        seeds=1,
    ),
    Case(
        "f",
        "25 lanes, quotas a hundred-fold apart, one dead, one slow, one a tenth of what is told; 10.5 minutes of work",
        setups.lanes(600_000, 10.5),
        Target(ratio=1.05, throttled_share=0.005),
        seeds=1,
    ),
    Case(
        "g",
        "one global pool of the account, told as one per Region, 25 Regions; 11 minutes of work",
        setups.one_global_pool,
        Target(ratio=1.10, throttled_share=0.04, says="shared"),
        seeds=1,
    ),
    # g0 to g4 are not the issue's: they guard pools of their own against being taken for one, and one against parting.
    Case(
        "g0",
        "25 pools of their own that only look like one: all told 10 × the true quota; 6 minutes of work",
        setups.own_pools(6, 200_000, *[20_000] * 25),
        Target(ratio=1.05),
        ("bucket 60 s", "bucket 5 s", "fixed", "sliding"),
        seeds=1,
    ),
    Case(
        "g1",
        "the same, quotas ten-fold apart, told 10 × the largest; 6 minutes of work",
        setups.own_pools(6, 500_000, *[round(5_000 * 10 ** (place / 24)) for place in range(25)]),
        Target(ratio=1.05),
        ("bucket 60 s", "bucket 5 s", "fixed", "sliding"),
        seeds=1,
    ),
    Case(
        "g2",
        "6 pools of their own, told right; 1.4 minutes of work",
        setups.own_pools(1.4, 50_000, *[50_000] * 6),
        Target(ratio=1.10, throttled_share=0.02),
        BUCKETS,
        seeds=1,
    ),
    Case(
        "g3",
        "one global pool as in g, another tenant takes half from minute 2 to 4",
        setups.shared_with_a_tenant,
        Target(ratio=1.10, throttled_share=0.04, says="shared"),
        ("bucket 60 s", "bucket 5 s", "fixed", "sliding"),
        seeds=1,
    ),
    Case(
        "g4",
        "as g0, but all told 100 × the true quota: all of them together are a quarter of the number",
        setups.own_pools(6, 2_000_000, *[20_000] * 25),
        Target(ratio=1.05),
        ("bucket 60 s", "bucket 5 s", "fixed", "sliding"),
        seeds=1,
    ),
    Case(
        "h",
        f'max_tokens "auto" below {CEILING:,}, 11 minutes of work; the optimum is a client told the best fixed value',
        setups.auto_max_tokens,
        Target(ratio=1.10, throttled_share=0.02, times_faster=4.0, sent_again=0.02),
        ("sliding",),
    ),
    Case(
        "i",
        "20 % errors in every Region from second 10 to 70, 5 lanes; 3 minutes of work",
        setups.errors_everywhere,
        Target(calls_per_row=1.3),
        seeds=2,
    ),
    # Not the issue's: what calls give back must not be taken for a bucket that refills.
    Case(
        "j",
        "max_tokens 2,048, far above the answers, and told 10 × the true quota; 4 minutes of work",
        setups.large_holds(4, told=10),
        Target(ratio=1.10, throttled_share=0.04, throttled_calls=80),
        seeds=1,
    ),
    Case(
        DAY,
        "25 lanes as in f, 10,000,000 rows, a day of quota in two halves of their own; the optimum is the sum B alone",
        setups.day,
        Target(ratio=1.05, throttled_share=0.005),
        seeds=2,  # a core for each
    ),
)
CASES: Mapping[str, Case] = {case.name: case for case in _ALL}
