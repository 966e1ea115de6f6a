"""`make simulate`: what the pace makes of a quota on the virtual clock, over the emulator's meters and round trips.

Each case is a whole run, Parquet to Parquet, on one lane. `makespan` is its time over the settled tokens divided by the
quota, so that a full meter at the start brings it below 1; `throttled` is refused calls over rows.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.run.rehearsal import job, rehearse

TPM = 50_000
METERS = {
    "bucket of 60 s": {"window": "bucket", "burst_s": 60},
    "bucket of 10 s": {"window": "bucket", "burst_s": 10},
    "bucket of 5 s": {"window": "bucket", "burst_s": 5},
    "fixed minute": {"window": "fixed"},
    "sliding minute": {"window": "sliding"},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A load, and how far the configured quota is from the true one."""

    name: str
    rows: int
    configured: float = 1.0


CASES = [
    Case("quota known, 11 minutes of work", 1_100),
    Case("configured 10 times the true quota", 1_100, configured=10.0),
    Case("1.4 minutes of work", 140),
]


@dataclass(frozen=True, slots=True)
class Result:
    """How a case ended."""

    makespan: float
    throttled: float
    lost: int


def simulate(case: Case, meter: dict[str, object], rtt_ms: int, seed: int) -> Result:
    """Run one case in virtual time."""
    with tempfile.TemporaryDirectory() as name:
        prompts = [f"{row}: " + "word " * 100 for row in range(case.rows)]
        spec = job(
            Path(name),
            prompts,
            generation={"max_tokens": 256},
            quota={"tokens_per_minute": int(TPM * case.configured)},
            limits={"max_failed": 1.0},
            emulator={
                "tpm": TPM,
                "rtt_ms": rtt_ms,
                "latency_s": 0.6,
                "latency_per_token_s": 0.01,
                "seed": seed,
                **meter,
            },
        )
        ended = rehearse(spec)
    settled = sum(pool["settled_tokens"] for pool in ended.stats["pools"].values())
    at_the_quota_s = 60 * settled / TPM
    return Result(
        ended.wall_s / at_the_quota_s, ended.stats["throttled"] / case.rows, case.rows - ended.summary["rows"]
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=0)
    seed = arguments.parse_args().seed
    for case in CASES:
        print(f"{case.name} ({case.rows:,} rows at {TPM:,} tokens a minute)", flush=True)
        for name, meter in METERS.items():
            for rtt_ms in (0, 50, 150):
                result = simulate(case, meter, rtt_ms, seed)
                print(
                    f"  {name:<15} rtt {rtt_ms:>3} ms  makespan {result.makespan:.3f}  "
                    f"throttled {100 * result.throttled:5.2f} %  rows lost {result.lost}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
