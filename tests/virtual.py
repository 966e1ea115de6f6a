"""An event loop whose time jumps to the next timer, so that a run that waits for an hour ends at once.

While worker threads of anyio are busy it waits for them in earnest: what they do takes no virtual time. `alone` does in
the loop itself what would be done in threads: when a thread ends is up to the machine, so that only such a run is the
same every time.
"""

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, TypeVar
from unittest.mock import patch

import anyio
import anyio.lowlevel
from anyio.to_thread import current_default_thread_limiter

STARTS_AT_S = 5_000.0  # like a machine that is up for a while: code that takes 0 for a beginning shows itself
JUMPS_PER_LOOK = 100
LONGEST_S = 100_000.0  # more than a day; a test that waits for ever fails instead

Result = TypeVar("Result")


class VirtualTimeError(AssertionError):
    """A test waits for something that will never happen, or for longer than it should."""


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the clock where others would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = STARTS_AT_S
        self.limiter: anyio.CapacityLimiter | None = None
        self.alone = False
        self._jumps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, `timeout` [s] passes in no time."""
        threads = self.limiter is not None and self.limiter.borrowed_tokens
        if timeout == 0 and not threads:
            return []  # the loop has work at hand; signals are looked for before time passes
        self._jumps += 1
        # Without threads nothing becomes ready but signals; a system call per jump was a twentieth of a simulation.
        ready = [] if self.alone and timeout is not None and self._jumps % JUMPS_PER_LOOK else super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if threads:
            return super().select(None)  # a thread's end wakes the loop
        if timeout is None:
            raise VirtualTimeError("nothing will ever happen: no timer, no thread, nothing ready")
        # Rounding must not leave the clock a hair before the timer: the loop would call it due, the code would not.
        self.now_s = math.nextafter(math.nextafter(self.now_s + timeout, math.inf), math.inf)
        if self.now_s > STARTS_AT_S + LONGEST_S:
            raise VirtualTimeError(f"nothing has ended after {LONGEST_S:g} s of virtual time")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on its own time [s]."""

    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self.jumping.now_s


def run_virtual(function: Callable[..., Awaitable[Result]], *arguments: Any, alone: bool = False) -> Result:
    """Run an async function to its end on a virtual clock and return its result."""

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.jumping.limiter = current_default_thread_limiter()
        loop.jumping.alone = alone
        return await function(*arguments)

    with patch("anyio.to_thread.run_sync", _run_here) if alone else nullcontext():
        return anyio.run(main, backend="asyncio", backend_options={"loop_factory": VirtualLoop})


async def _run_here(function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    del options
    await anyio.lowlevel.checkpoint()
    return function(*arguments)
