"""run and arun: build the real parts of a run from a job, run it, and say how it ended."""

import resource
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TextIO

import anyio

from batchrun.backlog import Backlog, Columns
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.sdk import SdkTransport, Wire
from batchrun.bedrock.transport import Transport
from batchrun.clock import Clock
from batchrun.dispatch import Dispatch
from batchrun.emulator.config import EmulatorSpec
from batchrun.engines.local import Ending, run_locally
from batchrun.errors import BatchrunError, StorageError
from batchrun.jobspec import JobSpec, load_job
from batchrun.lanes.admission import Admissions, Bound, Budgets
from batchrun.lanes.budget import DollarBudget, RetryBudget, price_order
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.gate import Gate
from batchrun.lanes.pool import Pool
from batchrun.lanes.router import Router
from batchrun.pipeline import Pipeline, Stations
from batchrun.readyjob import EMULATOR, ReadyJob, make_ready
from batchrun.render import Requests
from batchrun.runaway import MaxFailed, RunAway
from batchrun.screen.progress import Progress
from batchrun.screen.summary import sums
from batchrun.screen.tally import Tally
from batchrun.storage.files import write_json
from batchrun.storage.folder import Claim, Folder, take_over
from batchrun.storage.lock import FolderLock
from batchrun.storage.manifest import read_manifest
from batchrun.storage.output import Output
from batchrun.storage.parts import Target
from batchrun.storage.ranges import Ranges
from batchrun.storage.schema import result_schema
from batchrun.storage.source import Source, scan
from batchrun.storage.verify import verify as verify_output

OTHER_FILES = 200  # file descriptors left to logs, input, imports and the loop


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a start of a run adds to its job file.

    `overrides` are `--set` arguments; `screen` is where progress goes, None for nowhere.
    """

    overrides: Sequence[str] = ()
    fresh: bool = False
    screen: TextIO | None = None


def run(job: Path | str | JobSpec, options: RunOptions | None = None) -> dict[str, Any]:
    """Run a job to its end, and return what `batchrun run --json` prints.

    A run that stops early is no exception: `exit_code` and `reason` say so.
    Raises JobError, InputError, AccessError, StorageError or LockedError if it cannot start.
    """
    return anyio.run(arun, job, options, backend="asyncio")


async def arun(
    job: Path | str | JobSpec,
    options: RunOptions | None = None,
    transport: Transport | None = None,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Do what `run` does, inside an event loop; `transport` and `clock` stand in for the SDK's and the machine's.

    Signals are listened to only in the main thread.
    """
    options = options or RunOptions()
    ready = make_ready(load(job, options.overrides))
    folder = Folder(ready.spec.output.path)
    source = scan_input(ready, folder, fresh=options.fresh)
    folder.make()
    try:
        with FolderLock(folder.lock):
            if options.fresh:
                folder.move_aside()
                folder.make()
            return await _Run(ready, folder, source, options, clock or Clock()).run(transport)
    except OSError as error:
        raise StorageError(f"{folder.path}: {error.strerror or error}: {error.filename or ''}") from error


def verify(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> list[str]:
    """Return what is wrong with a job's output, a line each; nothing means that every row has its one result.

    Raises JobError or InputError if the job itself is wrong.
    """
    ready = make_ready(load(job, overrides))
    folder = Folder(ready.spec.output.path)
    source = scan_input(ready, folder)
    allows = MaxFailed(ready.spec.limits.max_failed).allows
    return verify_output(folder, source, rows_wanted(ready, source), ready.spec.input.id, allows)


def load(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> JobSpec:
    """Return the job of a path, or the job itself."""
    return job if isinstance(job, JobSpec) else load_job(job, overrides)


def scan_input(ready: ReadyJob, folder: Folder, *, fresh: bool = False) -> Source:
    """Return the job's input, in the order that an earlier run of the output fixed, with every column it needs.

    Raises InputError naming the column that is missing, or has a result column's name.
    """
    known = {}
    if folder.manifest.exists() and not fresh:
        known = {file.name: file for file in read_manifest(folder.manifest).files}
    source = scan(ready.spec.input.path, ready.spec.base, known)
    source.require(ready.renderer.columns, "the prompt")
    source.require(ready.kept, "input.id and input.keep")
    return source


def rows_wanted(ready: ReadyJob, source: Source) -> int:
    """Return how many of the input's rows the job asks for."""
    limit = ready.spec.limits.rows
    return source.rows if limit is None else min(limit, source.rows)


class _Run:
    """One start of a run over a folder that it holds the lock of."""

    def __init__(self, ready: ReadyJob, folder: Folder, source: Source, options: RunOptions, clock: Clock) -> None:
        self._ready = ready
        self._folder = folder
        self._source = source
        self._options = options
        self._clock = clock
        self._tally = Tally(self._clock.now_s())
        self._cpu_began_s = time.process_time()
        for warning in ready.warnings:
            self._tally.note_once(warning)

    async def run(self, transport: Transport | None) -> dict[str, Any]:
        output = self._open_output()
        resumed = output.totals.rows
        try:
            if output.finished:
                return self._end(output, None, None, resumed)
            async with _transport(self._ready, transport) as carrier:
                gate, pipeline = self._build(output, carrier)
                progress = Progress(gate, output, self._tally, self._clock, self._folder.status)
                stopped = await run_locally(pipeline, gate, self._clock, self._ending(), self._watch(progress))
            summary = self._end(output, gate, stopped, resumed)
            progress.write(progress.snapshot("finished" if stopped is None else "stopped"))
            return summary
        finally:
            output.close()

    def _open_output(self) -> Output:
        ready, folder = self._ready, self._folder
        identity = ready.identity()
        kept = _kept_schema(self._source, ready.kept)
        schema = result_schema(list(kept))
        claim = Claim(
            ready.spec.name,
            identity,
            self._source.files,
            rows_wanted(ready, self._source),
            ready.spec.output.rows_per_part,
            ready.regions,
        )
        if folder.manifest.exists():
            ready.check_recorded_regions(read_manifest(folder.manifest).regions)
        manifest = take_over(folder, claim)
        folder.clear_tmp()
        target = Target(folder.data, folder.tmp, schema, manifest.run_id, manifest.emulated)
        output = Output(target, folder.wal, Ranges(manifest.stretches, claim.rows_per_part), kept)
        if output.found.torn_lines:
            self._tally.note_once(f"{output.found.torn_lines} torn lines of the log were dropped")
        if output.found.in_flight:
            self._tally.note_once(
                f"{output.found.in_flight} rows were in flight when the last run was killed: they may be paid twice"
            )
        return output

    def _build(self, output: Output, transport: Transport) -> tuple[Gate, Pipeline]:
        ready, spec, clock = self._ready, self._ready.spec, self._clock
        columns = Columns(ready.renderer.columns, ready.kept)

        def read(first_row: int, stop_row: int) -> Any:
            return self._source.read(columns.all, first_row, stop_row)

        backlog = Backlog(read, columns, output)

        def waiting_for(bound: Bound | None, now_s: float) -> None:
            idle = "input" if backlog.waiting else None
            self._tally.waiting_for(bound.value if bound is not None else idle, now_s)

        gate = Gate(self._admissions(output), clock, waiting_for)
        runaway = RunAway(MaxFailed(spec.limits.max_failed), output.ranges.rows, clock.now_s())
        stations = Stations(
            backlog=backlog,
            renderer=ready.renderer,
            requests=Requests(ready.sampling, ready.card.request_bytes),
            gate=gate,
            dispatch=Dispatch(gate, transport, clock, output, self._tally, Random(0)),
            output=output,
            tally=self._tally,
            runaway=runaway,
            clock=clock,
            drain_s=spec.limits.drain,
        )
        return gate, Pipeline(stations)

    def _admissions(self, output: Output) -> Admissions:
        ready, spec, clock = self._ready, self._ready.spec, self._clock
        day_ends_at_s = clock.now_s() + clock.seconds_to_midnight()
        pools = {name: Pool(name, quota, day_ends_at_s=day_ends_at_s) for name, quota in ready.quotas.items()}
        totals = output.totals
        fixed = spec.limits.max_in_flight
        budgets = Budgets(
            in_flight=InFlightLimit(
                None if isinstance(fixed, str) else fixed,
                file_descriptors=_spare_file_descriptors(),
                first_cost=ready.sampling.max_tokens,
            ),
            dollars=DollarBudget(spec.limits.max_cost_usd, totals.cost_usd + totals.unsettled_usd),
            retries=RetryBudget(spec.retry.budget),
            max_attempts=spec.retry.max_attempts,
        )
        router = Router(ready.lanes, pools, price_order(ready.prices))
        return Admissions(router, budgets, ready.prices, ready.card.output_burndown, clock.seconds_to_midnight)

    def _watch(self, progress: Progress) -> Any:
        async def watch() -> None:
            await progress.watch(self._options.screen)

        return watch

    def _ending(self) -> Ending:
        in_main_thread = threading.current_thread() is threading.main_thread()
        return Ending(signals=in_main_thread, deadline_s=self._ready.spec.limits.deadline)

    def _end(self, output: Output, gate: Gate | None, stopped: BatchrunError | None, resumed: int) -> dict[str, Any]:
        """Write _SUCCESS where it is due, and the summary."""
        exit_code, reason = self._verdict(output, stopped)
        if exit_code == 0:
            write_json(self._folder.success, {"rows": output.totals.rows, "run_id": output.target.run_id})
        else:
            self._folder.success.unlink(missing_ok=True)
        now_s = self._clock.now_s()
        wall_s = now_s - self._tally.started_s
        cpu_share = (time.process_time() - self._cpu_began_s) / wall_s if wall_s > 0 else 0.0
        self._tally.waiting_for(None, now_s)
        summary = {
            "exit_code": exit_code,
            "reason": reason,
            **sums(output),
            "wall_s": round(wall_s, 3),
            "lanes": self._tally.lane_rows(_quota_used(gate, wall_s)),
            "faults": dict(self._tally.faults.most_common()),
            "examples": [
                {
                    "status": one.status,
                    "error_code": one.error_code,
                    "rows": one.rows,
                    "row": one.row,
                    "message": one.message,
                }
                for one in self._tally.examples()
            ],
            "bounded_by": self._tally.bounded_by(cpu_share, wall_s),
            "resumed": resumed,
            "emulated": output.target.emulated,
            "notes": list(self._tally.notes),
        }
        write_json(self._folder.summary, summary)
        return summary

    def _verdict(self, output: Output, stopped: BatchrunError | None) -> tuple[int, str]:
        if not output.finished:
            return (stopped.exit_code, str(stopped)) if stopped is not None else (4, "ranges without a part remain")
        rows, ok = output.totals.rows, output.totals.by_status.get("ok", 0)
        most = self._ready.spec.limits.max_failed
        if MaxFailed(most).allows(rows - ok, rows):
            return 0, "finished"
        return 1, f"finished, but {rows - ok} of {rows} rows are not ok, above limits.max_failed = {most:g}"


@asynccontextmanager
async def _transport(ready: ReadyJob, given: Transport | None) -> AsyncIterator[Transport]:
    """Open what carries the calls, and the emulator inside the run where the job asks for one."""
    if given is not None:
        yield given
        return
    aws = ready.spec.aws
    wire = Wire(ready.spec.model.api, ready.sampling, connections=_spare_file_descriptors())
    if aws.endpoint_url != EMULATOR:
        async with SdkTransport(Access(aws.profile, aws.role_arn, aws.endpoint_url), wire) as transport:
            yield transport
        return
    from batchrun.emulator.server import serve  # only a run on the emulator needs an HTTP server

    async with serve(ready.spec.emulator or EmulatorSpec(), card=ready.card) as emulator:
        access = Access(endpoint_url=f"{emulator.url}/{{region}}")
        async with SdkTransport(access, wire) as transport:
            yield transport


def _kept_schema(source: Source, kept: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.schema([source.schema.field(name) for name in kept if name in source.schema.names])


def _quota_used(gate: Gate | None, wall_s: float) -> dict[str, float | None]:
    """Return each pool's settled tokens as a share of what its quota gave in that time."""
    if gate is None or wall_s <= 0:
        return {}
    used: dict[str, float | None] = {}
    for pool in gate.admissions.router.pools.values():
        quota = pool.quota.tokens_per_minute
        used[pool.name] = round(pool.settled_tokens / (quota * max(wall_s / 60, 1.0)), 4) if quota else None
    return used


def _spare_file_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, soft - OTHER_FILES)
