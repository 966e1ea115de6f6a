"""run, arun, deliver and verify: a job from its file to its end, to its sinks, and the proof of what it left."""

import sys
import threading
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

import anyio

from batchrun.account.now import discover_now
from batchrun.assembly import Ground, assemble, open_output, open_transports
from batchrun.bedrock.transport import Transport
from batchrun.clock import Clock
from batchrun.delivering import Delivering, in_step, open_deliveries, still_holds, success
from batchrun.engines.local import Ending, run_locally
from batchrun.errors import AccessError, BatchrunError, HurriedError, LockedError, StorageError
from batchrun.estimates import too_long
from batchrun.hindsight import earlier_forecast, hindsight
from batchrun.jobspec import JobSpec
from batchrun.lanes.gate import Gate
from batchrun.probe import Span, probe_record, probe_spans
from batchrun.readyjob import ReadyJob, make_ready
from batchrun.recall import known_answers
from batchrun.records import Status
from batchrun.runaway import MaxFailed
from batchrun.screen.answers import Allowed
from batchrun.screen.progress import Progress, say
from batchrun.screen.summary import Verdict, run_summary
from batchrun.screen.tally import Tally
from batchrun.sinks.deliveries import Deliveries
from batchrun.sinks.delivery import Lag, lag_lines
from batchrun.sinks.part import FinishedParts
from batchrun.storage.files import as_json, why
from batchrun.storage.known_answers import KnownAnswers
from batchrun.storage.manifest import read_manifest
from batchrun.storage.opening import open_store
from batchrun.storage.output import Output
from batchrun.storage.source import Source
from batchrun.storage.store import MANIFEST, SUCCESS, SUMMARY, Hold, Store
from batchrun.storage.verify import verify as verify_output
from batchrun.verdict import probe_verdict, run_verdict

LOOK_AT_LOCK_S = 1.0

_in_thread = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)  # Ctrl-C does not wait for disks and stores


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a start of a run adds to its job file.

    `overrides` are `--set` arguments; `screen` is where progress goes, None for nowhere. `signals` makes SIGINT,
    SIGTERM and SIGHUP end the run in order, in the main thread only; `run` switches it on, `arun` leaves it to its
    caller. `again` are the statuses whose rows in a finished output are sent again.
    `probe` sends about so many rows, spread over the input, and no others.
    With `accept_input_changes` a changed or missing input file is no reason to stop: results that are there stay.
    """

    overrides: Sequence[str] = ()
    fresh: bool = False
    screen: TextIO | None = None
    signals: bool = False
    again: Collection[Status] = ()
    accept_input_changes: bool = False
    probe: int = 0


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
    ready = await _in_thread(partial(make_ready, job, options.overrides, discover_now))
    with open_store(ready.spec) as store:
        return await _start(ready, store, options, stand_ins)


async def _start(ready: ReadyJob, store: Store, options: RunOptions, stand_ins: StandIns) -> dict[str, Any]:
    scan = partial(ready.scan_input, store, fresh=options.fresh)
    before = await _in_thread(_manifest_of, store)
    # Before the lock, so that a wrong input leaves no folder behind.
    source = stand_ins.source if stand_ins.source is not None else await _in_thread(scan)
    await _in_thread(store.make)
    try:
        async with _held(store) as held:
            if stand_ins.source is None and await _in_thread(_manifest_of, store) != before:
                source = await _in_thread(scan)  # another run has come and gone, and has fixed the order of the files
            if options.fresh:
                await anyio.to_thread.run_sync(store.move_aside)
                await anyio.to_thread.run_sync(store.make)
            clock = stand_ins.clock or Clock()
            ground = Ground(ready, source, clock, Tally(clock.now_s()))
            ending = Ending(signals=options.signals, deadline_s=ready.spec.limits.deadline)
            return await _Run(ground, store, held, ending, options).run(stand_ins.transport)
    except OSError as error:
        raise StorageError(f"{store.name}: {why(error)}: {error.filename or ''}") from error


def _manifest_of(store: Store) -> bytes | None:
    return store.read(MANIFEST) if store.exists(MANIFEST) else None


@asynccontextmanager
async def _held(store: Store) -> AsyncIterator[Hold]:
    """Hold the lock of an output; on a network that may mean to wait for one that is about to lapse.

    Whoever is cancelled meanwhile leaves no lock behind: the thread that gets it gives it back.
    """
    lock, deciding = store.hold(), Lock()
    entered = abandoned = False

    def enter() -> Hold:
        nonlocal entered
        held = lock.__enter__()
        with deciding:
            entered = True
            if abandoned:
                lock.__exit__(None, None, None)
        return held

    try:
        held = await _in_thread(enter)
    except BaseException:
        with deciding:
            abandoned = True
            if entered:
                lock.__exit__(None, None, None)
        raise
    try:
        yield held
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lock.__exit__, *sys.exc_info())


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
        self._spans: Sequence[Span] | None = None  # what a probe may send
        self._forecast: dict[str, Any] | None = None  # of a probe before
        self._cpu_began_s = time.process_time()
        for warning in ground.ready.warnings:
            ground.tally.note_once(warning)

    async def run(self, transport: Transport | None) -> dict[str, Any]:
        new = not self._store.exists(MANIFEST)
        opening = partial(open_output, accept_changes=self._options.accept_input_changes)
        output = await anyio.to_thread.run_sync(opening, self._ground, self._store, self._options.again)
        self._forecast = await anyio.to_thread.run_sync(earlier_forecast, self._store)
        rows = self._ground.ready.rows_wanted(self._ground.source)
        tally, clock, spec = self._ground.tally, self._ground.clock, self._ground.ready.spec
        known: KnownAnswers | None = None
        deliveries = open_deliveries(spec, self._store, output.target.run_id, clock, tally.note_once)
        try:
            if output.finished:
                await in_step(deliveries, self._store)
                return await anyio.to_thread.run_sync(self._end, output, None, deliveries, None)
            self._store.remove(SUCCESS)  # a part may have gone since it was written
            async with self._transports(transport) as transports:
                known = await self._known_answers(output)
                self._spans = probe_spans(output, rows, self._options.probe) if self._options.probe else None
                gate, pipeline = assemble(self._ground, output, transports, known, self._spans)
                if long := too_long(self._ground.ready, rows - output.totals.rows):
                    tally.note_once(long)
                    say(self._options.screen, f"batchrun: {long}")
                watch = partial(self._watch, Progress(gate, output, tally, clock), gate)
                work = Delivering(pipeline, gate, deliveries, clock, spec.limits.drain)
                stopped = await run_locally(work, gate, clock, self._ending, watch)
            return await anyio.to_thread.run_sync(self._end, output, gate, deliveries, stopped)
        except AccessError:
            if new and output.totals.rows == 0:  # nothing was sent: the folder must not be bound to this job yet
                self._store.remove(MANIFEST)
            raise
        finally:
            if known is not None:
                known.close()
            deliveries.close()
            output.close()

    def _transports(self, stand_in: Transport | None) -> AbstractAsyncContextManager[Mapping[str, Transport]]:
        if stand_in is None:
            return open_transports(self._ground.ready)
        return nullcontext({lane.access: stand_in for lane in self._ground.ready.lanes})

    async def _known_answers(self, output: Output) -> KnownAnswers | None:
        """Return what rows that ask the same are answered with, None where each is to be sent."""
        ready = self._ground.ready
        if not ready.spec.dedupe:
            return None
        return await _in_thread(
            known_answers,
            ready,
            self._ground.source,
            output,
            lambda line: say(self._options.screen, f"batchrun: {line}"),
        )

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
        ready, lags = self._ground.ready, deliveries.lags()
        verdict, probed = run_verdict(ready, output, stopped, lags), None
        if self._spans is not None:
            probed = probe_record(ready, output, ready.rows_wanted(self._ground.source), self._spans)
            if not output.finished and stopped is None:
                verdict = probe_verdict(ready, probed)
        ours = True
        try:
            self._held.renew()
        except (LockedError, StorageError) as error:
            ours = False  # these are another run's files by now, or nobody can write them
            if isinstance(error, LockedError) or verdict.exit_code == 0:
                verdict = Verdict(error.exit_code, str(error))
        summary = self._summary(verdict, output, gate, probed)
        if lags:
            summary["sinks"] = [lag.record() for lag in lags]
        if ours:
            with suppress(HurriedError):
                self._leave(summary, verdict, output, gate, lags)
        return summary

    def _summary(
        self, verdict: Verdict, output: Output, gate: Gate | None, probed: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        ground = self._ground
        ground.tally.end(ground.clock.now_s(), cpu_s=time.process_time() - self._cpu_began_s)
        if gate is not None and (shared := gate.admissions.sharing.note()):
            ground.tally.note_once(shared)
        pools = gate.admissions.router.pools.values() if gate is not None else ()
        summary = run_summary(verdict, output, ground.tally, pools, _allowed(ground.ready, gate))
        forecast = self._forecast
        if probed is not None:
            summary["probe"] = probed
            if probed["forecast"] is not None and not output.finished:
                of_rows = probed["rows_left"] + output.totals.rows
                forecast = {"rows": probed["rows"], "of_rows": of_rows, **probed["forecast"]}
        summary["forecast"] = forecast
        if output.finished and gate is not None:
            summary["plan"] = hindsight(ground.ready, ground.source, output.totals, forecast)
        return summary

    def _leave(
        self,
        summary: Mapping[str, Any],
        verdict: Verdict,
        output: Output,
        gate: Gate | None,
        lags: Sequence[Lag],
    ) -> None:
        """Write what the run leaves behind."""
        store, succeeded = self._store, output.finished and verdict.exit_code == 0
        whole = run_verdict(self._ground.ready, output, None, lags=()).exit_code == 0
        # A disk that has turned read-only refuses to remove even what is not there.
        if not succeeded and store.exists(SUCCESS) and not (whole and still_holds(store, lags)):
            store.remove(SUCCESS)
        if gate is not None or not store.exists(SUMMARY):  # a start that sent nothing has nothing to tell
            self._write_summary(summary, verdict)
        progress = Progress(gate, output, self._ground.tally, self._ground.clock)
        progress.write(progress.snapshot("finished" if output.finished else "stopped"))
        if succeeded:
            if store.exists(SUCCESS):
                store.read(SUCCESS)  # what is replaced must be known: a late run's must not be
            store.write(SUCCESS, success(output.totals.rows, output.target.run_id, lags))

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
