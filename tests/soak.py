"""`make soak`: one long run over HTTP under chaos, looked at ten times: do its files, tasks and memory stay flat?

Then 100,000 throttles in a row on a virtual clock, of which nothing may be left.

The run is in this process, the emulator in another. Prints file descriptors, asyncio tasks, threads, live objects and
memory at each tenth of the rows; exits 1 if one of them grows, if a row is missing or if `verify` finds anything.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from batchrun.api import arun, verify
from tests.memory import write_elsewhere, write_small
from tests.small_job import emulator_at, job_text
from tests.throttled import CASES, left_behind

LOOKS = 10
CHAOS = {
    "InternalServerException": 0.015,
    "ServiceUnavailableException": 0.005,
    "reset": 0.015,
    "cut": 0.01,
    "garbage": 0.005,
}
# Between the medians of looks 2 to 4 and of the last three: more than a run's noise, less than what leaks. One file or
# task a fault would be 15,000 in 500,000 rows, and 45 in a slice of 1,500; one object a fault 15,000 of 165,000.
MOST_MORE = {"files": 25, "tasks": 25, "threads": 4, "objects": 0.05, "memory_mb": 0.05}


EMULATOR = """
[emulator]
tpm = 1_000_000_000
latency_s = 0.02
latency_per_token_s = 0
seed = 7
[emulator.faults]
"""


@dataclass(frozen=True, slots=True)
class Look:
    """The process at one moment; `objects` are those that Python's collector tracks."""

    rows: int
    files: int
    tasks: int
    threads: int
    objects: int
    memory_mb: float

    def line(self) -> str:
        return (
            f"{self.rows:>8,} rows  {self.files:>5} files  {self.tasks:>5} tasks  {self.threads:>3} threads  "
            f"{self.objects:>9,} objects  {self.memory_mb:6.1f} MB"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=500_000)
    arguments.add_argument("--in-flight", type=int, default=64)
    arguments.add_argument("--throttles", type=int, default=100_000)
    given = arguments.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        looks, summary, wrong = soak(
            Path(name), given.rows, given.in_flight, lambda look: print(look.line(), flush=True)
        )
    print(
        f"{summary['rows']:,} rows in {time.monotonic() - began_s:.0f} s: {summary['by_status']}, "
        f"faults {summary['faults']}, ended {summary['exit_code']}: {summary['reason']}"
    )
    wrong = [*wrong, *grown(looks)]
    for case, (quota, fault) in CASES.items():
        more = left_behind(quota, fault, given.throttles)
        print(f"{given.throttles:,} throttles in a row for {case}: {more:+,} objects after the first fifth", flush=True)
        if more > given.throttles // 20:
            wrong.append(f"throttles for {case} leave objects behind")
    print("\n".join(wrong) or "flat")
    if wrong or summary["exit_code"] != 0 or summary["rows"] != given.rows:
        sys.exit(1)


def soak(
    folder: Path, rows: int, in_flight: int, tell: Callable[[Look], None]
) -> tuple[list[Look], dict[str, Any], list[str]]:
    """Run a job of so many rows; return what was seen on the way, the summary, and what `verify` finds wrong."""
    write_elsewhere(write_small, folder / "rows.parquet", rows)
    config = folder / "emulator.toml"
    config.write_text(EMULATOR + "".join(f"{kind} = {share}\n" for kind, share in CHAOS.items()))
    command = [sys.executable, "-m", "batchrun", "emulate", "--config", str(config)]
    emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert emulator.stdout is not None
        url = emulator.stdout.readline().split()[-1]
        job = folder / "job.toml"
        job.write_text(
            job_text(
                "soak",
                input={"keep": ["id"]},
                routing={"scopes": ["us", "global"], "source_regions": ["us-east-1", "us-east-2", "us-west-2"]},
                limits={"max_in_flight": in_flight, "max_failed": 0.01},
                aws=emulator_at(url),
            )
        )
        looks, summary = anyio.run(_watched, job, rows, tell, backend="asyncio")
    finally:
        emulator.terminate()
        emulator.communicate(timeout=20)
    return looks, summary, verify(job)


def grown(looks: list[Look]) -> list[str]:
    """Say what is clearly more at the end than at the beginning; the first look is a warm-up."""
    said = []
    for name, most in MOST_MORE.items():
        before = statistics.median(getattr(look, name) for look in looks[1:4])
        after = statistics.median(getattr(look, name) for look in looks[-3:])
        if after > (before * (1 + most) if isinstance(most, float) else before + most):
            said.append(f"{name} grow: from {before:,.0f} to {after:,.0f}")
    return said


async def _watched(job: Path, rows: int, tell: Callable[[Look], None]) -> tuple[list[Look], dict[str, Any]]:
    looks: list[Look] = []
    async with anyio.create_task_group() as beside:
        beside.start_soon(_look, job.parent / "out" / "status.json", rows, looks, tell)
        summary = await arun(job)
        beside.cancel_scope.cancel()
    return looks, summary


async def _look(status: Path, rows: int, looks: list[Look], tell: Callable[[Look], None]) -> None:
    """Look at each tenth of the rows."""
    while len(looks) < LOOKS:
        await anyio.sleep(0.2)
        try:
            done = json.loads(status.read_bytes())["rows"]  # noqa: ASYNC240 - a few hundred bytes
        except OSError:
            continue
        if done >= rows * (len(looks) + 1) // (LOOKS + 1):
            looks.append(look(done))
            tell(looks[-1])


def look(rows: int) -> Look:
    """Count what this process holds now."""
    gc.collect()
    return Look(
        rows=rows,
        files=len(list(Path("/proc/self/fd").iterdir())),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        objects=len(gc.get_objects()),
        memory_mb=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
    )


if __name__ == "__main__":
    main()
