"""What durability costs: the log per row, S3 beside a local folder, and how soon a resume sends its first call.

Run with `make bench-durability`; each table names what it compares. Timings are of this machine at this moment: read
ratios, not seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from statistics import median
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.api import run
from batchrun.assembly import Ground, open_output
from batchrun.bedrock.body import Sampling, digest_of, invoke_body
from batchrun.jobspec import JobSpec
from batchrun.readyjob import make_ready
from batchrun.records import Message, Prompt, Request
from batchrun.screen.tally import Tally
from batchrun.storage.known_answers import KnownAnswers
from batchrun.storage.opening import open_store
from batchrun.storage.parts import write_part
from batchrun.storage.ranges import Range
from batchrun.storage.wal import RangeLog
from tests.services import seaweed
from tests.small_job import job_text, small_job
from tests.storage.outputs import outcome, totals_of

ANSWER = "An answer of some length, as a classification with a short reason has it. " * 4  # 300 bytes
ROOT = Path(__file__).parents[1]
INSTANT = [sys.executable, "-m", "tests.instant"]
KINDS = ["log", "dedupe", "s3", "resume"]
QUICK = {"latency_s": 0.05, "latency_per_token_s": 0.0}  # else calls in flight would hold the rate, not the quota
TARGET_LOG_US = 40.0
TARGET_S3 = 1.10
TARGET_RESUME_S = 5.0


def main() -> int:
    """Measure what was asked for; exit 1 if a target is missed."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("what", nargs="*", choices=[*KINDS, []], default=KINDS)
    reading.add_argument("--rounds", type=int, default=3)
    reading.add_argument("--rows", type=int, default=1_000_000, help="rows of the job that is resumed")
    asked = reading.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as base:
        if "log" in asked.what:
            met &= log_cost(Path(base), asked.rounds)
        if "dedupe" in asked.what:
            dedupe_cost(Path(base), asked.rounds)
        if "s3" in asked.what:
            met &= s3_cost(Path(base), asked.rounds)
        if "resume" in asked.what:
            met &= resume(Path(base), asked.rows)
    return 0 if met else 1


def log_cost(base: Path, rounds: int, rows: int = 100_000) -> bool:
    """Append a `sent` line and an outcome per row, as a run does, with and without a sync every second."""
    costs: dict[str, list[float]] = {"never": [], "1s": []}
    for _ in range(rounds):
        for how, seen in costs.items():
            path = base / "000000.log"
            log = RangeLog(path, Range(0, 0, rows))
            end = Event()
            began_s = time.process_time()
            syncing = Thread(target=_sync_every_second, args=(log, end)) if how == "1s" else None
            if syncing is not None:
                syncing.start()
            one = outcome(0, text=ANSWER)
            for row in range(rows):
                log.sent(row, 0.0012)
                log.append(replace(one, row=row))
            end.set()
            if syncing is not None:
                syncing.join()
            seen.append((time.process_time() - began_s) / rows * 1e6)
            log.close()
            path.unlink()
    told = {how: median(seen) for how, seen in costs.items()}
    print(f"log: CPU per row [µs], {rows:,} rows, median of {rounds}: " + json.dumps(told))
    print(f"     fsync 1s against never: {told['1s'] / told['never']:.2f}; target ≤ {TARGET_LOG_US:g} µs with 1s")
    return told["1s"] <= TARGET_LOG_US


def dedupe_cost(base: Path, rounds: int, rows: int = 100_000) -> None:
    """Look each row up and keep its answer, as a run does whose rows all differ; then as one whose rows are known."""
    costs: dict[str, list[float]] = {"digest": [], "unlike": [], "known": []}
    prompt = Prompt("You answer with one word.", (Message("user", "x" * 1_000),))
    body = invoke_body(prompt, Sampling(200))
    for _ in range(rounds):
        answers = KnownAnswers(base, "bench")
        one = outcome(0, text=ANSWER)
        asked = [blake2b(row.to_bytes(8, "big"), digest_size=16).digest() for row in range(rows)]
        began_s = time.process_time()
        for row in range(rows):
            digest_of(Request(row, prompt, body, 300, 200))
        costs["digest"].append((time.process_time() - began_s) / rows * 1e6)
        began_s = time.process_time()
        for row, digest in enumerate(asked):
            assert answers.get(digest) is None
            answers.put(digest, replace(one, row=row))
        costs["unlike"].append((time.process_time() - began_s) / rows * 1e6)
        began_s = time.process_time()
        for digest in asked:
            assert answers.get(digest) is not None
        costs["known"].append((time.process_time() - began_s) / rows * 1e6)
        answers.close()
        size_bytes = sum(path.stat().st_size for path in base.glob("dedupe.sqlite*"))
        answers.remove()
    told = {what: round(median(seen), 1) for what, seen in costs.items()}
    print(f"dedupe: CPU per row [µs], {rows:,} rows with answers of {len(ANSWER)} bytes: " + json.dumps(told))
    print(f"        {size_bytes / rows:.0f} bytes a row on disk")


def _sync_every_second(log: RangeLog, end: Event) -> None:
    while not end.wait(1.0):
        log.sync()
    log.sync()


def s3_cost(base: Path, rounds: int, rows: int = 10_000, rows_per_s: int = 500) -> bool:
    """Run the same job at a paced rate into a folder and into a bucket, one after the other."""
    texts = [f"Say {row}. [[output_tokens=100]]" for row in range(rows)]
    pq.write_table(pa.table({"text": texts}), base / "rows.parquet")
    walls: dict[str, list[float]] = {"folder": [], "s3": []}
    (server := base / "seaweed").mkdir()
    with seaweed(server) as store, _environment(store.environment):
        for number in range(rounds):
            for where, seen in walls.items():
                output: dict[str, Any] = {"path": f"out-{number}", "rows_per_part": 1_000}
                if where == "s3":
                    options = {"endpoint": store.endpoint}
                    output |= {"path": store.url(f"out-{number}"), "storage_options": options}
                spec = _job(base, output, requests_per_minute=60 * rows_per_s)
                began_s = time.perf_counter()
                summary = run(spec)
                seen.append(time.perf_counter() - began_s)
                assert summary["exit_code"] == 0, summary["reason"]
    told = {where: median(seen) for where, seen in walls.items()}
    ratio = told["s3"] / told["folder"]
    rate = rows / told["folder"]
    print(f"s3: wall [s], {rows:,} rows at {rate:.0f} rows/s, median of {rounds}: " + json.dumps(told))
    print(f"    s3 against a folder: {ratio:.3f}; target ≤ {TARGET_S3:g}")
    return ratio <= TARGET_S3


def resume(base: Path, rows: int, rows_per_part: int = 10_000) -> bool:
    """Time a process from its start to its first call, for a job of which one part is missing."""
    folder = base / "resumed"
    folder.mkdir()
    pq.write_table(pa.table({"text": [f"Say {row}." for row in range(rows)]}), folder / "rows.parquet")
    job = folder / "job.toml"
    job.write_text(job_text("resumed", generation={"max_tokens": 200}, output={"rows_per_part": rows_per_part}))
    _fill(job)
    began_s = time.time()
    ended = subprocess.run([*INSTANT, str(job)], check=True, capture_output=True, text=True, cwd=ROOT)
    told = json.loads(ended.stdout)
    assert told["rows"] == rows, told
    first_s = told["first_call_at_s"] - began_s
    print(f"resume: {rows:,} rows, one part missing: first call {first_s:.2f} s after the process was started")
    print(f"        target ≤ {TARGET_RESUME_S:g} s")
    return bool(first_s <= TARGET_RESUME_S)


def _fill(job: Path) -> None:
    """Write all parts but one of the whole job, as runs before would have."""
    ready = make_ready(job)
    with open_store(ready.spec) as store:
        store.make()
        clock = SimpleNamespace(now_s=lambda: 0.0)
        output = open_output(Ground(ready, ready.scan_input(store), clock, Tally(0.0)), store)  # type: ignore[arg-type]
        output.close()
        missing = len(output.ranges) // 2
        for of in output.ranges:
            if of.number != missing and not store.exists(of.part):
                outcomes = [outcome(row, text=ANSWER) for row in range(of.first_row, of.stop_row)]
                write_part(output.target, of, totals_of(outcomes), outcomes, ())
        for log in store.wal.iterdir():
            log.unlink()


def _job(base: Path, output: dict[str, Any], requests_per_minute: int) -> JobSpec:
    job = small_job(
        "bench",
        generation={"max_tokens": 200},
        quota={"requests_per_minute": requests_per_minute},
        limits={"max_in_flight": 100},
        output=output,
        aws={"endpoint_url": "emulator"},
        emulator={"window": "bucket", "burst_s": 1, "tpm": 1_000_000_000, "rpm": requests_per_minute, **QUICK},
    )
    return JobSpec.from_mapping(job, base=base)


@contextmanager
def _environment(names: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    sys.exit(main())
