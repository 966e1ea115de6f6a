"""A pipeline with the deliveries of its sinks beside it: they end after it, and a signal ends both."""

from collections.abc import Callable

import anyio

from batchrun.clock import Clock
from batchrun.errors import BatchrunError
from batchrun.jobspec import JobSpec
from batchrun.lanes.gate import Gate
from batchrun.pipeline import Pipeline
from batchrun.sinks.deliveries import Deliveries
from batchrun.sinks.delivery import Delivery
from batchrun.sinks.part import FinishedParts
from batchrun.storage.store import SUCCESS, Store


def open_deliveries(spec: JobSpec, store: Store, run_id: str, clock: Clock, note: Callable[[str], None]) -> Deliveries:
    """Return the deliveries of a job's sinks, perhaps none; nothing is connected yet."""
    parts = FinishedParts(store, run_id)
    return Deliveries([Delivery(table, parts) for table in spec.sink], clock, note)


async def in_step(deliveries: Deliveries, store: Store) -> None:
    """Deliver what the sinks of a finished output lack; _SUCCESS goes first, since it says that all is done."""
    if any(lag.outstanding for lag in await deliveries.ask()):
        store.remove(SUCCESS)
        deliveries.finish()
        await deliveries.run()


class Delivering:
    """Runs like a pipeline; once all rows are done, sinks that are behind have their last tries."""

    def __init__(self, pipeline: Pipeline, gate: Gate, deliveries: Deliveries, clock: Clock, drain_s: float) -> None:
        self._pipeline = pipeline
        self._gate = gate
        self._deliveries = deliveries
        self._clock = clock
        self._drain_s = drain_s

    async def run(self) -> BatchrunError | None:
        """Run to the end; return why it stopped early, None if it did not."""
        async with anyio.create_task_group() as side:
            side.start_soon(self._end_once_closed)
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._deliveries.run)
                stopped = await self._pipeline.run()
                if stopped is None:
                    self._deliveries.finish()
                else:
                    self._gate.close(stopped)  # where nothing has closed it yet: deliveries end as after a signal
            side.cancel_scope.cancel()
        return stopped if stopped is not None else self._gate.closed_by  # a deadline may come after the rows

    def hurry(self) -> None:
        """Stop at once."""
        self._pipeline.hurry()
        self._deliveries.abandon()

    async def _end_once_closed(self) -> None:
        """After a signal or any other early end, give the parts under way the time that calls in flight get."""
        await self._gate.closed.wait()
        self._deliveries.stop()
        await self._clock.sleep(self._drain_s)
        self._deliveries.abandon()
