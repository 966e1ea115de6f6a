"""run, arun and verify: a job from its file to its end, and the proof of what it left."""

import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import anyio

from batchrun.assembly import Ground, assemble, open_output, open_transport
from batchrun.bedrock.transport import Transport
from batchrun.clock import Clock
from batchrun.engines.local import Ending, run_locally
from batchrun.errors import AccessError, BatchrunError, StorageError
from batchrun.jobspec import JobSpec
from batchrun.lanes.gate import Gate
from batchrun.readyjob import ReadyJob, make_ready
from batchrun.runaway import MaxFailed
from batchrun.screen.answers import Allowed
from batchrun.screen.progress import Progress
from batchrun.screen.summary import Verdict, run_summary
from batchrun.screen.tally import Tally
from batchrun.storage.files import write_json
from batchrun.storage.folder import Folder
from batchrun.storage.lock import FolderLock
from batchrun.storage.output import Output
from batchrun.storage.source import Source
from batchrun.storage.verify import verify as verify_output


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a start of a run adds to its job file.

    `overrides` are `--set` arguments; `screen` is where progress goes, None for nowhere. `signals` makes SIGINT,
    SIGTERM and SIGHUP end the run in order, in the main thread only; `run` switches it on, `arun` leaves it to its
    caller.
    """

    overrides: Sequence[str] = ()
    fresh: bool = False
    screen: TextIO | None = None
    signals: bool = False


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
    folder = Folder(ready.spec.output.path)
    source = stand_ins.source
    if source is None:
        scanned = partial(ready.scan_input, folder, fresh=options.fresh)
        source = await anyio.to_thread.run_sync(scanned, abandon_on_cancel=True)
    folder.make()
    try:
        with FolderLock(folder.lock):
            if options.fresh:
                folder.move_aside()
                folder.make()
            clock = stand_ins.clock or Clock()
            ground = Ground(ready, source, clock, Tally(clock.now_s()))
            ending = Ending(signals=options.signals, deadline_s=ready.spec.limits.deadline)
            return await _Run(ground, folder, ending, options.screen).run(stand_ins.transport)
    except OSError as error:
        raise StorageError(f"{folder.path}: {error.strerror or error}: {error.filename or ''}") from error


def verify(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> list[str]:
    """Return what is wrong with a job's output, a line each; nothing means that every row has its one result.

    Raises JobError or InputError if the job itself is wrong.
    """
    ready = make_ready(job, overrides)
    folder = Folder(ready.spec.output.path)
    source = ready.scan_input(folder)
    allows = MaxFailed(ready.spec.limits.max_failed).allows
    return verify_output(folder, source, ready.rows_wanted(source), ready.spec.input.id, allows)


class _Run:
    """One start of a run over a folder that it holds the lock of."""

    def __init__(self, ground: Ground, folder: Folder, ending: Ending, screen: TextIO | None) -> None:
        self._ground = ground
        self._folder = folder
        self._ending = ending
        self._screen = screen
        self._cpu_began_s = time.process_time()
        for warning in ground.ready.warnings:
            ground.tally.note_once(warning)

    async def run(self, transport: Transport | None) -> dict[str, Any]:
        new = not self._folder.manifest.exists()
        output = open_output(self._ground, self._folder)
        try:
            if output.finished:
                return self._end(output, None, None)
            self._folder.success.unlink(missing_ok=True)  # a part may have gone since it was written
            opened = nullcontext(transport) if transport is not None else open_transport(self._ground.ready)
            async with opened as carrier:
                gate, pipeline = assemble(self._ground, output, carrier)
                progress = Progress(gate, output, self._ground.tally, self._ground.clock, self._folder.status)
                watch = partial(progress.watch, self._screen)
                stopped = await run_locally(pipeline, gate, self._ground.clock, self._ending, watch)
            return self._end(output, gate, stopped)
        except AccessError:
            if new and output.totals.rows == 0:  # nothing was sent: the folder must not be bound to this job yet
                self._folder.manifest.unlink()
            raise
        finally:
            output.close()

    def _end(self, output: Output, gate: Gate | None, stopped: BatchrunError | None) -> dict[str, Any]:
        """Write the summary, the last status, and _SUCCESS last of all where it is due."""
        ground, folder = self._ground, self._folder
        verdict = _verdict(ground.ready, output, stopped)
        if verdict.exit_code != 0:
            folder.success.unlink(missing_ok=True)
        ground.tally.end(ground.clock.now_s(), cpu_s=time.process_time() - self._cpu_began_s)
        pools = gate.admissions.router.pools.values() if gate is not None else ()
        if gate is not None and (shared := gate.admissions.sharing.note()):
            ground.tally.note_once(shared)
        summary = run_summary(verdict, output, ground.tally, pools, _allowed(ground.ready, gate))
        if gate is not None or not folder.summary.exists():  # a start that sent nothing has nothing to tell
            write_json(folder.summary, summary)
        progress = Progress(gate, output, ground.tally, ground.clock, folder.status)
        progress.write(progress.snapshot("finished" if output.finished else "stopped"))
        if verdict.exit_code == 0:
            write_json(folder.success, {"rows": output.totals.rows, "run_id": output.target.run_id})
        return summary


def _allowed(ready: ReadyJob, gate: Gate | None) -> Allowed:
    learning = gate.admissions.budgets.max_tokens if gate is not None else None
    learnt = learning.learnt if learning is not None else None
    return Allowed(ready.longest_answer, ready.card.output_burndown, not ready.learns_max_tokens, learnt)


def _verdict(ready: ReadyJob, output: Output, stopped: BatchrunError | None) -> Verdict:
    if not output.finished:
        if stopped is not None:
            return Verdict(stopped.exit_code, str(stopped))
        limit, taken_on = ready.spec.limits.rows, output.ranges.rows
        if limit is None:
            return Verdict(4, "ranges without a part remain")
        return Verdict(3, f"limits.rows = {limit} is reached; an earlier start took on {taken_on} rows: run without it")
    rows, ok = output.totals.rows, output.totals.by_status.get("ok", 0)
    most = ready.spec.limits.max_failed
    if MaxFailed(most).allows(rows - ok, rows):
        return Verdict(0, "finished")
    return Verdict(1, f"finished, but {rows - ok} of {rows} rows are not ok, above limits.max_failed = {most:g}")
