"""How long a resume takes to its first call, over 100,000 objects of a store and over 10 GB of JSON Lines.

And how long a start takes to bring back the copies of logs that a run of hours on another machine left.

Real processes: SeaweedFS, `batchrun emulate`, and `batchrun run` twice, whose second start knows the files already.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.storage.s3 import Bucket, Connection, S3Options
from batchrun.storage.s3.bucket import Content
from batchrun.storage.s3.logs import LogCopies
from batchrun.storage.source import SourceFile, scan
from tests.process.runs import ENVIRONMENT, emulator, stats
from tests.services import seaweed
from tests.small_job import emulator_at, job_text

LINE = "some text of a row, as long as a short product review often is, and once more " * 12
LOGS = 16
FIRST_ROWS, MORE_ROWS = 200, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000, help="Parquet objects of one row each; 0: leave out")
    parser.add_argument("--jsonl-gb", type=float, default=10.0, help="size of the JSON Lines file; 0: leave out")
    parser.add_argument("--stretches", type=int, default=2_000, help="copied stretches of logs; 0: leave out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, emulator("--latency-s", "0") as url:
        if given.objects:
            (Path(folder) / "s3").mkdir()
            _over_objects(Path(folder) / "s3", url, given.objects)
        if given.stretches:
            (Path(folder) / "logs").mkdir()
            _over_log_copies(Path(folder) / "logs", given.stretches)
        if given.jsonl_gb:
            (Path(folder) / "jsonl").mkdir()
            _over_json_lines(Path(folder) / "jsonl", url, given.jsonl_gb)


def _over_objects(folder: Path, url: str, objects: int) -> None:
    (server := folder / "server").mkdir()
    with seaweed(server) as found:
        os.environ.update(found.environment)
        with Connection(S3Options(found.endpoint)) as store:
            bucket = Bucket(store, found.bucket)
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table({"text": ["Name a colour. [[output_tokens=2]]"]}), sink)
            content = sink.getvalue().to_pybytes()
            began_s = time.monotonic()
            with ThreadPoolExecutor(24) as pool:
                for _ in pool.map(lambda at: bucket.put(f"rows/part-{at:06}.parquet", content), range(objects)):
                    pass
            _say(f"{objects:,} objects", "written", time.monotonic() - began_s)
            began_s = time.monotonic()
            listed = sum(1 for _ in bucket.objects("rows/"))
            _say(f"{listed:,} objects", "one listing after the other, alone", time.monotonic() - began_s)
        job = folder / "job.toml"
        rows = {"path": found.url("rows"), "storage_options": {"endpoint": found.endpoint}}
        job.write_text(_job(rows, url))
        _measure(f"{objects:,} objects", job, url, {**ENVIRONMENT, **found.environment})


def _over_log_copies(folder: Path, stretches: int) -> None:
    """Fetch the copies of some logs: by the store at once, and as over a network where each answer takes 30 ms."""
    (server := folder / "server").mkdir()
    with seaweed(server) as found:
        os.environ.update(found.environment)
        with Connection(S3Options(found.endpoint)) as store:
            bucket, lines = Bucket(store, found.bucket), LINE.encode() + b"\n"
            keys = [f"wal/{at % LOGS:06}.log.{at // LOGS * len(lines):012}" for at in range(stretches)]
            with ThreadPoolExecutor(24) as pool:
                for _ in pool.map(lambda key: bucket.put(key, lines), keys):
                    pass
            for away_s in (0.0, 0.03):
                (wal := folder / f"wal-{away_s}").mkdir()
                began_s = time.monotonic()
                LogCopies(_Far(store, found.bucket, away_s), "wal/", wal).fetch()
                took = f"fetched, every read {away_s * 1000:.0f} ms away"
                _say(f"{stretches:,} stretches of {LOGS} logs", took, time.monotonic() - began_s)
                assert sum(path.stat().st_size for path in wal.iterdir()) == stretches * len(lines)


class _Far(Bucket):
    """A bucket whose answers come later."""

    def __init__(self, store: Connection, name: str, away_s: float) -> None:
        super().__init__(store, name)
        self._away_s = away_s

    def get(self, key: str) -> Content | None:
        time.sleep(self._away_s)
        return super().get(key)


def _over_json_lines(folder: Path, url: str, size_gb: float) -> None:
    path, job = folder / "rows.jsonl", folder / "job.toml"
    began_s = time.monotonic()
    block = "".join(json.dumps({"id": at, "text": LINE}) + "\n" for at in range(1_000))
    with path.open("w") as file:
        for _ in range(int(size_gb * 1e9 / len(block))):
            file.write(block)
    named = f"{path.stat().st_size / 1e9:.1f} GB of JSON Lines"
    _say(named, "written", time.monotonic() - began_s)
    job.write_text(_job({"path": "rows.jsonl"}, url))
    _measure(named, job, url, ENVIRONMENT)
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    _say(named, f"manifest of {(folder / 'out' / 'manifest.json').stat().st_size / 1e3:.0f} kB", 0.0)
    began_s = time.monotonic()
    source = scan(["rows.jsonl"], folder, {one["name"]: SourceFile.from_json(one) for one in manifest["files"]})
    last = next(source.read(["text"], source.rows - 100, source.rows))
    assert last.rows == 100
    _say(named, "the last 100 rows of a known file", time.monotonic() - began_s)


def _job(rows: dict[str, Any], url: str) -> str:
    return job_text("resume", input=rows, output={"rows_per_part": 100}, aws=emulator_at(url))


def _measure(named: str, job: Path, url: str, environment: dict[str, str]) -> None:
    """Run for some rows, then for some more, and say when the first of these was called for."""
    began_s = time.monotonic()
    _start(job, environment, FIRST_ROWS).communicate()
    _say(named, f"first run, {FIRST_ROWS} rows, with the scan", time.monotonic() - began_s)
    before = stats(url)["paid_calls"]
    began_s = time.monotonic()
    again = _start(job, environment, MORE_ROWS)
    while stats(url)["paid_calls"] == before and again.poll() is None:
        time.sleep(0.02)
    _say(named, "RESUME: from the start of the process to its first answered call", time.monotonic() - began_s)
    out, err = again.communicate()
    assert again.returncode == 0, out + err


def _start(job: Path, environment: dict[str, str], rows: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "batchrun", "run", str(job), "--limit", str(rows), "--quiet", "--json"]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _say(named: str, what: str, took_s: float) -> None:
    print(f"{named}: {what}: {took_s:.1f} s", flush=True)


if __name__ == "__main__":
    main()
