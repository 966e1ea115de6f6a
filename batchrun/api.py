"""run, arun, deliver and verify: a job from its file to its end, to its sinks, and the proof of what it left."""

import threading
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import anyio

from batchrun.assembly import Ground, assemble, open_output, open_transport
from batchrun.bedrock.transport import Transport
from batchrun.clock import Clock
from batchrun.delivering import Delivering, in_step, open_deliveries
from batchrun.engines.local import Ending, run_locally
from batchrun.errors import AccessError, BatchrunError, LockedError, StorageError
from batchrun.jobspec import JobSpec
from batchrun.lanes.gate import Gate
from batchrun.readyjob import ReadyJob, make_ready
from batchrun.records import Status
from batchrun.runaway import MaxFailed
from batchrun.screen.answers import Allowed
from batchrun.screen.progress import Progress
from batchrun.screen.summary import Verdict, run_summary
from batchrun.screen.tally import Tally
from batchrun.sinks.deliveries import Deliveries
from batchrun.sinks.delivery import Lag, lag_lines
from batchrun.sinks.part import FinishedParts
from batchrun.storage.files import as_json
from batchrun.storage.manifest import read_manifest
from batchrun.storage.opening import open_store
from batchrun.storage.output import Output
from batchrun.storage.source import Source
from batchrun.storage.store import MANIFEST, SUCCESS, SUMMARY, Hold, Store
from batchrun.storage.verify import verify as verify_output

LOOK_AT_LOCK_S = 1.0

_in_thread = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)  # Ctrl-C does not wait for disks and stores


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a start of a run adds to its job file.

    `overrides` are `--set` arguments; `screen` is where progress goes, None for nowhere. `signals` makes SIGINT,
    SIGTERM and SIGHUP end the run in order, in the main thread only; `run` switches it on, `arun` leaves it to its
    caller. `again` are the statuses whose rows in a finished output are sent again.
    With `accept_input_changes` a changed or missing input file is no reason to stop: results that are there stay.
    """

    overrides: Sequence[str] = ()
    fresh: bool = False
    screen: TextIO | None = None
    signals: bool = False
    again: Collection[Status] = ()
    accept_input_changes: bool = False


@dataclass(frozen=True, slots=True)
class StandIns:
    """What stands in for the SDK, the machine's clock and the input files, in tests and simulations."""

    transport: Transport | None = None
    clock: Clock | None = None
    source: Source | None = None


def run(job: Path | str | JobSpec, options: RunOptions | None = None) -> dict[str, Any]:
    """Run a job to its end, and return what `batchrun run --json` prints.

    In the main thread, signals end the run in order. A run that stops early is no exception: `exit_code` and `reason`
    say so. Raises JobError, InputError, AccessError, StorageError or LockedError if it cannot start.
    """
    signals = threading.current_thread() is threading.main_thread()
    return anyio.run(arun, job, replace(options or RunOptions(), signals=signals), backend="asyncio")


async def arun(
    job: Path | str | JobSpec, options: RunOptions | None = None, stand_ins: StandIns | None = None
) -> dict[str, Any]:
    """Do what `run` does, inside the caller's event loop.

    Cancelled, it ends at once; the rows in flight are sent again by the next start.
    """
    options, stand_ins = options or RunOptions(), stand_ins or StandIns()
    ready = make_ready(job, options.overrides)
    with open_store(ready.spec) as store:
        return await _start(ready, store, options, stand_ins)


async def _start(ready: ReadyJob, store: Store, options: RunOptions, stand_ins: StandIns) -> dict[str, Any]:
    source = stand_ins.source
    if source is None:
        scanned = partial(ready.scan_input, store, fresh=options.fresh)
        source = await _in_thread(scanned)
    await _in_thread(store.make)
    try:
        async with _held(store) as held:
            if options.fresh:
                await anyio.to_thread.run_sync(store.move_aside)
                await anyio.to_thread.run_sync(store.make)
            clock = stand_ins.clock or Clock()
            ground = Ground(ready, source, clock, Tally(clock.now_s()))
            ending = Ending(signals=options.signals, deadline_s=ready.spec.limits.deadline)
            return await _Run(ground, store, held, ending, options).run(stand_ins.transport)
    except OSError as error:
        raise StorageError(f"{store.name}: {error.strerror or error}: {error.filename or ''}") from error


@asynccontextmanager
async def _held(store: Store) -> AsyncIterator[Hold]:
    """Hold the lock of an output; on a network that may mean to wait for one that is about to lapse."""
    lock = store.hold()
    held = await _in_thread(lock.__enter__)
    try:
        yield held
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lock.__exit__, None, None, None)


def verify(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> list[str]:
    """Return what is wrong with a job's output, a line each; nothing means that every row has its one result.

    Raises JobError or InputError if the job itself is wrong.
    """
    ready = make_ready(job, overrides)
    with open_store(ready.spec) as store:
        source = ready.scan_input(store)
        allows = MaxFailed(ready.spec.limits.max_failed).allows
        lines = verify_output(store, source, ready.rows_wanted(source), ready.spec.input.id, allows)
        return [*lines, *_sink_lines(ready.spec, store)]


def _sink_lines(spec: JobSpec, store: Store) -> list[str]:
    """Return a line for each sink that is behind."""
    if not spec.sink or not store.exists(MANIFEST):
        return []
    try:
        return lag_lines(spec.sink, FinishedParts(store, read_manifest(store).run_id))
    except (StorageError, OSError) as error:
        return [f"the sinks were not compared with the parts: {error}"]


class _Run:
    """One start of a run over a folder that it holds the lock of."""

    def __init__(self, ground: Ground, store: Store, held: Hold, ending: Ending, options: RunOptions) -> None:
        self._ground = ground
        self._store = store
        self._held = held
        self._ending = ending
        self._options = options
        self._cpu_began_s = time.process_time()
        for warning in ground.ready.warnings:
            ground.tally.note_once(warning)

    async def run(self, transport: Transport | None) -> dict[str, Any]:
        new = not self._store.exists(MANIFEST)
        opening = partial(open_output, accept_changes=self._options.accept_input_changes)
        output = await anyio.to_thread.run_sync(opening, self._ground, self._store, self._options.again)
        tally, clock, spec = self._ground.tally, self._ground.clock, self._ground.ready.spec
        deliveries = open_deliveries(spec, self._store, output.target.run_id, clock, tally.note_once)
        try:
            if output.finished:
                await in_step(deliveries, self._store)
                return await anyio.to_thread.run_sync(self._end, output, None, deliveries, None)
            self._store.remove(SUCCESS)  # a part may have gone since it was written
            opened = nullcontext(transport) if transport is not None else open_transport(self._ground.ready)
            async with opened as carrier:
                gate, pipeline = assemble(self._ground, output, carrier)
                watch = partial(self._watch, Progress(gate, output, tally, clock), gate)
                work = Delivering(pipeline, gate, deliveries, clock, spec.limits.drain)
                stopped = await run_locally(work, gate, clock, self._ending, watch)
            return await anyio.to_thread.run_sync(self._end, output, gate, deliveries, stopped)
        except AccessError:
            if new and output.totals.rows == 0:  # nothing was sent: the folder must not be bound to this job yet
                self._store.remove(MANIFEST)
            raise
        finally:
            deliveries.close()
            output.close()

    async def _watch(self, progress: Progress, gate: Gate) -> None:
        """Show progress, and end the run when its output is another run's: this machine may have slept."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(progress.watch, self._options.screen)
            while self._held.lost is None:
                await self._ground.clock.sleep(LOOK_AT_LOCK_S)
            gate.close(LockedError(self._held.lost))

    def _end(
        self, output: Output, gate: Gate | None, deliveries: Deliveries, stopped: BatchrunError | None
    ) -> dict[str, Any]:
        """Write the summary, the last status, and _SUCCESS last of all where it is due."""
        ground, store = self._ground, self._store
        lags = deliveries.lags()
        verdict = _verdict(ground.ready, output, stopped, lags)
        try:
            self._held.renew()
        except LockedError as error:
            verdict = Verdict(error.exit_code, str(error))
        ours = self._held.lost is None
        if ours and verdict.exit_code != 0:
            store.remove(SUCCESS)
        ground.tally.end(ground.clock.now_s(), cpu_s=time.process_time() - self._cpu_began_s)
        pools = gate.admissions.router.pools.values() if gate is not None else ()
        if gate is not None and (shared := gate.admissions.sharing.note()):
            ground.tally.note_once(shared)
        summary = run_summary(verdict, output, ground.tally, pools, _allowed(ground.ready, gate))
        if lags:
            summary["sinks"] = [lag.record() for lag in lags]
        if not ours:
            return summary
        if gate is not None or not store.exists(SUMMARY):  # a start that sent nothing has nothing to tell
            self._write_summary(summary, verdict)
        progress = Progress(gate, output, ground.tally, ground.clock)
        progress.write(progress.snapshot("finished" if output.finished else "stopped"))
        if verdict.exit_code == 0:
            store.write(SUCCESS, as_json({"rows": output.totals.rows, "run_id": output.target.run_id}))
        return summary

    def _write_summary(self, summary: Mapping[str, Any], verdict: Verdict) -> None:
        try:
            self._store.write(SUMMARY, as_json(summary))
        except (OSError, StorageError):
            if verdict.exit_code != StorageError.exit_code:  # else what ended the run says more, and is told
                raise


def _allowed(ready: ReadyJob, gate: Gate | None) -> Allowed:
    learning = gate.admissions.budgets.max_tokens if gate is not None else None
    learnt = learning.learnt if learning is not None else None
    return Allowed(ready.longest_answer, ready.output_burndown, not ready.learns_max_tokens, learnt)


def _verdict(ready: ReadyJob, output: Output, stopped: BatchrunError | None, lags: Sequence[Lag]) -> Verdict:
    if not output.finished:
        if stopped is not None:
            return Verdict(stopped.exit_code, str(stopped))
        limit, taken_on = ready.spec.limits.rows, output.ranges.rows
        if limit is None:
            return Verdict(4, "ranges without a part remain")
        return Verdict(3, f"limits.rows = {limit} is reached; an earlier start took on {taken_on} rows: run without it")
    if behind := [line for lag in lags if (line := lag.line())]:
        why = str(stopped) if stopped is not None else "every row has its result"
        return Verdict(3 if stopped is not None else 4, f"{why}; {'; '.join(behind)}")
    rows, ok = output.totals.rows, output.totals.by_status.get("ok", 0)
    most = ready.spec.limits.max_failed
    if MaxFailed(most).allows(rows - ok, rows):
        return Verdict(0, "finished")
    return Verdict(1, f"finished, but {rows - ok} of {rows} rows are not ok, above limits.max_failed = {most:g}")
