"""Deliveries: every sink of a job is kept in step beside the run, and one that is down waits without holding it up."""

import math
from collections.abc import Callable, Sequence

import anyio

from batchrun.clock import Clock
from batchrun.errors import SinkError
from batchrun.sinks.delivery import Delivery, Lag

LOOK_EVERY_S = 2.0  # for parts that have appeared
FIRST_WAIT_S = 1.0  # after a failure, doubled with each further one
LONGEST_WAIT_S = 60.0
LAST_TRIES = 3  # failures in a row that end the deliveries once the run has nothing else to do
PATIENCE_S = 600.0  # then, without a part delivered: a sink that neither takes nor refuses one is given up on


class Deliveries:
    """The sinks of a job, each in a task of its own; what blocks runs in threads."""

    def __init__(self, sinks: Sequence[Delivery], clock: Clock, note: Callable[[str], None]) -> None:
        """Take the sinks; `note` is told once of each that fails."""
        self._sinks = sinks
        self._clock = clock
        self._note = note
        self._noted: set[str] = set()
        self._no_more = anyio.Event()
        self._stopped = False
        self._steps: set[anyio.CancelScope] = set()
        self._running: anyio.CancelScope | None = None

    async def run(self) -> None:
        """Deliver parts as they appear; end after `finish` or `stop`."""
        with anyio.CancelScope() as self._running:
            async with anyio.create_task_group() as group:
                for sink in self._sinks:
                    group.start_soon(self._keep_in_step, sink)

    def finish(self) -> None:
        """Say that no further parts will come: a sink ends when it is in step, or after its last tries."""
        self._no_more.set()
        for patience in self._steps:
            patience.deadline = self._patient_until_s()

    def stop(self) -> None:
        """End after the parts that are under way."""
        self._stopped = True
        self._no_more.set()

    def abandon(self) -> None:
        """End at once; parts under way go on in their threads, or are delivered again later."""
        self.stop()
        if self._running is not None:
            self._running.cancel()

    async def ask(self) -> list[Lag]:
        """Ask the sinks themselves how far they are behind; nothing is written."""
        for sink in self._sinks:
            with anyio.move_on_after(PATIENCE_S) as patience:
                await anyio.to_thread.run_sync(sink.ask, abandon_on_cancel=True)
            if patience.cancelled_caught:
                sink.error = f"said nothing in {PATIENCE_S:g} s"
        return self.lags()

    def lags(self) -> list[Lag]:
        """Return how far each sink is behind."""
        return [sink.lag() for sink in self._sinks]

    def close(self) -> None:
        """End all sessions."""
        for sink in self._sinks:
            sink.close()

    async def _keep_in_step(self, sink: Delivery) -> None:
        failures = 0
        while not self._stopped:
            ending = self._no_more.is_set()
            try:
                delivered = await self._step(sink)
                failures = 0
            except TimeoutError as error:
                self._note_once(sink, f"sink {sink.label}: {error}")
                return
            except SinkError as error:
                self._note_once(sink, str(error))
                failures += 1
                if ending and failures >= LAST_TRIES:
                    return
                await self._wait(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(failures - 1, 10)), ending=ending)
                if not ending and self._no_more.is_set():
                    failures = 0  # what failed during the run has its last tries before it
                continue
            if not delivered:
                if ending:
                    return
                await self._wait(LOOK_EVERY_S, ending=False)

    async def _step(self, sink: Delivery) -> bool:
        """Deliver a part in a thread.

        Raises SinkError, or TimeoutError if nothing else is waited for and nothing has come of it.
        """
        with anyio.CancelScope(deadline=self._patient_until_s()) as patience:
            self._steps.add(patience)
            try:
                return await anyio.to_thread.run_sync(sink.step, abandon_on_cancel=True)
            finally:
                self._steps.discard(patience)
        sink.error = f"took no part in {PATIENCE_S:g} s"
        raise TimeoutError(sink.error)

    def _patient_until_s(self) -> float:
        return anyio.current_time() + PATIENCE_S if self._no_more.is_set() else math.inf

    async def _wait(self, wait_s: float, *, ending: bool) -> None:
        """Wait; while parts may still come, the word that no more will come ends it."""
        if ending:
            await self._clock.sleep(wait_s)
            return
        with anyio.move_on_after(wait_s):
            await self._no_more.wait()

    def _note_once(self, sink: Delivery, error: str) -> None:
        if sink.label not in self._noted:
            self._noted.add(sink.label)
            self._note(f"{error}; it is tried again with growing waits, its parts wait in data/")
