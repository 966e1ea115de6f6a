"""`make bench-scheduler`: the CPU of the scheduler itself, per row, with 25 lanes: gate, admission and settlement.

The real gate as a run assembles it, on the virtual clock; calls are nothing but a wait. What the same workers cost
without the gate is measured beside it and taken off. Asked: at most 60 µs a row, and no more than 10 % more a row at
1,000,000 rows than at 10,000. `quota`: rows wait for tokens; `room`: calls in flight are all that bounds them.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import anyio

from batchrun.assembly import Ground, assemble, open_output
from batchrun.clock import Clock
from batchrun.emulator.config import EmulatorSpec
from batchrun.lanes.gate import Gate
from batchrun.lanes.trial import Trial
from batchrun.readyjob import make_ready
from batchrun.records import Message, Prompt, Request, Usage
from batchrun.screen.tally import Tally
from batchrun.storage.folder import Folder
from tests.run.rehearsal import BEGAN, job_over
from tests.simulation.load import TEXTS, Load, SimulatedSource
from tests.simulation.setups import MAX_TOKENS, MEAN_CHARGE, REGIONS
from tests.simulation.transport import SimulatedTransport
from tests.virtual import run_virtual

# What all lanes together are told to take; few, so that 10,000 rows are minutes at the quota and not one burst.
ROWS_PER_S = {"quota": 25, "room": 1_000_000}
WORKERS = {"quota": 80, "room": 400}  # twice the 33 calls that 25 rows a second have in flight, and some at the gate
WARM_UP_ROWS = 3_000  # not counted: the first minute's 1,500 rows go at once, as many when those are forgotten
ASKED_US = 60.0
GROWTH = 1.10

Settle = Callable[[Request, Usage, float], Awaitable[None]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, nargs="*", default=[10_000, 1_000_000])
    arguments.add_argument("--load", nargs="*", default=list(ROWS_PER_S), choices=ROWS_PER_S)
    arguments.add_argument("--rounds", type=int, default=5, help="of the short runs; the median counts")
    given = arguments.parse_args()
    gc.freeze()
    missed = False
    for load in given.load:
        costs = []
        for rows in given.rows:
            rounds = given.rounds if rows < 100_000 else 1
            costs.append(statistics.median(scheduler_us(load, rows) for _ in range(rounds)))
            print(f"{load:<6}{rows:>10,} rows{costs[-1]:8.1f} µs a row, asked ≤ {ASKED_US:g}", flush=True)
            missed = missed or costs[-1] > ASKED_US
        if len(costs) > 1:
            print(f"{load:<6}last ÷ first {costs[-1] / costs[0]:.2f}, asked ≤ {GROWTH:.2f}", flush=True)
            missed = missed or costs[-1] > GROWTH * costs[0]
    sys.exit(1 if missed else 0)


def scheduler_us(load: str, rows: int) -> float:
    """Return what the scheduler costs a row [µs of CPU]."""
    return 1e6 * (run_virtual(_with_gate, load, rows) - run_virtual(_without, load, rows)) / rows


async def _with_gate(load: str, rows: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        gate, clock = _gate(Path(name), load)

        async def send(request: Request, usage: Usage, latency_s: float) -> None:
            trial = Trial(request)
            admission = await gate.wait_until_admitted(trial)
            await anyio.sleep(latency_s)
            gate.admissions.answered(admission, trial, usage, clock.now_s())
            gate.admit_ready()

        async with anyio.create_task_group() as group:
            group.start_soon(gate.keep_time)
            cpu_s = await _cpu_of(send, load, rows)
            group.cancel_scope.cancel()
        return cpu_s


async def _without(load: str, rows: int) -> float:
    async def send(request: Request, usage: Usage, latency_s: float) -> None:
        Trial(request)
        await anyio.sleep(latency_s)

    return await _cpu_of(send, load, rows)


async def _cpu_of(send: Settle, load: str, rows: int) -> float:
    """Take rows through `send` and return the CPU [s] of `rows` of them, those to warm up come first."""
    sizes, numbers = Load(rows, seed=0), count()
    began_s = 0.0
    prompt, body = Prompt(None, (Message("user", TEXTS[0]),)), TEXTS[0].encode()

    async def work() -> None:
        nonlocal began_s
        while (row := next(numbers)) < rows + WARM_UP_ROWS:
            if row == WARM_UP_ROWS:
                began_s = time.process_time()
            size = sizes.size(row)
            usage = Usage(size.input_tokens, min(size.output_tokens, MAX_TOKENS))
            await send(Request(row, prompt, body, size.input_tokens, MAX_TOKENS), usage, 0.6 + 0.01 * usage.output)

    async with anyio.create_task_group() as workers:
        for _ in range(WORKERS[load]):
            workers.start_soon(work)
    return time.process_time() - began_s


def _gate(folder: Path, load: str) -> tuple[Gate, Clock]:
    """Return the gate of a run over 25 lanes."""
    quota = {"tokens_per_minute": ROWS_PER_S[load] * 60 * MEAN_CHARGE // len(REGIONS)}
    routing = {"scopes": ["global"], "source_regions": list(REGIONS)}
    spec = job_over(folder, "rows.parquet", quota=quota, routing=routing, generation={"max_tokens": MAX_TOKENS})
    ready, clock = make_ready(spec), Clock(BEGAN)
    ground = Ground(ready, SimulatedSource(1), clock, Tally(clock.now_s()))
    output = Folder(spec.output.path)
    output.make()
    transport = SimulatedTransport(EmulatorSpec(), ready.card, Load(1, seed=0))  # never asked
    return assemble(ground, open_output(ground, output), {"": transport})[0], clock


if __name__ == "__main__":
    main()
