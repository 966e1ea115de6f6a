"""Time as the run sees it, and waits by it: the loop's clock, the machine's sleep, and the calendar for people."""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf

import anyio

# AWS's midnight may come after ours: a refusal just behind ours must not park a pool for another day. A guess.
CLOCKS_DIFFER = timedelta(minutes=1)
LONGEST_NAP_S = 10.0  # of the loop's time in one wait: so much later than it should does a run notice that it slept
NOTICEABLE_S = 1.0  # of sleep; below it is what two clocks read one after the other differ by
# The kernel's clock that runs on while the machine sleeps; Python's monotonic clock stands still on Linux and macOS.
_SLEEPLESS = time.CLOCK_MONOTONIC if sys.platform == "darwin" else getattr(time, "CLOCK_BOOTTIME", None)


def slept_s() -> float:
    """Return how long the machine has slept since it was started [s]; setting the calendar does not change it."""
    return 0.0 if _SLEEPLESS is None else time.clock_gettime(_SLEEPLESS) - time.monotonic()


class Clock:
    """The loop's time [s] and the machine's sleep, waits by them, and the calendar derived from both.

    What waits for minutes asks here, and anyio waits on the loop: under a loop whose time jumps, a day is seconds. The
    loop's time stands still while a laptop sleeps; Bedrock's minutes and days do not, so sleep counts as time. The
    calendar is read once: it goes on by what was counted since, whoever sets the machine's date meanwhile.
    """

    def __init__(self, started_at: datetime | None = None, slept_s: Callable[[], float] = slept_s) -> None:
        """Take what the calendar shows now, UTC, or the machine's date; and how long the machine has slept so far."""
        # anyio.current_time looks the running loop up each time; the run asks six times a row, always in one loop.
        self._loop_time_s = asyncio.get_running_loop().time
        self._machine_slept_s = slept_s
        self._slept_before_s = slept_s()
        self._slept_s = 0.0
        self._started_at = started_at or datetime.now(UTC)
        self._started_s = self.now_s()

    def now_s(self) -> float:
        """Return monotonic seconds, those that the machine slept too; only differences mean anything."""
        slept_s = self._machine_slept_s() - self._slept_before_s
        if slept_s - self._slept_s > NOTICEABLE_S:
            self._slept_s = slept_s
        return self._loop_time_s() + self._slept_s

    def today(self) -> datetime:
        """Return the calendar time, UTC: the start of the run plus what was counted since."""
        return self._started_at + timedelta(seconds=self.now_s() - self._started_s)

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s`."""
        until_s = self.now_s() + delay_s
        while True:
            await anyio.sleep_until(self.look_at(until_s))
            if self.now_s() >= until_s:
                return

    def look_at(self, at_s: float) -> float:
        """Return the loop's time at which to look whether `at_s` has come: then, or after a nap."""
        if at_s == inf:
            return inf
        return min(at_s, self.now_s() + LONGEST_NAP_S) - self._slept_s

    def seconds_to_midnight(self) -> float:
        """Return the time [s] until day quotas are taken to have turned: a little after the next midnight, UTC."""
        now = self.today()
        midnight = (now - CLOCKS_DIFFER + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight + CLOCKS_DIFFER - now).total_seconds()


class Alarm:
    """Wakes one task at a time that others may move while it waits.

    The loop's own timer and future: a deadline of anyio's, new for each wait, was a quarter of the scheduler's cost.
    """

    def __init__(self, clock: Clock) -> None:
        """Take what tells the time."""
        self.at_s = inf
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rung = self._loop.create_future()

    def __repr__(self) -> str:
        return f"Alarm(at_s={self.at_s})"

    def set(self, at_s: float) -> None:
        """Have it ring at `at_s`, and not before; inf is never."""
        self.at_s = at_s
        if self._timer is None or self._clock.look_at(at_s) < self._timer.when():
            self._start_timer()

    async def wait(self) -> None:
        """Wait until it rings, which it does once; one task at a time may wait."""
        try:
            await self._rung
        finally:
            self._rung = self._loop.create_future()

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        look_at_s = self._clock.look_at(self.at_s)
        self._timer = None if look_at_s == inf else self._loop.call_at(look_at_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._clock.now_s() < self.at_s:  # it was moved, or the nap is over
            self._start_timer()
            return
        self.at_s = inf
        if not self._rung.done():
            self._rung.set_result(None)
