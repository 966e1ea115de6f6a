"""The engine on one screen: read, admit, send, settle, record; with back-pressure, and an orderly end."""

from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from batchrun.backlog import Backlog, InputRow
from batchrun.clock import Clock
from batchrun.copying import Copying
from batchrun.dedupe import Dedupe, Sender
from batchrun.errors import BatchrunError, LockedError, RunStopped, StorageError
from batchrun.lanes.flight import REFRESH_S
from batchrun.lanes.gate import Gate, GateClosedError
from batchrun.lanes.trial import Trial
from batchrun.outcomes import unrendered
from batchrun.places import Places
from batchrun.records import Outcome, Request
from batchrun.render import Renderer, RowError
from batchrun.requesting import Requests
from batchrun.runaway import LOOK_EVERY_S, RunAway
from batchrun.screen.tally import Tally
from batchrun.storage.output import Output
from batchrun.storage.ranges import Range
from batchrun.syncing import Syncing

IMAGE_READERS = 8  # rows whose images are read at once, beyond the bytes that are live; a guess
SPARE_WORKERS = 8  # rows rendered and waiting at the gate, so that an opening lane never waits for a template


@dataclass(frozen=True, slots=True)
class Stations:
    """The parts of a run, in the order in which a row meets them."""

    backlog: Backlog
    renderer: Renderer
    requests: Requests
    gate: Gate
    dispatch: Sender
    output: Output
    tally: Tally
    runaway: RunAway
    syncing: Syncing
    copying: Copying
    clock: Clock
    drain_s: float
    dedupe: Dedupe | None = None  # then it is the dispatch too


class Pipeline:
    """Takes every row of the backlog to an outcome in the output, or stops early and leaves a folder to go on from."""

    def __init__(self, stations: Stations) -> None:
        self._at = stations
        self._workers = 0
        self._idle = 0
        self._exhausted = False
        self._places = Places(stations.gate)
        self._readers = anyio.CapacityLimiter(IMAGE_READERS)
        self._rows: TaskGroup | None = None
        self._parts: TaskGroup | None = None
        self._complete, self._to_write = anyio.create_memory_object_stream[Range](float("inf"))

    async def run(self) -> BatchrunError | None:
        """Run to the end; return why it stopped early, None if every row has its outcome and every range its part."""
        self._at.output.when_complete(self._complete.send_nowait)
        with self._to_write, self._complete, self._at.backlog:
            if exceeded := self._at.runaway.exceeded(self._at.output.not_ok):
                return RunStopped(exceeded)
            async with anyio.create_task_group() as side:
                gate = self._at.gate
                for task in (
                    gate.keep_time,
                    self._at.syncing.keep,
                    self._at.copying.keep,
                    self._keep_staffed,
                    self._end_once_closed,
                    self._stop_if_nothing_ends,
                ):
                    side.start_soon(task)
                async with anyio.create_task_group() as parts:
                    self._parts = parts
                    parts.start_soon(self._write_parts)
                    with self._complete:
                        async with anyio.create_task_group() as rows:
                            self._rows = rows
                            rows.start_soon(self._read)
                            rows.start_soon(self._work)
                side.cancel_scope.cancel()
            await self._at.syncing.finish()
            await self._at.copying.copy()
        return self._at.gate.closed_by

    def hurry(self) -> None:
        """Stop at once: cancel the calls in flight and the parts to write. The next start sends and writes them."""
        self._at.gate.close()
        self._at.output.target.store.hurry()
        cut_off = f"stopped at once: {self._at.gate.admissions.in_flight} calls in flight were cut off"
        if self._at.gate.closed_by is None or isinstance(self._at.gate.closed_by, RunStopped):  # else a cause to act on
            self._at.gate.closed_by = RunStopped(f"{cut_off}; their rows are sent again and may be paid twice")
        self._cut_off_rows()
        if self._parts is not None:
            self._parts.cancel_scope.cancel()

    async def _read(self) -> None:
        try:
            await self._at.backlog.read()
        except (BatchrunError, OSError) as error:
            self._at.gate.close(error if isinstance(error, BatchrunError) else StorageError(str(error)))

    async def _work(self) -> None:
        """Take rows to outcomes, one after the other; a row that fails goes on in a task of its own."""
        self._workers += 1
        while True:
            await self._places.take()
            self._idle += 1
            try:
                row = await self._at.backlog.next()
            finally:
                self._idle -= 1
            if row is None or self._at.gate.closed.is_set():
                self._exhausted = True
                self._places.leave()
                return
            self._start_another_if_all_busy()
            request = await self._request(row)
            if request is None:
                self._places.leave()
            else:
                await self._attempt(request)

    async def _request(self, row: InputRow) -> Request | None:
        renderer = self._at.renderer
        try:
            if isinstance(row.cells, str):
                raise RowError(row.cells)
            if renderer.pictures is None:
                return self._at.requests.request(row.row, renderer.prompt(row.cells))
            async with self._readers:
                await self._places.wait_for_bytes()
                images = await anyio.to_thread.run_sync(renderer.images, row.cells, abandon_on_cancel=True)
            return self._at.requests.request(row.row, renderer.prompt(row.cells, images))
        except StorageError as error:  # the row was not sent; the next start takes it
            self._at.gate.close(error)
            return None
        except RowError as error:
            self._record(unrendered(row.row, str(error), self._at.clock, self._at.output.spent(row.row)))
            return None

    async def _attempt(self, request: Request) -> None:
        self._places.hold(request.size_bytes)
        trial = Trial(request, self._at.output.spent(request.row))
        goes_on = False
        try:
            outcome = await self._at.dispatch.attempt(trial)
            if outcome is not None:
                self._answered(trial, outcome)
                await self._at.syncing.settled()
            elif self._rows is not None:
                goes_on = True
                self._rows.start_soon(self._until_outcome, trial, request.size_bytes)
        except GateClosedError:
            pass  # the row was not sent; the next start takes it
        finally:
            if not goes_on:
                self._places.leave(request.size_bytes)

    async def _until_outcome(self, trial: Trial, live_bytes: int) -> None:
        try:
            self._answered(trial, await self._at.dispatch.until_outcome(trial))
            await self._at.syncing.settled()
        except GateClosedError:
            pass
        finally:
            self._places.leave(live_bytes)

    def _answered(self, trial: Trial, outcome: Outcome) -> None:
        usage = outcome.usage
        if outcome.stop_reason is not None:
            counted = usage.input + usage.cache_read + usage.cache_write
            self._at.requests.learn(trial.request, counted)
            self._at.tally.input_errors.add(trial.request.input_tokens, counted)
        self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        try:
            self._at.output.record(outcome)
            if self._at.dedupe is not None:
                self._at.dedupe.recorded(outcome)
        except OSError as error:
            self._at.gate.close(StorageError(f"the write-ahead log cannot be written: {error}"))
            return
        except StorageError as error:
            self._at.gate.close(error)
        self._at.tally.recorded(outcome)
        reason = self._at.runaway.judge(outcome, self._at.output.not_ok, self._at.clock.now_s())
        if reason is not None:
            self._at.gate.close(RunStopped(reason))

    async def _write_parts(self) -> None:
        async for of in self._to_write:
            try:
                if self._at.dedupe is not None:
                    self._at.dedupe.range_is_whole(of)
                await anyio.to_thread.run_sync(self._at.output.write_part, of)
            except (OSError, StorageError) as error:
                self._at.gate.close(StorageError(f"{of.part_name} cannot be written: {error}"))
                return
            except LockedError as error:
                self._at.gate.close(error)
                return
            self._at.backlog.range_closed()

    async def _end_once_closed(self) -> None:
        """After the gate has closed, give the calls in flight their time and cancel what is left."""
        await self._at.gate.closed.wait()
        self._at.backlog.stop()
        self._places.open_all()
        await self._at.clock.sleep(self._at.drain_s)
        self._cut_off_rows()

    def _cut_off_rows(self) -> None:
        self._exhausted = True  # the group takes no more workers, while a part may still be written
        if self._rows is not None:
            self._rows.cancel_scope.cancel()

    async def _stop_if_nothing_ends(self) -> None:
        while True:
            await self._at.clock.sleep(LOOK_EVERY_S)
            reason = self._at.runaway.stalled(self._at.clock.now_s())
            if reason is not None:
                last = self._at.tally.last_fault
                failed = f"; the last call that failed: {last.code}: {last.message}" if last is not None else ""
                self._at.gate.close(RunStopped(reason + failed))

    async def _keep_staffed(self) -> None:
        """Start workers as the bound on calls grows, also while the first answers are still out."""
        while not self._exhausted:
            await self._at.clock.sleep(REFRESH_S)
            if self._places.rows and not self._exhausted:  # somebody works, so the group of workers is open
                self._start_another_if_all_busy()

    def _start_another_if_all_busy(self) -> None:
        if self._idle == 0 and self._rows is not None and self._workers < self._at.gate.limit() + SPARE_WORKERS:
            self._rows.start_soon(self._work)
