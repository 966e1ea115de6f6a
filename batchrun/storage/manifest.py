"""The manifest: what an output belongs to, in which order its input files stand, and how far its rows are cut."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchrun.errors import InputError, StorageError
from batchrun.storage.files import as_json
from batchrun.storage.source import SourceFile
from batchrun.storage.store import MANIFEST, Store

FORMAT = 1
FILES_SHOWN = 20
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
        return Manifest(
            run_id=content["run_id"],
            job=content["job"],
            identity=content["identity"],
            files=tuple(SourceFile.from_json(file) for file in content["files"]),
            stretches=tuple(content["stretches"]),
            regions=tuple(content["regions"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise StorageError(f"{path}: cannot be read as a manifest: {error}") from error


def check_identity(output: str, old: Manifest, identity: Mapping[str, Any], files: Sequence[SourceFile]) -> None:
    """Compare an output's identity with the job's.

    Raises InputError naming all that differs.
    """
    differs = [
        f"  {key}: was {_shown(old.identity.get(key))}, is {_shown(identity.get(key))}{MEANT.get(key, '')}"
        for key in sorted({*old.identity, *identity})
        if old.identity.get(key) != identity.get(key)
    ]
    differs += [f"  {line}" for line in file_differences(old.files, files)]
    if differs:
        listed = "\n".join(differs)
        raise InputError(
            f"{output}: the output belongs to another job:\n{listed}\n"
            "Put these back, choose another output.path, or start anew with --fresh (it moves the old output aside)."
        )


def file_differences(old: Sequence[SourceFile], new: Sequence[SourceFile]) -> list[str]:
    """Return a line for each input file that is missing, new or changed; the first 20 and how many more."""
    before = {file.name: file for file in old}
    now = {file.name: file for file in new}
    lines = [f"input file {name}: missing" for name in before if name not in now]
    lines += [f"input file {name}: new" for name in now if name not in before]
    lines += [
        f"input file {name}: changed ({before[name].rows} rows, {before[name].size_bytes} bytes before; "
        f"{file.rows} rows, {file.size_bytes} bytes now)"
        for name, file in now.items()
        if name in before and not file.is_same_content(before[name])
    ]
    shown = lines[:FILES_SHOWN]
    return shown + ([f"and {len(lines) - FILES_SHOWN} further input files"] if len(lines) > FILES_SHOWN else [])


def _shown(value: object) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)
