"""run, arun and verify: a job from its file to its end, and the proof of what it left."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batchrun.account.now import discover_now
from batchrun.errors import StorageError
from batchrun.jobspec import JobSpec
from batchrun.readyjob import make_ready
from batchrun.runaway import MaxFailed
from batchrun.sinks.delivery import lag_lines
from batchrun.sinks.part import FinishedParts
from batchrun.start import RunOptions, StandIns, start
from batchrun.storage.manifest import identity_problem, read_manifest
from batchrun.storage.opening import open_store
from batchrun.storage.store import MANIFEST, Store
from batchrun.storage.verify import verify as verify_output

__all__ = ["RunOptions", "StandIns", "arun", "run", "verify"]


def run(job: Path | str | JobSpec, options: RunOptions | None = None) -> dict[str, Any]:
    """Run a job to its end, and return what `batchrun run --json` prints.

    In the main thread, signals end the run in order. A run that stops early is no exception: `exit_code` and `reason`
    say so. Raises JobError, InputError, AccessError, StorageError or LockedError if it cannot start.
    """
    signals = threading.current_thread() is threading.main_thread()
    return anyio.run(arun, job, replace(options or RunOptions(), signals=signals), backend="asyncio")


async def arun(
    job: Path | str | JobSpec, options: RunOptions | None = None, stand_ins: StandIns | None = None
) -> dict[str, Any]:
    """Do what `run` does, inside the caller's event loop.

    Cancelled, it ends at once; the rows in flight are sent again by the next start.
    """
    options, stand_ins = options or RunOptions(), stand_ins or StandIns()
    making = partial(make_ready, job, options.overrides, discover_now)
    ready = await anyio.to_thread.run_sync(making, abandon_on_cancel=True)  # Ctrl-C does not wait for AWS
    with open_store(ready.spec) as store:
        return await start(ready, store, options, stand_ins)


def verify(
    job: Path | str | JobSpec, overrides: Sequence[str] = (), note: Callable[[str], None] | None = None
) -> list[str]:
    """Return what is wrong with a job's output, a line each; nothing means that every row has its one result.

    `note` is told if the output belongs to another job than this: it may be whole all the same.
    Raises JobError or InputError if the job itself is wrong.
    """
    ready = make_ready(job, overrides)
    with open_store(ready.spec) as store:
        source = ready.scan_input(store)
        allows = MaxFailed(ready.spec.limits.max_failed).allows
        lines = verify_output(store, source, ready.rows_wanted(source), ready.spec.input.id, allows)
        if not lines and note is not None:  # so there is a manifest, and it can be read
            other = identity_problem(store.name, read_manifest(store), ready.identity())
            if other is not None:
                note(other)
        return [*lines, *_sink_lines(ready.spec, store)]


def _sink_lines(spec: JobSpec, store: Store) -> list[str]:
    """Return a line for each sink that is behind."""
    if not spec.sink or not store.exists(MANIFEST):
        return []
    try:
        return lag_lines(spec.sink, FinishedParts(store, read_manifest(store).run_id))
    except (StorageError, OSError) as error:
        return [f"the sinks were not compared with the parts: {error}"]
