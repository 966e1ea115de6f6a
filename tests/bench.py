"""`make bench`: a bare aioboto3 loop and `batchrun run` over the same rows, on the same emulator in its own process.

batchrun runs through the SDK, over HTTP with signatures, and over HTTP with a Bedrock API key. Prints CPU per row, rows
per second and peak memory of each as whole processes, Parquet to Parquet, and their ratios to the bare loop: medians
over the rounds, all of them taking turns, since a shared machine drifts.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_job import emulator_at, job_text

EMULATE = ["emulate", "--port", "0", "--latency-s", "0", "--tpm", "1000000000", "--config"]
IN_FLIGHT = 64
WORDS = "the quick brown fox jumps over the lazy dog and on it goes for a while "

SIGNED = {"AWS_ACCESS_KEY_ID": "AKIDBENCH", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
# Name -> (transport, what is in the environment)
OURS = {
    "sdk": ("sdk", SIGNED),
    "http signed": ("http", SIGNED),
    "http key": ("http", {"AWS_BEARER_TOKEN_BEDROCK": "not-a-key"}),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one whole process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = f"row: {WORDS * 4}"
        pq.write_table(pa.table({"text": pa.repeat(text, given.rows)}), folder / "rows.parquet")
        (folder / "emulator.toml").write_text("[emulator]\nlatency_per_token_s = 0\n")
        emulator = subprocess.Popen(
            [sys.executable, "-m", "batchrun", *EMULATE, str(folder / "emulator.toml")],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert emulator.stdout is not None
            url = emulator.stdout.readline().split()[-1]
            for transport in ("sdk", "http"):
                (folder / f"{transport}.toml").write_text(bench_job(url, model={"transport": transport}))
            compare(folder, url, given.rows, given.rounds)
        finally:
            emulator.terminate()
            emulator.wait(timeout=20)


def bench_job(url: str, **tables: dict[str, Any]) -> str:
    """Return the job file of the run that is measured; `tables` are what a benchmark adds to it."""
    return job_text(
        "bench",
        generation={"max_tokens": 256},
        limits={"max_in_flight": IN_FLIGHT, "max_failed": 1.0},
        aws=emulator_at(url),
        **tables,
    )


def compare(folder: Path, url: str, rows: int, rounds: int) -> None:
    bare_loop = [sys.executable, "-m", "tests.bench_bare", str(folder), url, str(IN_FLIGHT)]
    costs: dict[str, list[Cost]] = {name: [] for name in ("bare loop", *OURS)}
    for _ in range(rounds):
        costs["bare loop"].append(cost_of(bare_loop, {}))
        for name, (transport, environment) in OURS.items():
            shutil.rmtree(folder / "out", ignore_errors=True)
            run = [sys.executable, "-m", "batchrun", "run", str(folder / f"{transport}.toml"), "--quiet"]
            costs[name].append(cost_of(run, environment))
            written = pq.read_metadata(folder / "out" / "data" / "part-000000.parquet").num_rows
            assert written == min(rows, 10_000), f"the run wrote {written} rows into its first part"
    print(f"{rows:,} rows, {IN_FLIGHT} in flight, medians of {rounds} rounds, whole processes; ratios to the bare loop")
    for name, unit, read in (
        ("CPU per row", "µs", lambda cost: 1e6 * cost.cpu_s / rows),
        ("rows per second", "", lambda cost: rows / cost.wall_s),
        ("peak memory", "MB", lambda cost: cost.peak_mb),
    ):
        print(f"  {name}{f' [{unit}]' if unit else ''}")
        for who, its in costs.items():
            ratio = statistics.median(read(b) / read(a) for a, b in zip(costs["bare loop"], its, strict=True))
            print(f"    {who:<12} {statistics.median(map(read, its)):8.0f}   {ratio:.2f}")


def cost_of(command: list[str], more: dict[str, str]) -> Cost:
    """Run a command to its end, with `more` in its environment, and return what the kernel counted for it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | more
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began_s, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
