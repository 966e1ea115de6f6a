"""Start: one start of a run, from the lock on its output to the end of its rows."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TextIO

import anyio

from batchrun.assembly import Ground, assemble, open_output
from batchrun.bedrock.transport import Transport
from batchrun.clock import Clock
from batchrun.delivering import Delivering, in_step, open_deliveries
from batchrun.engines.local import Ending, run_locally
from batchrun.errors import AccessError, LockedError, StorageError
from batchrun.forecast.estimates import too_long
from batchrun.forecast.hindsight import earlier_forecast
from batchrun.forecast.probe import probe_spans
from batchrun.holding import holding
from batchrun.lanes.gate import Gate
from batchrun.leaving import Ended, Leaving
from batchrun.readyjob import ReadyJob
from batchrun.recall import known_answers
from batchrun.records import Status
from batchrun.screen.progress import Progress, say
from batchrun.screen.tally import Tally
from batchrun.storage.files import why
from batchrun.storage.known_answers import KnownAnswers
from batchrun.storage.output import Output
from batchrun.storage.source import Source
from batchrun.storage.store import MANIFEST, SUCCESS, Hold, Store
from batchrun.transports import open_transports

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


async def start(ready: ReadyJob, store: Store, options: RunOptions, stand_ins: StandIns) -> dict[str, Any]:
    """Hold the lock of a job's output and take its rows to their end; return what `batchrun run --json` prints.

    Raises InputError, AccessError, StorageError or LockedError if the run cannot start.
    """
    scan = partial(ready.scan_input, store, fresh=options.fresh)
    before = await _in_thread(_manifest_of, store)
    # Before the lock, so that a wrong input leaves no folder behind.
    source = stand_ins.source if stand_ins.source is not None else await _in_thread(scan)
    await _in_thread(store.make)
    try:
        async with holding(store) as held:
            if stand_ins.source is None and await _in_thread(_manifest_of, store) != before:
                source = await _in_thread(scan)  # another run has come and gone, and has fixed the order of the files
            if options.fresh:
                await anyio.to_thread.run_sync(store.move_aside)
                await anyio.to_thread.run_sync(store.make)
            clock = stand_ins.clock or Clock()
            ground = Ground(ready, source, clock, Tally(clock.now_s()))
            ending = Ending(signals=options.signals, deadline_s=ready.spec.limits.deadline)
            return await _Start(ground, store, held, ending, options).run(stand_ins.transport)
    except OSError as error:
        raise StorageError(f"{store.name}: {why(error)}: {error.filename or ''}") from error


def _manifest_of(store: Store) -> bytes | None:
    return store.read(MANIFEST) if store.exists(MANIFEST) else None


class _Start:
    """One start over an output that it holds the lock of."""

    def __init__(self, ground: Ground, store: Store, held: Hold, ending: Ending, options: RunOptions) -> None:
        self._ground = ground
        self._store = store
        self._held = held
        self._ending = ending
        self._options = options
        self._leaving = Leaving(ground, store, held)
        for warning in ground.ready.warnings:
            ground.tally.note_once(warning)

    async def run(self, transport: Transport | None) -> dict[str, Any]:
        new = not self._store.exists(MANIFEST)
        tally, clock, spec = self._ground.tally, self._ground.clock, self._ground.ready.spec
        with ExitStack() as opened:
            opening = partial(open_output, accept_changes=self._options.accept_input_changes)
            output = await anyio.to_thread.run_sync(opening, self._ground, self._store, self._options.again)
            opened.callback(output.close)
            forecast = await anyio.to_thread.run_sync(earlier_forecast, self._store)
            deliveries = open_deliveries(spec, self._store, output.target.run_id, clock, tally.note_once)
            opened.callback(deliveries.close)
            ended = Ended(output, deliveries, forecast)
            try:
                if output.finished:
                    await in_step(deliveries, self._store)
                else:
                    ended = await self._send(ended, transport, opened)
                return await anyio.to_thread.run_sync(self._leaving.leave, ended)
            except AccessError:
                if new and output.totals.rows == 0:  # nothing was sent: the folder must not be bound to this job yet
                    self._store.remove(MANIFEST)
                raise

    async def _send(self, ended: Ended, transport: Transport | None, opened: ExitStack) -> Ended:
        """Send the rows that are left, and return how far that came."""
        output, rows = ended.output, self._ground.ready.rows_wanted(self._ground.source)
        tally, clock, screen = self._ground.tally, self._ground.clock, self._options.screen
        self._store.remove(SUCCESS)  # a part may have gone since it was written
        async with self._transports(transport) as transports:
            known = await self._known_answers(output)
            if known is not None:
                opened.callback(known.close)
            spans = probe_spans(output, rows, self._options.probe) if self._options.probe else None
            gate, pipeline = assemble(self._ground, output, transports, known, spans)
            if long := too_long(self._ground.ready, rows - output.totals.rows):
                tally.note_once(long)
                say(screen, f"batchrun: {long}")
            watch = partial(self._watch, Progress(gate, output, tally, clock), gate)
            work = Delivering(pipeline, gate, ended.deliveries, clock, self._ground.ready.spec.limits.drain)
            stopped = await run_locally(work, gate, clock, self._ending, watch)
        return replace(ended, gate=gate, spans=spans, stopped=stopped)

    def _transports(self, stand_in: Transport | None) -> AbstractAsyncContextManager[Mapping[str, Transport]]:
        if stand_in is None:
            return open_transports(self._ground.ready)
        return nullcontext({lane.access: stand_in for lane in self._ground.ready.lanes})

    async def _known_answers(self, output: Output) -> KnownAnswers | None:
        """Return what rows that ask the same are answered with, None where each is to be sent."""
        ready = self._ground.ready
        if not ready.spec.dedupe:
            return None
        screen = self._options.screen
        return await _in_thread(
            known_answers, ready, self._ground.source, output, lambda line: say(screen, f"batchrun: {line}")
        )

    async def _watch(self, progress: Progress, gate: Gate) -> None:
        """Show progress, and end the run when its output is another run's: this machine may have slept."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(progress.watch, self._options.screen)
            while self._held.lost is None:
                await self._ground.clock.sleep(LOOK_AT_LOCK_S)
            gate.close(LockedError(self._held.lost))
