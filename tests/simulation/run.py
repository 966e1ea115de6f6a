"""One cell of the table: the run, and the optimum it is compared with."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import anyio

from batchrun.api import StandIns, arun
from batchrun.clock import Clock
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.pools import charge_tokens, make_pools
from batchrun.jobspec import JobSpec
from batchrun.readyjob import ReadyJob, make_ready
from tests.run.rehearsal import job_over
from tests.simulation.cases import CASES, MAX_TOKENS, METERS, Cell, Setup, edge_s
from tests.simulation.load import Load, SimulatedSource
from tests.simulation.oracle import Call, Outlet, optimum_a, optimum_b
from tests.simulation.transport import SLOW, SimulatedTransport
from tests.virtual import run_virtual

LATENCY = {"latency_s": 0.6, "latency_per_token_s": 0.01}
# The calendar at the first call: an odd second, so that a fixed minute's edge is at no full minute of it.
BEGAN = datetime(2026, 11, 3, 12, 0, 17, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a cell."""

    cell: Cell
    rows: int
    makespan_s: float
    optimum_a_s: float
    optimum_b_s: float
    calls: int
    throttled: int
    failed: int  # rows that ended neither ok nor truncated
    missing: int  # rows without a result
    notes: tuple[str, ...]
    cpu_s: float

    @property
    def optimum_s(self) -> float:
        """Return the larger of the two."""
        return max(self.optimum_a_s, self.optimum_b_s)

    @property
    def ratio(self) -> float:
        """Return makespan ÷ optimum."""
        return self.makespan_s / self.optimum_s

    @property
    def lost(self) -> int:
        """Return how many rows have no answer."""
        return self.failed + self.missing


def simulate(cell: Cell) -> Result:
    """Run one cell, and the oracle beside it."""
    began_s = time.process_time()
    setup = CASES[cell.case].setup(cell.meter, cell.seed)
    load = Load(setup.rows, cell.seed)
    with TemporaryDirectory() as name:
        job = job_of(setup, cell, Path(name))
        ready = make_ready(job)
        transport = SimulatedTransport(job.emulator or EmulatorSpec(), ready.card, load)
        summary, makespan_s = run_job(job, transport, SimulatedSource(setup.rows))
    answered = sum(summary["by_status"].get(status, 0) for status in ("ok", "truncated"))
    return Result(
        cell=cell,
        rows=setup.rows,
        makespan_s=makespan_s,
        optimum_a_s=_optimum_a_s(ready, setup, load),
        optimum_b_s=_optimum_b_s(ready, setup, load, transport),
        calls=transport.calls,
        throttled=transport.throttled,
        failed=summary["rows"] - answered,
        missing=setup.rows - summary["rows"],
        notes=tuple(summary["notes"]),
        cpu_s=time.process_time() - began_s,
    )


def job_of(setup: Setup, cell: Cell, folder: Path) -> JobSpec:
    """Return the job of a cell, with the emulator that it meets."""
    emulator = {**LATENCY, **METERS[cell.meter], "edge_s": edge_s(cell.meter, cell.seed), **setup.emulator}
    tables: dict[str, Mapping[str, Any]] = {
        "generation": {"max_tokens": MAX_TOKENS},
        "limits": {"max_failed": 1.0},
        **setup.job,
    }
    return job_over(folder, "rows.parquet", **tables, emulator={**emulator, "rtt_ms": cell.rtt_ms, "seed": cell.seed})


def run_job(job: JobSpec, transport: SimulatedTransport, source: SimulatedSource) -> tuple[Mapping[str, Any], float]:
    """Run a job in virtual time; return its summary and how long it took [s]."""

    async def run() -> tuple[Mapping[str, Any], float]:
        started_s = anyio.current_time()
        summary = await arun(job, stand_ins=StandIns(transport, Clock(BEGAN), source))
        return summary, anyio.current_time() - started_s

    with no_threads():
        return run_virtual(run)


@contextmanager
def no_threads() -> Iterator[None]:
    """Do in the loop what the run does in threads: when a thread ends is up to the machine, a simulation is not."""

    async def run_sync(function: Any, *arguments: Any, **options: Any) -> Any:
        del options
        await anyio.lowlevel.checkpoint()
        return function(*arguments)

    with patch("anyio.to_thread.run_sync", run_sync):
        yield


def _outlets(ready: ReadyJob, setup: Setup) -> list[Outlet]:
    """Return the pools of the lanes that answer, full as they are at the start."""
    spec = ready.spec.emulator or EmulatorSpec()
    pools = make_pools(spec, ready.card)
    living = {lane.source_region: pools[f"{lane.source_region}/{_kind(lane.pool)}"] for lane in ready.lanes}
    living.pop(setup.dead, None)
    factors = {pool.name: SLOW if region == setup.slow else 1.0 for region, pool in living.items()}
    return [Outlet(pool, factors[pool.name], spec.edge_s) for pool in dict.fromkeys(living.values())]


def _kind(pool: str) -> str:
    return pool.rpartition("/")[2]


def _optimum_a_s(ready: ReadyJob, setup: Setup, load: Load) -> float:
    spec, max_tokens = ready.spec.emulator or EmulatorSpec(), ready.sampling.max_tokens
    calls = (_call(ready, load, row, max_tokens) for row in range(load.rows))
    return optimum_a(_outlets(ready, setup), calls) + spec.rtt_ms / 1000


def _optimum_b_s(ready: ReadyJob, setup: Setup, load: Load, transport: SimulatedTransport) -> float:
    spec = ready.spec.emulator or EmulatorSpec()
    drawn = sum(pool.tenant_tokens for pool in set(transport.pools.values()))
    settled = sum(book.settled_tokens for book in transport.books.values()) + drawn
    last = _call(ready, load, load.rows - 1, ready.sampling.max_tokens)
    pools = [outlet.pool for outlet in _outlets(ready, setup)]
    return optimum_b(pools, settled, load.rows, last.latency_s + spec.rtt_ms / 1000)


def _call(ready: ReadyJob, load: Load, row: int, max_tokens: int) -> Call:
    spec, size = ready.spec.emulator or EmulatorSpec(), load.size(row)
    output_tokens = min(size.output_tokens, max_tokens)
    charge = charge_tokens(ready.card, size.input_tokens, output_tokens)
    return Call(size.input_tokens + max_tokens, charge, spec.latency_s + spec.latency_per_token_s * output_tokens)
