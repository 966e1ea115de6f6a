"""Holding: the lock of an output, waited for beside the event loop and never left behind."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Lock

import anyio

from batchrun.storage.store import Hold, Store


@asynccontextmanager
async def holding(store: Store) -> AsyncIterator[Hold]:
    """Hold the lock of an output; on a network that may mean to wait for one that is about to lapse.

    Whoever is cancelled meanwhile leaves no lock behind: the thread that gets it gives it back.
    """
    lock, deciding = store.hold(), Lock()
    entered = abandoned = False

    def enter() -> Hold:
        nonlocal entered
        held = lock.__enter__()
        with deciding:
            entered = True
            if abandoned:
                lock.__exit__(None, None, None)
        return held

    try:
        held = await anyio.to_thread.run_sync(enter, abandon_on_cancel=True)  # Ctrl-C does not wait for a store
    except BaseException:
        with deciding:
            abandoned = True
            if entered:
                lock.__exit__(None, None, None)
        raise
    try:
        yield held
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lock.__exit__, *sys.exc_info())
