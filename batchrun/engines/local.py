"""The local engine: one pipeline in this process, ended in order by signals and by the deadline."""

import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import anyio

from batchrun.clock import Clock
from batchrun.errors import BatchrunError, RunStopped
from batchrun.lanes.gate import Gate
from batchrun.signals import ENDING, heeded

# GNU timeout signals a process and then its group, a terminal that closes does it twice too: that is one signal.
ONE_SIGNAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Ending:
    """What may end a run from outside."""

    signals: bool  # only the main thread of a process may listen
    deadline_s: float | None


class Work(Protocol):
    """A pipeline, or one with something beside it."""

    async def run(self) -> BatchrunError | None:
        """Run to the end; return why it stopped early, None if it did not."""

    def hurry(self) -> None:
        """Stop at once."""


async def run_locally(
    pipeline: Work, gate: Gate, clock: Clock, ending: Ending, watch: Callable[[], Coroutine[Any, Any, None]]
) -> BatchrunError | None:
    """Run a pipeline; `watch` runs beside it. Return why it stopped early, None if it did not."""
    before = {one: signal.getsignal(one) for one in ENDING}
    try:
        return await _run(pipeline, gate, clock, ending, watch)
    except BaseExceptionGroup as group:
        raise _first_cause(group) from group
    finally:
        if ending.signals:  # the loop leaves them at the system's default, which would end the process without a word
            for one, handler in before.items():
                signal.signal(one, handler)


async def _run(
    pipeline: Work, gate: Gate, clock: Clock, ending: Ending, watch: Callable[[], Coroutine[Any, Any, None]]
) -> BatchrunError | None:
    async with AsyncExitStack() as stack, anyio.create_task_group() as beside:
        if ending.signals:
            received = stack.enter_context(anyio.open_signal_receiver(*heeded()))
            beside.start_soon(_end_on_signals, received, pipeline, gate, clock)
        if ending.deadline_s is not None:
            beside.start_soon(_end_at_deadline, clock, ending.deadline_s, gate)
        beside.start_soon(watch)
        stopped = await pipeline.run()
        beside.cancel_scope.cancel()
    return stopped


def _first_cause(group: BaseExceptionGroup) -> BaseException:
    """Return the first error of nested task groups: one cause is what a person can act on."""
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, BaseExceptionGroup) else first


async def _end_on_signals(received: AsyncIterator[signal.Signals], pipeline: Work, gate: Gate, clock: Clock) -> None:
    first_s: float | None = None
    async for one in received:
        if first_s is not None:
            if clock.now_s() >= first_s + ONE_SIGNAL_S:
                pipeline.hurry()
        else:
            first_s = clock.now_s()
            gate.close(RunStopped(f"{one.name}: no more calls were sent, those in flight were given time to end"))


async def _end_at_deadline(clock: Clock, deadline_s: float, gate: Gate) -> None:
    await clock.sleep(deadline_s)
    gate.close(RunStopped(f"limits.deadline: {deadline_s:g} s are over"))
