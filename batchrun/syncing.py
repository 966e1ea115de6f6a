"""How soon outcomes are on the disk and not only with the kernel: what a power cut can take."""

from collections.abc import Callable

import anyio

from batchrun.clock import Clock
from batchrun.errors import StorageError
from batchrun.jobspec.work import Fsync
from batchrun.storage.output import Output

GROUP_S = 1.0


class Syncing:
    """Syncs all open logs together: every second, or as often as the disk can while a row waits for each.

    A row's place is free again only when `settled` returns, so that with "always" no more outcomes than calls in
    flight are ever at stake.
    """

    def __init__(self, output: Output, clock: Clock, how: Fsync, close: Callable[[StorageError], None]) -> None:
        """Take what to sync and how often; `close` ends the run when the disk does not take it."""
        self._output = output
        self._clock = clock
        self._how = how
        self._close = close
        self._wanted = anyio.Event()
        self._synced = anyio.Event()

    def __repr__(self) -> str:
        return f"Syncing({self._how})"

    async def keep(self) -> None:
        """Sync from time to time until cancelled."""
        while self._how != "never":
            if self._how == "always":
                await self._wanted.wait()
                await self._sync()  # whatever is left to sync: somebody waits
            else:
                await self._clock.sleep(GROUP_S)
                await self.finish()

    async def settled(self) -> None:
        """Wait until what was recorded before is as safe as the job asks."""
        if self._how == "always":
            self._wanted.set()
            await self._synced.wait()

    async def finish(self) -> None:
        """Sync what is not synced yet, if anything is."""
        if self._how != "never" and self._output.unsynced:
            await self._sync()

    async def _sync(self) -> None:
        done, self._synced, self._wanted = self._synced, anyio.Event(), anyio.Event()
        try:
            await anyio.to_thread.run_sync(self._output.sync)
        except OSError as error:
            self._close(StorageError(f"the write-ahead log cannot be synced: {error}"))
        finally:
            done.set()
