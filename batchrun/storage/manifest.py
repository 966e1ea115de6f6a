"""The manifest: what an output belongs to, in which order its input files stand, and how far its rows are cut."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from batchrun.errors import InputError, StorageError
from batchrun.storage.files import as_json
from batchrun.storage.source import SourceFile
from batchrun.storage.source.source_file import packed, unpacked
from batchrun.storage.store import MANIFEST, Store

FORMAT = 1
WAY_OUT = "put a copy of it back, or start anew with --fresh (it moves the old output aside)"
# Where a key of the job goes by another name than the identity's.
MEANT = {"generation.max_tokens": ' (with max_tokens = "auto", its generation.max_tokens_ceiling)'}


@dataclass(frozen=True, slots=True)
class Manifest:
    """An output's identity and the order of its rows.

    `identity` maps each key that must not change to its value, or to a digest where the value is prompt text.
    `regions` are those that requests may have run in, over all runs.
    """

    run_id: str
    job: str
    identity: Mapping[str, Any]
    files: tuple[SourceFile, ...]
    stretches: tuple[int, ...]
    regions: tuple[str, ...]
    kept: pa.Schema | None = None  # the input columns that parts carry over; None where an older batchrun wrote it
    accepted: tuple[str, ...] = ()  # input files whose change or absence was accepted
    gone: tuple[str, ...] = ()  # those of them that were not there when they were last looked for
    extras: pa.Schema | None = None  # the result columns that this job has and others have not

    @property
    def emulated(self) -> bool:
        """Tell whether the answers come from an emulator."""
        return bool(self.identity["answers"] == "emulator")

    def write(self, store: Store) -> None:
        """Write the manifest whole."""
        content = {
            "format": FORMAT,
            "run_id": self.run_id,
            "job": self.job,
            "emulated": self.emulated,
            "identity": dict(self.identity),
            "regions": list(self.regions),
            "stretches": list(self.stretches),
            "kept": packed(self.kept) if self.kept is not None else None,
            "accepted": list(self.accepted),
            "gone": list(self.gone),
            "extras": packed(self.extras) if self.extras is not None else None,
            "files": [file.to_json() for file in self.files],
        }
        store.write(MANIFEST, as_json(content))

    def with_regions(self, regions: Sequence[str]) -> "Manifest":
        """Return the manifest with further Regions recorded."""
        return replace(self, regions=tuple(sorted({*self.regions, *regions})))


def read_manifest(store: Store) -> Manifest:
    """Read an output's manifest.

    Raises StorageError if it cannot be read or is of another format.
    """
    path = store.where(MANIFEST)
    try:
        content = json.loads(store.read(MANIFEST))
        if content["format"] != FORMAT:
            raise StorageError(f"{path}: manifest format {content['format']}, this batchrun reads {FORMAT}")
        if not (
            isinstance(content["identity"], dict)
            and isinstance(content["identity"]["output.rows_per_part"], int)
            and all(isinstance(stretch, int) and stretch >= 0 for stretch in content["stretches"])
            and all(isinstance(region, str) for region in content["regions"])
        ):
            raise StorageError(f"{path}: cannot be read as a manifest: it holds values of other kinds; {WAY_OUT}")
        return Manifest(
            run_id=content["run_id"],
            job=content["job"],
            identity=content["identity"],
            files=tuple(SourceFile.from_json(file) for file in content["files"]),
            stretches=tuple(content["stretches"]),
            regions=tuple(content["regions"]),
            kept=unpacked(content["kept"]) if content.get("kept") is not None else None,
            accepted=tuple(content.get("accepted", ())),
            gone=tuple(content.get("gone", ())),
            extras=unpacked(content["extras"]) if content.get("extras") is not None else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise StorageError(f"{path}: cannot be read as a manifest: {error}; {WAY_OUT}") from error


def check_identity(output: str, old: Manifest, identity: Mapping[str, Any]) -> None:
    """Raise InputError naming all that differs between an output's identity and the job's."""
    if problem := identity_problem(output, old, identity):
        raise InputError(problem)


def identity_problem(output: str, old: Manifest, identity: Mapping[str, Any]) -> str | None:
    """Return what differs between an output's identity and the job's, and what to do; None if nothing does."""
    differs = [
        f"  {key}: was {_shown(old.identity.get(key))}, is {_shown(identity.get(key))}{MEANT.get(key, '')}"
        for key in sorted({*old.identity, *identity})
        if old.identity.get(key) != identity.get(key)
    ]
    if not differs:
        return None
    listed = "\n".join(differs)
    return (
        f"{output}: the output belongs to another job:\n{listed}\n"
        "Put these back, choose another output.path, or start anew with --fresh (it moves the old output aside)."
    )


def _shown(value: object) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)
