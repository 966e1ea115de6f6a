"""Whole processes for tests: an emulator and runs against it, each ended by the test that started it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_job import emulator_at, job_text

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith("AWS_")
} | {"AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip


@contextmanager
def emulator(*options: str) -> Iterator[str]:
    """Run `batchrun emulate` and yield its URL."""
    command = [sys.executable, "-m", "batchrun", "emulate", "--tpm", "1000000000", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/stats", timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def write_job(folder: Path, url: str, rows: int, in_flight: int = 20, unlike: int | None = None) -> Path:
    """Write an input and a job over it; all its prompts are unlike, or so many of them."""
    table = {
        "id": [f"id-{row}" for row in range(rows)],
        "label": [row % 7 for row in range(rows)],
        "text": [f"Row {row % (unlike or rows)} says its number. [[output_tokens=2]]" for row in range(rows)],
    }
    pq.write_table(pa.table(table), folder / "rows.parquet")
    job = folder / "job.toml"
    job.write_text(
        job_text(
            "killed",
            input={"id": "id", "keep": ["label"]},
            routing={"source_regions": ["us-east-1", "us-west-2"]},
            limits={"max_in_flight": in_flight, "max_failed": 1.0},
            output={"rows_per_part": 200},
            aws=emulator_at(url),
        )
    )
    return job


def start(job: Path, *options: str) -> subprocess.Popen[str]:
    """Start `batchrun run` in another folder than the job's, as cron would."""
    command = [sys.executable, "-m", "batchrun", "run", str(job), "--json", "--quiet", *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd="/"
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 60) -> dict[str, Any]:
    """Wait for a run and return its summary."""
    out, err = process.communicate(timeout=timeout_s)
    assert out, f"exit {process.returncode} without a summary: {err}"
    summary: dict[str, Any] = json.loads(out)
    assert summary["exit_code"] == process.returncode, err
    return summary


def run(job: Path, *options: str) -> dict[str, Any]:
    return finish(start(job, *options))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run any batchrun command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "batchrun", *arguments],
        capture_output=True, text=True, env=ENVIRONMENT, cwd="/", timeout=60, check=False,
    )  # fmt: skip


def wait_for_calls(url: str, calls: int, timeout_s: float = 30) -> None:
    """Wait until the emulator has paid answers for so many calls."""
    deadline_s = time.monotonic() + timeout_s
    while stats(url)["paid_calls"] < calls:
        assert time.monotonic() < deadline_s, f"no {calls} calls in {timeout_s} s"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


def rows_of(job: Path) -> list[int]:
    """Return the row numbers of the result in file order."""
    parts = sorted((job.parent / "out" / "data").glob("*.parquet"))
    return [row for part in parts for row in pq.read_table(part, columns=["row"])["row"].to_pylist()]
