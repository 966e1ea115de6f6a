"""`make memory`: peak memory of whole runs, each in a process of its own.

`many` and `answers` go over HTTP to the emulator in another process. `group` is one row group of 1,000,000 rows of 700
bytes; its calls are answered in the process itself, since a million over HTTP would take half an hour.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_job import emulator_at, job_text

BOUND_MB = 250


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "cases", nargs="*", default=["many", "answers", "group"], choices=["many", "answers", "group"]
    )
    arguments.add_argument("--rows", type=int, help="instead of the case's own number")
    given = arguments.parse_args()
    above = False
    for case in given.cases:
        default_rows, write = CASES[case]
        rows = given.rows or default_rows
        with tempfile.TemporaryDirectory() as name:
            write_elsewhere(write, Path(name) / "rows.parquet", rows)
            peak_mb, wall_s = measured(case, Path(name))
            written = sum(pq.read_metadata(part).num_rows for part in (Path(name) / "out" / "data").iterdir())
        assert written == rows, f"{case}: {written} of {rows} rows were written"
        above = above or peak_mb > BOUND_MB
        verdict = "within" if peak_mb <= BOUND_MB else "ABOVE"
        print(
            f"{case:<8} {rows:>9,} rows  peak {peak_mb:6.0f} MB, {verdict} {BOUND_MB} MB  ({wall_s:.0f} s)", flush=True
        )
    if above:
        sys.exit(1)


def write_elsewhere(write: Callable[[Path, int], None], path: Path, rows: int) -> None:
    """Write the input in another process: a child's peak begins at its parent's size, so this one stays small."""
    process = get_context("spawn").Process(target=write, args=(path, rows))
    process.start()
    process.join()
    assert process.exitcode == 0, f"writing the input ended with {process.exitcode}"


def write_small(path: Path, rows: int) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for first in range(0, rows, 50_000):
            writer.write_table(table(first, min(first + 50_000, rows), "Row {} [[output_tokens=20]]"))


def write_long_answers(path: Path, rows: int) -> None:
    pq.write_table(table(0, rows, "Row {} [[output_tokens=4000]]"), path)  # about 16 KB of text each


def write_one_group(path: Path, rows: int) -> None:
    filling = "x" * 690
    pq.write_table(table(0, rows, "{:010d}" + filling), path, row_group_size=rows)


SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
CASES: dict[str, tuple[int, Callable[[Path, int], None]]] = {
    "many": (200_000, write_small),
    "answers": (10_000, write_long_answers),
    "group": (1_000_000, write_one_group),
}


def table(first: int, stop: int, text: str) -> pa.Table:
    return pa.table({"id": range(first, stop), "text": [text.format(row) for row in range(first, stop)]}, SCHEMA)


def _job(aws: dict[str, str]) -> str:
    return job_text(
        "memory",
        input={"keep": ["id"]},
        generation={"max_tokens": 5000},
        routing={"source_regions": ["us-east-1", "us-west-2"]},
        limits={"max_failed": 1.0},
        aws=aws,
    )


def measured(case: str, folder: Path) -> tuple[float, float]:
    """Run the job of a folder; return its peak memory [MB] and time [s]."""
    job = folder / "job.toml"
    if case == "group":
        job.write_text(_job({"endpoint_url": "http://127.0.0.1:9"}))
        return peak_of([sys.executable, "-m", "tests.instant", str(job)])
    command = [sys.executable, "-m", "batchrun", "emulate", "--latency-s", "0.02", "--tpm", "1000000000"]
    emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert emulator.stdout is not None
        url = emulator.stdout.readline().split()[-1]
        job.write_text(_job(emulator_at(url)))
        return peak_of([sys.executable, "-m", "batchrun", "run", str(job), "--quiet"])
    finally:
        emulator.terminate()
        emulator.communicate(timeout=20)


def peak_of(command: list[str]) -> tuple[float, float]:
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return usage.ru_maxrss / 1024, time.monotonic() - began_s


if __name__ == "__main__":
    main()
