"""`batchrun sink`: delivers what the sinks of an output lack, whether its rows are all done or not."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from batchrun.clock import Clock
from batchrun.delivering import open_deliveries, still_holds, success
from batchrun.errors import InputError, JobError, StorageError
from batchrun.jobspec import JobSpec, load_job
from batchrun.records import Status
from batchrun.runaway import MaxFailed
from batchrun.sinks.delivery import Lag
from batchrun.storage.files import why
from batchrun.storage.manifest import Manifest, read_manifest
from batchrun.storage.opening import open_store
from batchrun.storage.part_facts import read_facts
from batchrun.storage.ranges import DATA, Ranges
from batchrun.storage.store import MANIFEST, SUCCESS, Store


def deliver(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Deliver what the sinks of a job lack, and return what `batchrun sink --json` prints.

    Writes _SUCCESS if that was all that was missing. Raises JobError without sinks, InputError without an output,
    LockedError while a run goes on, StorageError if the output does not read back.
    """
    spec = job if isinstance(job, JobSpec) else load_job(job, overrides)
    if not spec.sink:
        raise JobError("the job has no [[sink]] table: there is nothing to deliver to")
    with open_store(spec) as store:
        if not store.exists(MANIFEST):
            raise InputError(f"output.path {store.name}: no run has written here yet; start one: batchrun run")
        try:
            with store.hold():
                manifest = read_manifest(store)
                before, after = anyio.run(_deliver, spec, store, manifest.run_id, backend="asyncio")
                behind = [line for lag in after if (line := lag.line())]
                if not behind:
                    _mark(store, manifest, MaxFailed(spec.limits.max_failed), after)
        except OSError as error:
            raise StorageError(f"{store.name}: {why(error)}: {error.filename or ''}") from error
    sinks = [
        {**now.record(), "delivered_now": max(0, was.outstanding - now.outstanding), "error": now.error}
        for was, now in zip(before, after, strict=True)
    ]
    reason = "; ".join(behind) or "every sink holds every part"
    return {"exit_code": 4 if behind else 0, "reason": reason, "sinks": sinks}


def deliveries_text(told: Mapping[str, Any]) -> str:
    """Return what a person reads of deliveries."""
    return "\n".join(_lines(told))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['reason']} (exit {told['exit_code']})"
    for sink in told["sinks"]:
        behind = f", {sink['outstanding']:,} outstanding" if sink["outstanding"] else ""
        delivered = f"{sink['delivered_now']:,} parts delivered now, {sink['delivered']:,} in all"
        yield f"  sink {sink['name']}: {delivered}{behind}"


async def _deliver(spec: JobSpec, store: Store, run_id: str) -> tuple[list[Lag], list[Lag]]:
    """Return how far the sinks were behind before and after."""
    deliveries = open_deliveries(spec, store, run_id, Clock(), note=lambda _: None)
    try:
        before = await deliveries.ask()
        if any(lag.outstanding for lag in before) and not still_holds(store, before):
            store.remove(SUCCESS)  # it says that all is done
        deliveries.finish()
        await deliveries.run()
        return before, deliveries.lags()
    finally:
        deliveries.close()


def _mark(store: Store, manifest: Manifest, most: MaxFailed, lags: Sequence[Lag]) -> None:
    """Write _SUCCESS if every range has its part and few enough rows are not ok."""
    ranges = Ranges(manifest.stretches, manifest.identity["output.rows_per_part"])
    store.adopt(manifest.run_id)
    whole = {of.part_name for of in ranges} <= store.names(DATA).keys()
    if store.exists(SUCCESS) or not whole or store.logs():  # a log may be of rows that are sent again
        return
    totals = [read_facts(store, of.part).totals for of in ranges]
    rows, ok = (sum(counts) for counts in ([one.rows for one in totals], [_ok(one.by_status) for one in totals]))
    if most.allows(rows - ok, rows):
        store.write(SUCCESS, success(rows, manifest.run_id, lags))


def _ok(by_status: Mapping[str, int]) -> int:
    return by_status.get(Status.OK.value, 0)
