"""An output in a folder of this machine."""

import shutil
from collections.abc import Collection, Hashable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from batchrun.errors import InputError, StorageError
from batchrun.storage.files import beside_of, sync_folder, why, write_atomically
from batchrun.storage.lock import FolderLock, is_held
from batchrun.storage.ranges import LOG_SUFFIX
from batchrun.storage.store import MANIFEST, STATUS, SUCCESS, SUMMARY, Hold


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything lies in an output folder; a Store."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.path)

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
        return self.path / MANIFEST

    @property
    def success(self) -> Path:
        """Written last, when every row has its result and few enough of them are not ok."""
        return self.path / SUCCESS

    @property
    def lock(self) -> Path:
        """Held by the run that writes here."""
        return self.path / "lock"

    @property
    def status(self) -> Path:
        """The state of a run, every second."""
        return self.path / STATUS

    @property
    def summary(self) -> Path:
        """What the last run printed with --json."""
        return self.path / SUMMARY

    @property
    def remote(self) -> bool:
        """Nothing here goes over a network."""
        return False

    def make(self) -> None:
        """Make the folders.

        Raises StorageError if that cannot be done, InputError if the path holds something that is not batchrun's.
        """
        try:
            strangers = self._foreign() if self.path.is_dir() and not self.manifest.exists() else []
            # Looked for again: another run may have begun this output while the names were read.
            if strangers and not self.manifest.exists():
                raise InputError(
                    f"output.path {self.path}: holds files and no batchrun manifest ({', '.join(strangers[:3])}); "
                    "choose an empty or new folder"
                )
            missing = [one for one in self.path.parents if not one.exists()]
            for folder in (self.path, self.data, self.wal, self.tmp):
                folder.mkdir(parents=True, exist_ok=True)
            if not self.manifest.exists():  # a name is safe once the folder that it stands in is synced
                for folder in (self.path, *missing):
                    with suppress(PermissionError):  # a folder that may be entered and not read
                        sync_folder(folder.parent)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(
                f"output.path {self.path}: {error.filename} is a file, not a folder; name another output.path"
            ) from error
        except OSError as error:
            raise StorageError(f"output.path {self.path}: {why(error)}: {error.filename}") from error

    def hurry(self) -> None:
        """Do nothing: a disk answers."""

    def hold(self) -> AbstractContextManager[Hold]:
        """Return the lock, to be entered; LockedError then if another run holds the folder."""
        return FolderLock(self.lock)

    def is_held(self) -> bool:
        """Tell whether a run holds the folder now."""
        return is_held(self.lock)

    def where(self, name: str) -> str:
        """Return an object's path."""
        return str(self.path / name)

    def exists(self, name: str) -> bool:
        """Tell whether an object is there."""
        return (self.path / name).exists()

    def read(self, name: str) -> bytes:
        """Return an object's content; FileNotFoundError if it is not there."""
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        """Replace an object; without `sync` a power cut may bring the old one back."""
        write_atomically(self.path / name, content, sync=sync)

    def remove(self, name: str) -> None:
        """Remove an object that may be there."""
        (self.path / name).unlink(missing_ok=True)

    def names(self, folder: str) -> Mapping[str, Hashable]:
        """Return all that lies in a folder of the output by name, with inode, time of change and size."""
        try:
            inside = sorted((self.path / folder).iterdir())
        except FileNotFoundError:
            return {}
        told: dict[str, Hashable] = {}
        for path in inside:
            try:
                stat = path.stat()
                told[path.name] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            except FileNotFoundError:
                if path.is_symlink():  # to nowhere: something is there, and whoever opens it is told
                    told[path.name] = None
        return told

    def open(self, name: str) -> pa.NativeFile:
        """Open an object for random reads."""
        return pa.OSFile(self.where(name))

    def publish(self, beside: Path, name: str) -> None:
        """Make a whole and synced file of `tmp` the object `name`, also in place of one that is there."""
        final = self.path / name
        beside.rename(final)
        sync_folder(final.parent)

    def adopt(self, run_id: str) -> None:
        """Do nothing: the folder has one run's logs only."""

    def logs(self) -> set[str]:
        """Return the names of the logs."""
        return {name for name in self.names(self.wal.name) if name.endswith(LOG_SUFFIX)}

    def fetch_logs(self) -> None:
        """Do nothing: the logs are here."""

    def flush_logs(self, names: Collection[str]) -> None:
        """Do nothing: the logs are here."""

    def remove_log(self, name: str) -> None:
        """Remove a log whose part is there."""
        (self.wal / name).unlink(missing_ok=True)

    def move_aside(self) -> str | None:
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
            for folder in (aside, aside.parent, self.path):  # the new names before the old ones go
                sync_folder(folder)
        except OSError as error:
            raise StorageError(f"--fresh: cannot move {self.path} to {aside}: {error.strerror}") from error
        return str(aside)

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
