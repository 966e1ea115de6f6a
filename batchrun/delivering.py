"""A pipeline with the deliveries of its sinks beside it: they end after it, and a signal ends both."""

import json
from collections.abc import Callable, Sequence

import anyio

from batchrun.clock import Clock
from batchrun.errors import BatchrunError
from batchrun.jobspec import JobSpec
from batchrun.lanes.gate import Gate
from batchrun.pipeline import Pipeline
from batchrun.sinks.deliveries import Deliveries
from batchrun.sinks.delivery import Delivery, Lag
from batchrun.sinks.part import FinishedParts
from batchrun.storage.files import as_json
from batchrun.storage.store import SUCCESS, Store


def open_deliveries(spec: JobSpec, store: Store, run_id: str, clock: Clock, note: Callable[[str], None]) -> Deliveries:
    """Return the deliveries of a job's sinks, perhaps none; nothing is connected yet."""
    parts = FinishedParts(store, run_id)
    return Deliveries([Delivery(table, parts) for table in spec.sink], clock, note)


async def in_step(deliveries: Deliveries, store: Store) -> None:
    """Deliver what the sinks of a finished output lack; _SUCCESS goes first, where it is not true any more."""
    lags = await deliveries.ask()
    if any(lag.outstanding for lag in lags):
        if not still_holds(store, lags):
            store.remove(SUCCESS)
        deliveries.finish()
        await deliveries.run()


def success(rows: int, run_id: str, lags: Sequence[Lag]) -> bytes:
    """Return what _SUCCESS says: how many rows have their result, and which sinks have said that they hold them."""
    return as_json({"rows": rows, "run_id": run_id, "sinks": [lag.label for lag in lags]})


def still_holds(store: Store, lags: Sequence[Lag]) -> bool:
    """Tell whether _SUCCESS stands and nothing contradicts it: a sink that cannot be asked held everything then."""
    if any(lag.is_behind for lag in lags):
        return False
    try:
        told = json.loads(store.read(SUCCESS))
        return all(lag.label in told["sinks"] for lag in lags if lag.outstanding)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False  # an older batchrun named no sinks


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
