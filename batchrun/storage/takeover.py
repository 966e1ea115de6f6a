"""How a run takes an output over: new, or as an earlier run left it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchrun.storage.manifest import Manifest, check_identity, read_manifest
from batchrun.storage.ranges import Ranges
from batchrun.storage.source import SourceFile
from batchrun.storage.store import MANIFEST, SUCCESS, Store


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run says of the output that it wants to write."""

    job: str
    identity: Mapping[str, Any]
    files: Sequence[SourceFile]
    rows: int  # of the input, or of its first rows where the job is limited
    rows_per_part: int
    regions: Sequence[str]


def take_over(store: Store, claim: Claim) -> Manifest:
    """Return the manifest of the output as this run goes on with it, written where it is new or has grown.

    Raises InputError naming what differs if the output belongs to another job.
    """
    if not store.exists(MANIFEST):
        manifest = Manifest(
            uuid.uuid4().hex, claim.job, claim.identity, tuple(claim.files), (claim.rows,), tuple(sorted(claim.regions))
        )
        manifest.write(store)
        return manifest
    old = read_manifest(store)
    check_identity(store.name, old, claim.identity, claim.files)
    ranges = Ranges(old.stretches, claim.rows_per_part).extended_to(claim.rows)
    manifest = replace(old, stretches=tuple(ranges.stretches), files=tuple(claim.files)).with_regions(claim.regions)
    if manifest != old:
        if manifest.stretches != old.stretches:
            store.remove(SUCCESS)
        manifest.write(store)
    return manifest
