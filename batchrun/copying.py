"""Copies of the logs in a store on a network: a machine that vanishes takes seconds of work along, not a range."""

from collections.abc import Callable

import anyio

from batchrun.clock import Clock
from batchrun.errors import BatchrunError, LockedError, StorageError
from batchrun.storage.output import Output


class Copying:
    """Copies what was appended to the logs every few seconds; for an output of this machine it does nothing."""

    def __init__(
        self,
        output: Output,
        clock: Clock,
        every_s: float,
        close: Callable[[BatchrunError], None],
        note: Callable[[str], None],
    ) -> None:
        """Take what to copy and how often; `close` ends the run when the store turns out to be another run's."""
        self._output = output
        self._clock = clock
        self._every_s = every_s
        self._close = close
        self._note = note

    def __repr__(self) -> str:
        return f"Copying({self._output.target.store.name}, every {self._every_s:g} s)"

    async def keep(self) -> None:
        """Copy from time to time until cancelled."""
        while self._output.target.store.remote:
            await self._clock.sleep(self._every_s)
            await self.copy()

    async def copy(self) -> None:
        """Copy what the copies lack; a store that is away for a while gets it later."""
        if not self._output.target.store.remote:
            return
        try:
            await anyio.to_thread.run_sync(self._output.flush)
        except LockedError as error:
            self._close(error)
        except (OSError, StorageError) as error:
            self._note(f"the logs were not copied for a while: {error}")
