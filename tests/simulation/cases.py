"""The cases of the table: a load, meters, what the job is told of them, and the numbers to reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

TPM = 50_000
MAX_TOKENS = 256
MEAN_CHARGE = 530  # quota tokens a row settles at in the mean: 170 + 5 × 72
POOL = "us-east-1/geo"
UNLIMITED = 50_000_000  # tokens a minute where requests are to be what is scarce

METERS: Mapping[str, Mapping[str, Any]] = {
    "bucket 60 s": {"window": "bucket", "burst_s": 60},
    "bucket 10 s": {"window": "bucket", "burst_s": 10},
    "bucket 5 s": {"window": "bucket", "burst_s": 5},
    "fixed": {"window": "fixed"},  # from the first call
    "fixed, edge": {"window": "fixed"},  # with an edge elsewhere, by seed
    "sliding": {"window": "sliding"},
}
BUCKETS = ("bucket 60 s", "bucket 10 s", "bucket 5 s")
RTTS_MS = (0, 50, 150)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the table."""

    case: str
    meter: str
    rtt_ms: int
    seed: int


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run is given: rows, tables of the job, the emulator's keys, and the lanes that do not answer as others."""

    rows: int
    job: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)
    slow: str = ""  # the source Region that takes ten times as long
    dead: str = ""  # the source Region that never answers


@dataclass(frozen=True, slots=True)
class Target:
    """The numbers of the issue; None is no target."""

    ratio: float | None = None  # makespan ÷ optimum
    plus_s: float | None = None  # or makespan − optimum
    throttled_share: float | None = None  # of rows
    throttled_calls: int = 0  # or so many, if that is more
    calls_per_row: float | None = None

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
    setup: Callable[[str, int], Setup]  # of meter and seed
    target: Target
    meters: tuple[str, ...] = tuple(METERS)
    targets: Mapping[str, Target] = field(default_factory=dict)  # of meters that have their own
    seeds: int = 3  # per meter and round trip


def work(minutes: float, tokens_per_minute: float = TPM) -> int:
    """Return how many rows settle at so many minutes of quota."""
    return round(minutes * tokens_per_minute / MEAN_CHARGE)


def quota_known(meter: str, seed: int) -> Setup:
    return Setup(work(11), {"quota": {"tokens_per_minute": TPM}}, {"tpm": TPM})


def short(meter: str, seed: int) -> Setup:
    return Setup(work(1.4), {"quota": {"tokens_per_minute": TPM}}, {"tpm": TPM})


def ten_times(meter: str, seed: int) -> Setup:
    return Setup(work(11), {"quota": {"tokens_per_minute": 10 * TPM}}, {"tpm": TPM})


def tenant(meter: str, seed: int) -> Setup:
    tenants = [{"pool": POOL, "share": 0.5, "from_s": 120, "to_s": 240}]
    return Setup(work(11), {"quota": {"tokens_per_minute": TPM}}, {"tpm": TPM, "tenants": tenants})


def requests(per_minute: int, minutes: float) -> Callable[[str, int], Setup]:
    def setup(meter: str, seed: int) -> Setup:
        quota = {"tokens_per_minute": UNLIMITED, "requests_per_minute": per_minute}
        return Setup(round(per_minute * minutes), {"quota": quota}, {"tpm": UNLIMITED, "rpm": per_minute})

    return setup


CASES = {
    case.name: case
    for case in (
        Case("a", "quota known, 11 minutes of work", quota_known, Target(1.03, None, 0.005, 25)),
        Case(
            "b",
            "1.4 minutes of work, meter full",
            short,
            Target(1.10, None, 0.02),
            (*BUCKETS, "fixed", "sliding"),
        ),
        Case(
            "b'", "the same, fixed minute with unknown edge", short, Target(None, 8.0, 0.02), ("fixed, edge",), seeds=8
        ),
        Case("c", "told 10 × the true quota, 11 minutes", ten_times, Target(1.03, None, 0.04, 80)),
        Case(
            "d",
            "a tenant takes half from minute 2 to 4",
            tenant,
            Target(1.10, None, 0.02),
            targets={"sliding": Target(1.10, None, 0.04)},
        ),
        Case("e60", "60 requests a minute, 11 minutes", requests(60, 11), Target(1.05, None, 0.0, 8)),
        Case(
            "e10k", "10,000 requests a minute, 2.5 minutes", requests(10_000, 2.5), Target(1.03, None, 0.001), seeds=1
        ),
    )
}


def edge_s(meter: str, seed: int) -> float:
    """Return where the fixed minutes of a run begin: with the first call, or anywhere."""
    return round(Random(f"edge {seed}").uniform(4, 56), 3) if meter == "fixed, edge" else 0.0
