"""One cell of the table: the run, and the optimum it is compared with."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from batchrun.api import StandIns, arun
from batchrun.clock import Clock
from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.readyjob import make_ready
from tests.run.rehearsal import job_over
from tests.simulation.cases import CASES, METERS, Cell
from tests.simulation.load import Load, SimulatedSource
from tests.simulation.optimum import Scene
from tests.simulation.setups import MAX_TOKENS, Setup, Tables
from tests.simulation.transport import SimulatedTransport
from tests.virtual import run_virtual

LATENCY = {"latency_s": 0.6, "latency_per_token_s": 0.01}  # the quota study's


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a cell."""

    cell: Cell
    rows: int
    makespan_s: float
    optimum_a_s: float  # or the makespan of a client told the best, where there is such a rival
    optimum_b_s: float
    fixed_s: float | None  # the makespan of the rival that is not told, where there is one
    calls: int
    throttled: int
    faults: int
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

    @property
    def sent_again(self) -> int:
        """Return how many calls were answered beyond one a row."""
        return self.calls - self.throttled - self.faults - self.rows


def simulate(cell: Cell) -> Result:
    """Run one cell, its rivals and the oracle."""
    began_s = time.process_time()
    setup = CASES[cell.case].setup(cell.seed)
    setup = replace(setup, rows=cell.rows or setup.rows)
    scene, transport, summary, makespan_s = _run(setup, setup.job, cell)
    rivals = {name: _run(setup, {**setup.job, "generation": one}, cell)[3] for name, one in setup.rivals.items()}
    answered = sum(summary["by_status"].get(status, 0) for status in ("ok", "truncated"))
    return Result(
        cell=cell,
        rows=setup.rows,
        makespan_s=makespan_s,
        optimum_a_s=_optimum_a_s(scene, rivals),
        optimum_b_s=0.0 if rivals else scene.optimum_b_s(transport),
        fixed_s=rivals.get("fixed"),
        calls=transport.calls,
        throttled=transport.throttled,
        faults=transport.faults,
        failed=summary["rows"] - answered,
        missing=setup.rows - summary["rows"],
        notes=tuple(summary["notes"]),
        cpu_s=time.process_time() - began_s,
    )


def _optimum_a_s(scene: Scene, rivals: Mapping[str, float]) -> float:
    if rivals:
        return rivals["best"]
    return scene.optimum_a_s() if scene.setup.oracle else 0.0


def refusal(case: str) -> str | None:
    """Return why a case cannot be run by this batchrun, None if it can."""
    setup = CASES[case].setup(0)
    try:
        make_ready(_job(setup.job, setup, Cell(case, CASES[case].meters[0], 0, 0), Path("/")))
    except JobError as error:
        return str(error).partition("\n")[0]
    return None


def _run(setup: Setup, tables: Tables, cell: Cell) -> tuple[Scene, SimulatedTransport, Mapping[str, Any], float]:
    with TemporaryDirectory() as name:
        job = _job(tables, setup, cell, Path(name))
        scene = Scene(setup, make_ready(job), Load(setup.rows, cell.seed))
        transport = SimulatedTransport(scene.emulator, scene.ready.card, scene.load)
        summary, makespan_s = run_job(job, transport, SimulatedSource(setup.rows), cell.began)
    return scene, transport, summary, makespan_s


def _job(tables: Tables, setup: Setup, cell: Cell, folder: Path) -> JobSpec:
    emulator = {**LATENCY, **METERS[cell.meter], "edge_s": cell.edge_s, **setup.emulator}
    emulator |= {"rtt_ms": cell.rtt_ms, "seed": cell.seed}
    defaults: dict[str, Mapping[str, Any]] = {"generation": {"max_tokens": MAX_TOKENS}, "limits": {"max_failed": 1.0}}
    return job_over(folder, "rows.parquet", **{**defaults, **tables}, emulator={"tpm": None, **emulator})


def _never_asleep() -> float:
    return 0.0  # the machine's own sleep is no virtual time, and asking for it costs two system calls


def run_job(
    job: JobSpec, transport: SimulatedTransport, source: SimulatedSource, began: datetime
) -> tuple[Mapping[str, Any], float]:
    """Run a job in virtual time that begins at `began`; return its summary and how long it took [s]."""

    async def run() -> tuple[Mapping[str, Any], float]:
        started_s = anyio.current_time()
        summary = await arun(job, stand_ins=StandIns(transport, Clock(began, _never_asleep), source))
        return summary, anyio.current_time() - started_s

    return run_virtual(run, alone=True)
