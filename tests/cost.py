"""CPU per row of everything but HTTP: whole runs over a transport that only waits, on a virtual clock.

    python -m tests.cost run --rows 100000 --lanes 25 --load quota      a run, Parquet to Parquet
    python -m tests.cost books --rows 100000 --lanes 25 --load quota    admission and settlement alone

`room` has more quota than calls can use, so that calls in flight bound the run; at the `quota` rows wait for tokens.
What the transport's wait costs is measured beside and taken off. Memory is sampled twenty times a run.
"""

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

import anyio
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.api import RunOptions, StandIns, arun
from batchrun.clock import Clock
from batchrun.jobspec import JobSpec
from batchrun.lanes.admission import Admission, Admissions, Budgets, Refused
from batchrun.lanes.budget import DollarBudget, RetryBudget, price_order
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.metering import Metering
from batchrun.lanes.pool import Pool, Quota
from batchrun.lanes.router import Router
from batchrun.lanes.trial import Trial
from batchrun.readyjob import make_ready
from batchrun.records import Completion, Message, Prompt, Request, Usage
from tests.virtual import run_virtual

MAX_TOKENS = 200
OUTPUT_TOKENS = 50  # settles at input + 250, a little above the hold, as most answers do
TOKENS_PER_MINUTE = {"room": 1_000_000_000, "quota": 2_500_000}  # over all lanes: at the quota, 125 rows a second
WORDS = "the quick brown fox jumps over the lazy dog and on it goes for a while "
# 25 lanes over 25 pools: 5 of the US, 4 of Europe, 16 global.
REGIONS = {
    1: ["us-east-1"],
    25: [
        "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
        "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3",
        "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
    ],
}  # fmt: skip
SCOPES = {1: ["us"], 25: ["us", "eu", "global"]}


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured."""

    rows: int
    lanes: int
    name: str


def latency_s(row: int) -> float:
    """Return how long a row's call takes: 1.2 to 2.8 s, in an order that repeats late."""
    return 1.2 + 1.6 * ((row * 7919) % 1009) / 1009


class WaitingTransport:
    """Answers every request after a while; samples the process's memory as it goes."""

    def __init__(self, rows: int) -> None:
        self.sampled_mb: list[float] = []
        self._sends = 0
        self._every = max(1, rows // 20)

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion:
        del inference_id, source_region
        self._sends += 1
        if self._sends % self._every == 0:
            self.sampled_mb.append(rss_mb())
        await anyio.sleep(latency_s(request.row))
        usage = Usage(input=request.input_tokens, output=OUTPUT_TOKENS)
        return Completion("[simulated] a short answer of a few words", "end_turn", usage, f"simulated-{request.row}")

    async def refresh(self) -> None:
        """Nothing to read again."""


def rss_mb() -> float:
    """Return the memory that the process has now [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def job(folder: Path, load: Load) -> JobSpec:
    """Write the rows, about 200 bytes each, and return a job over them."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with pq.ParquetWriter(folder / "rows.parquet", schema) as writer:
        for first in range(0, load.rows, 50_000):
            numbers = range(first, min(first + 50_000, load.rows))
            writer.write_table(pa.table({"id": numbers, "text": [f"{row}: {WORDS}{WORDS}" for row in numbers]}, schema))
    tables = {
        "name": "cost",
        "input": {"path": "rows.parquet", "keep": ["id"]},
        "prompt": {"user": "Say in a word what this is about: {{ text }}"},
        "generation": {"max_tokens": MAX_TOKENS},
        "routing": {"scopes": SCOPES[load.lanes], "source_regions": REGIONS[load.lanes]},
        "quota": {"tokens_per_minute": TOKENS_PER_MINUTE[load.name] // load.lanes},
        "limits": {"max_failed": 1.0},
        "output": {"path": "out"},
        "aws": {"endpoint_url": "emulator"},
    }
    return JobSpec.from_mapping(tables, base=folder)


class Stopwatch:
    """CPU of a stretch of the program: of the thread that runs the loop, and of all others."""

    def __enter__(self) -> "Stopwatch":
        self._process_s, self._thread_s = time.process_time(), time.thread_time()
        self._wall_s = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self.loop_s = time.thread_time() - self._thread_s
        self.others_s = time.process_time() - self._process_s - self.loop_s
        self.wall_s = time.monotonic() - self._wall_s


def measure_run(load: Load) -> None:
    """Run a job to its end and print what a row took."""
    transport = WaitingTransport(load.rows)

    async def run(spec: JobSpec) -> None:
        with Stopwatch() as taken:
            began_s = anyio.current_time()
            summary = await arun(spec, RunOptions(), StandIns(transport, Clock()))
        assert summary["rows"] == load.rows, summary
        virtual_s = anyio.current_time() - began_s
        wait_us = cost_of_waiting(load.rows)
        print(
            f"  loop {1e6 * taken.loop_s / load.rows - wait_us:6.1f} us/row (without {wait_us:.1f} of the transport), "
            f"threads {1e6 * taken.others_s / load.rows:5.1f}, wall {1e6 * taken.wall_s / load.rows:6.1f}; "
            f"virtual {virtual_s:.0f} s, bounded by {summary['bounded_by']}"
        )
        print("  MB:", " ".join(f"{mb:.0f}" for mb in transport.sampled_mb), flush=True)

    with tempfile.TemporaryDirectory() as name:
        run_virtual(run, job(Path(name), load))


def measure_books(load: Load) -> None:
    """Admit and settle rows one by one in their order, and print what one took, its Trial included."""
    with tempfile.TemporaryDirectory() as name:
        admissions = books(job(Path(name), Load(1, load.lanes, load.name)))
    prompt, usage, body = Prompt(None, (Message("user", "?"),)), Usage(80, OUTPUT_TOKENS), b"x" * 300
    out: list[tuple[float, int, Trial, Admission]] = []
    now_s, refusals = 0.0, 0
    with Stopwatch() as taken:
        for row in range(load.rows):
            trial = Trial(Request(row, prompt, body, usage.input, MAX_TOKENS))
            while isinstance(answer := admissions.admit(trial, now_s), Refused):
                refusals += 1
                if out and out[0][0] <= answer.at_s:
                    now_s, _, ended, admission = heappop(out)
                    admissions.answered(admission, ended, usage, now_s)
                else:
                    now_s = answer.at_s
            heappush(out, (now_s + latency_s(row), row, trial, answer))
    each_us = 1e6 * taken.loop_s / load.rows
    print(f"  {each_us:6.1f} us/row, {refusals / load.rows:.2f} refusals/row; virtual {now_s:.0f} s", flush=True)


def books(spec: JobSpec) -> Admissions:
    """Return the books of a job as a run makes them."""
    ready = make_ready(spec, ())
    pools = {
        name: Pool(name, Quota(quota.tokens_per_minute), Metering(skew_s=0.1)) for name, quota in ready.quotas.items()
    }
    budgets = Budgets(
        InFlightLimit(None, connections=10_000, first_cost=MAX_TOKENS), DollarBudget(None), RetryBudget(0.2), 6
    )
    router = Router(ready.lanes, pools, price_order(ready.prices))
    return Admissions(router, budgets, ready.prices, ready.card.output_burndown, lambda: 3_600.0)


def cost_of_waiting(rows: int) -> float:
    """Return what the transport's sleep alone costs [us per row], with a few hundred calls in flight."""
    rows = min(rows, 50_000)

    async def main() -> None:
        numbers = iter(range(rows))

        async def work() -> None:
            for row in numbers:
                await anyio.sleep(latency_s(row))

        async with anyio.create_task_group() as group:
            for _ in range(400):
                group.start_soon(work)

    taken: list[float] = []

    def elsewhere() -> None:
        began_s = time.thread_time()
        run_virtual(main)
        taken.append(time.thread_time() - began_s)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    return 1e6 * taken[0] / rows


CASES: dict[str, Callable[[Load], None]] = {"run": measure_run, "books": measure_books}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("case", choices=CASES)
    arguments.add_argument("--rows", type=int, default=50_000)
    arguments.add_argument("--lanes", type=int, nargs="*", default=[1, 25], choices=REGIONS)
    arguments.add_argument("--load", nargs="*", default=["room", "quota"], choices=TOKENS_PER_MINUTE)
    given = arguments.parse_args()
    for lanes in given.lanes:
        for name in given.load:
            print(f"{given.case}: {given.rows:,} rows, {lanes} lanes, {name}", flush=True)
            CASES[given.case](Load(given.rows, lanes, name))


if __name__ == "__main__":
    main()
