"""The places of live rows: how many there are at once, and how many bytes their requests have."""

from collections import deque

import anyio

from batchrun.lanes.gate import Gate

LIVE_PER_CALL = 4  # live rows for every call that may be in flight: enough to back off and to refill with; a choice
MOST_LIVE_BYTES = 64_000_000  # of request bodies held at once


class Places:
    """Bounds the rows that are rendered, at the gate, in flight or backing off, and the bytes of their requests.

    Once the gate is closed nobody waits for a place: what is left of the rows is on its way out.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._bytes = 0
        self._waiting: deque[anyio.Event] = deque()  # rows without a place
        self._short: list[anyio.Event] = []  # rows with a place that wait for bytes to leave
        self.rows = 0

    def __repr__(self) -> str:
        return f"Places({self.rows} rows, {self._bytes} bytes, {len(self._waiting)} wait)"

    async def take(self) -> None:
        """Wait until there is a place for a row, and take it."""
        while not self._is_free():
            waiting = anyio.Event()
            self._waiting.append(waiting)
            await waiting.wait()
        self.rows += 1
        self._wake_next()

    def hold(self, size_bytes: int) -> None:
        """Count the request of a row that has a place."""
        self._bytes += size_bytes

    def leave(self, size_bytes: int = 0) -> None:
        """Give back a row's place, with the bytes that were held."""
        self.rows -= 1
        self._bytes -= size_bytes
        self._wake_next()
        if size_bytes:
            self._wake_short()

    async def wait_for_bytes(self) -> None:
        """Wait until requests have left, while all together are too large: a row's place says nothing of its images."""
        while self._bytes >= MOST_LIVE_BYTES and not self._gate.closed.is_set():
            freed = anyio.Event()
            self._short.append(freed)
            await freed.wait()

    def open_all(self) -> None:
        """Wake all who wait, when the gate has closed."""
        for waiting in self._waiting:
            waiting.set()
        self._wake_short()

    def _is_free(self) -> bool:
        if not self.rows or self._gate.closed.is_set():
            return True
        return self.rows < LIVE_PER_CALL * self._gate.limit() and self._bytes < MOST_LIVE_BYTES

    def _wake_next(self) -> None:
        """Wake one if there is a place; it wakes the next. All at once would look for every row that ends."""
        if self._waiting and self._is_free():
            self._waiting.popleft().set()

    def _wake_short(self) -> None:
        while self._short:
            self._short.pop().set()
