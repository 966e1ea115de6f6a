"""Time as the run sees it: the event loop's clock for waiting, and the calendar for what people read."""

import asyncio
from datetime import UTC, datetime, timedelta

import anyio

# AWS's midnight may come after ours: a refusal just behind ours must not park a pool for another day. A guess.
CLOCKS_DIFFER = timedelta(minutes=1)


class Clock:
    """The loop's time [s], its sleep, and the calendar derived from both.

    Everything that waits asks here, and anyio waits on the loop: under a loop whose time jumps, a day is seconds.
    """

    def __init__(self, started_at: datetime | None = None) -> None:
        """Take what the calendar shows now, UTC; the machine's date where nothing is said."""
        # anyio.current_time looks the running loop up each time; the run asks six times a row, always in one loop.
        self._loop_time_s = asyncio.get_running_loop().time
        self._started_at = started_at or datetime.now(UTC)
        self._started_s = self.now_s()

    def now_s(self) -> float:
        """Return monotonic seconds; only differences mean anything."""
        return self._loop_time_s()

    def today(self) -> datetime:
        """Return the calendar time, UTC: the start of the run plus what the loop has counted since."""
        return self._started_at + timedelta(seconds=self.now_s() - self._started_s)

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` of the loop's time."""
        await anyio.sleep(delay_s)

    def seconds_to_midnight(self) -> float:
        """Return the time [s] until day quotas are taken to have turned: a little after the next midnight, UTC."""
        now = self.today()
        midnight = (now - CLOCKS_DIFFER + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight + CLOCKS_DIFFER - now).total_seconds()
