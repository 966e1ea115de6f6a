"""Time as the run sees it: the event loop's clock for waiting, and the calendar for what people read."""

from datetime import UTC, datetime, timedelta

import anyio


class Clock:
    """The loop's time [s], its sleep, and the calendar derived from both.

    Everything that waits asks here, and anyio waits on the loop: under a loop whose time jumps, a day is seconds.
    """

    def __init__(self) -> None:
        self._started_at = datetime.now(UTC)
        self._started_s = self.now_s()

    def now_s(self) -> float:
        """Return monotonic seconds; only differences mean anything."""
        return anyio.current_time()

    def today(self) -> datetime:
        """Return the calendar time, UTC: the start of the run plus what the loop has counted since."""
        return self._started_at + timedelta(seconds=self.now_s() - self._started_s)

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` of the loop's time."""
        await anyio.sleep(delay_s)

    def seconds_to_midnight(self) -> float:
        """Return the time to the next UTC day [s], when day quotas are taken to turn."""
        now = self.today()
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight - now).total_seconds()
