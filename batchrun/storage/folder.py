"""An output folder's layout, and how a run takes it over: new, resumed, or moved aside for a fresh start."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchrun.errors import InputError, StorageError
from batchrun.storage.files import beside_of, sync_folder
from batchrun.storage.manifest import Manifest, check_identity, read_manifest
from batchrun.storage.ranges import Ranges
from batchrun.storage.source import SourceFile


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything lies in an output folder."""

    path: Path

    @property
    def data(self) -> Path:
        """The parts, and nothing else."""
        return self.path / "data"

    @property
    def wal(self) -> Path:
        """The logs of ranges that are not parts yet."""
        return self.path / "wal"

    @property
    def tmp(self) -> Path:
        """Parts being written."""
        return self.path / "tmp"

    @property
    def manifest(self) -> Path:
        """What the output belongs to."""
        return self.path / "manifest.json"

    @property
    def success(self) -> Path:
        """Written last, when every row has its result and few enough of them are not ok."""
        return self.path / "_SUCCESS"

    @property
    def lock(self) -> Path:
        """Held by the run that writes here."""
        return self.path / "lock"

    @property
    def status(self) -> Path:
        """The state of a run, every second."""
        return self.path / "status.json"

    @property
    def summary(self) -> Path:
        """What the last run printed with --json."""
        return self.path / "summary.json"

    def make(self) -> None:
        """Make the folders.

        Raises StorageError if that cannot be done, InputError if the path holds something that is not batchrun's.
        """
        try:
            if self.path.is_dir() and not self.manifest.exists() and self._foreign():
                strangers = ", ".join(self._foreign()[:3])
                raise InputError(
                    f"output.path {self.path}: holds files and no batchrun manifest ({strangers}); "
                    "choose an empty or new folder"
                )
            for folder in (self.path, self.data, self.wal, self.tmp):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"output.path {self.path}: {error.strerror}: {error.filename}") from error

    def move_aside(self) -> Path | None:
        """Move an earlier output out of the way, deleting nothing; return where it went.

        The manifest goes last: whatever a kill leaves here is still the old output, and its logs are never taken for
        those of a new one.
        """
        if not self.manifest.exists():
            return None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.old-{stamp}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}x")
        try:
            aside.mkdir()
            # The lock stays: this run holds it, and the folder's name must not be without an owner for a moment.
            for entry in sorted(self.path.iterdir(), key=lambda entry: (entry == self.manifest, entry)):
                if entry != self.lock:
                    entry.rename(aside / entry.name)
            sync_folder(self.path)
        except OSError as error:
            raise StorageError(f"--fresh: cannot move {self.path} to {aside}: {error.strerror}") from error
        return aside

    def clear_tmp(self) -> None:
        """Remove what a killed run left half written; behind a link, the files would be somebody else's."""
        if self.tmp.is_symlink():
            raise StorageError(f"{self.tmp}: is a link; remove it, the next start makes a folder of its own")
        for entry in self.tmp.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _foreign(self) -> list[str]:
        """Name what a start that was killed before it wrote its manifest cannot have left."""
        ours = {folder.name for folder in (self.data, self.wal, self.tmp)} | {
            self.lock.name,
            beside_of(self.manifest).name,
        }
        strangers = [entry.name for entry in self.path.iterdir() if entry.name not in ours]
        inside = [entry for folder in (self.data, self.wal, self.tmp) for entry in folder.glob("*")]
        return sorted(strangers) + sorted(str(entry.relative_to(self.path)) for entry in inside)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run says of the output that it wants to write."""

    job: str
    identity: Mapping[str, Any]
    files: Sequence[SourceFile]
    rows: int  # of the input, or of its first rows where the job is limited
    rows_per_part: int
    regions: Sequence[str]


def take_over(folder: Folder, claim: Claim) -> Manifest:
    """Return the manifest of the output as this run goes on with it, written where it is new or has grown.

    Raises InputError naming what differs if the output belongs to another job.
    """
    if not folder.manifest.exists():
        manifest = Manifest(
            uuid.uuid4().hex, claim.job, claim.identity, tuple(claim.files), (claim.rows,), tuple(sorted(claim.regions))
        )
        manifest.write(folder.manifest)
        return manifest
    old = read_manifest(folder.manifest)
    check_identity(folder.path, old, claim.identity, claim.files)
    ranges = Ranges(old.stretches, claim.rows_per_part).extended_to(claim.rows)
    manifest = replace(old, stretches=tuple(ranges.stretches), files=tuple(claim.files)).with_regions(claim.regions)
    if manifest != old:
        if manifest.stretches != old.stretches:
            folder.success.unlink(missing_ok=True)
        manifest.write(folder.manifest)
    return manifest
