"""How a run takes an output over: new, or as an earlier run left it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.storage.changes import FRESH, check_changes
from batchrun.storage.manifest import Manifest, check_identity
from batchrun.storage.ranges import DATA, Ranges
from batchrun.storage.source import Source
from batchrun.storage.store import SUCCESS, Store


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run says of the output that it wants to write."""

    job: str
    identity: Mapping[str, Any]
    source: Source
    kept: pa.Schema  # the columns that results carry over
    rows: int  # of the input, or of its first rows where the job is limited
    rows_per_part: int
    regions: Sequence[str]
    accept_changes: bool = False
    extras: pa.Schema | None = None  # the result columns that this job has and others have not


def take_over(store: Store, old: Manifest | None, claim: Claim) -> Manifest:
    """Return the manifest of the output as this run goes on with it, written where it is new or has grown.

    `old` is the one that is there, None where there is none.

    Raises InputError naming what differs if the output belongs to another job.
    """
    manifest = _gone_on_with(store, old, claim) if old is not None else _new(claim)
    if manifest != old:
        if old is not None and manifest.stretches != old.stretches:
            store.remove(SUCCESS)
        manifest.write(store)
    return manifest


def _new(claim: Claim) -> Manifest:
    return Manifest(
        run_id=uuid.uuid4().hex,
        job=claim.job,
        identity=claim.identity,
        files=claim.source.files,
        stretches=(claim.rows,),
        regions=tuple(sorted(claim.regions)),
        kept=claim.kept,
        extras=claim.extras,
    )


def _gone_on_with(store: Store, old: Manifest, claim: Claim) -> Manifest:
    """Return the manifest of an earlier run as it is with this claim's rows, files and Regions."""
    check_identity(store.name, old, claim.identity)
    if old.extras != claim.extras:  # the identity is the same, so another batchrun makes something else of the schema
        raise InputError(f"{store.name}: was written with other result columns by another batchrun; {FRESH}")
    ranges = Ranges(old.stretches, claim.rows_per_part)
    store.adopt(old.run_id)
    there, logs = store.names(DATA), store.logs()

    def begun(first_row: int, stop_row: int) -> bool:
        return any(of.log_name in logs for of in ranges.meeting(first_row, stop_row))

    def unfinished(first_row: int, stop_row: int) -> bool:
        lacking = any(of.part_name not in there for of in ranges.meeting(first_row, stop_row))
        return lacking or stop_row > ranges.rows or begun(first_row, stop_row)

    mixed = begun if len(claim.kept) else _never
    accepted = check_changes(store.name, old, claim.source, unfinished, mixed, accept=claim.accept_changes)
    if ranges.rows:
        _check_columns(store.name, old, claim.kept)
    return replace(
        old,
        stretches=tuple(ranges.extended_to(claim.rows).stretches),
        files=claim.source.files,
        kept=claim.kept,
        accepted=tuple(sorted({*old.accepted, *accepted})),
        gone=tuple(sorted({*old.gone, *accepted} & claim.source.missing)),
    ).with_regions(claim.regions)


def _never(_first_row: int, _stop_row: int) -> bool:
    return False


def _check_columns(output: str, old: Manifest, kept: pa.Schema) -> None:
    """Refuse columns to carry over whose types new files have changed: all parts of an output have one schema."""
    for before in old.kept or ():
        now = kept.field(before.name).type if before.name in kept.names else None
        if now != before.type:
            raise InputError(
                f"{output}: input column {before.name!r} was {before.type} and is {now or 'missing'} with the files "
                f"of now; give the new files the old type, or {FRESH}"
            )
