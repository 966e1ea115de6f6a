"""An output under a prefix of a bucket: whole objects, written under conditions, with the open logs on this machine."""

import shutil
from collections.abc import Collection, Hashable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from batchrun.errors import InputError, LockedError, StorageError
from batchrun.storage.ranges import DATA, LOG_SUFFIX
from batchrun.storage.s3.bucket import Bucket, ObjectInfo
from batchrun.storage.s3.lock import BucketLock, is_held
from batchrun.storage.s3.logs import LogCopies, copied_log
from batchrun.storage.s3.problems import ConflictError
from batchrun.storage.store import MANIFEST, SUCCESS, Hold

# Written only in the place of what this run knows to be there; the state of a run may be overwritten at any time.
GUARDED = (MANIFEST, SUCCESS)
LOCK = "lock"


class BucketOutput:
    """A Store in a bucket.

    Parts, manifest and _SUCCESS are written on the condition that nobody else wrote them meanwhile: a laptop that
    wakes up and was followed by another run overwrites nothing. `scratch` is the folder of this machine for logs and
    parts being written, each run's in a folder of its own.
    """

    def __init__(self, bucket: Bucket, prefix: str, scratch: Path) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._scratch = scratch
        self._run_id: str | None = None
        self._known: dict[str, ObjectInfo] = {}  # objects by name, as they were seen last
        self._etags: dict[str, str] = {}  # of objects that this run read to replace them, or wrote
        self._parts_before: dict[str, str] | None = None  # ETags of the parts that this run found
        self._lock: BucketLock | None = None
        self._copies: LogCopies | None = None

    def __repr__(self) -> str:
        return f"BucketOutput({self.name})"

    @property
    def name(self) -> str:
        """The URL of the prefix."""
        return self._bucket.where(self._prefix)

    @property
    def remote(self) -> bool:
        """Calls go over a network."""
        return True

    @property
    def wal(self) -> Path:
        """The logs of the adopted run."""
        return self._of_run() / "wal"

    @property
    def tmp(self) -> Path:
        """Parts of the adopted run that are being written."""
        return self._of_run() / "tmp"

    def make(self) -> None:
        """Look whether the prefix is free or batchrun's, and make the scratch folder.

        Raises InputError if the prefix holds something that is not batchrun's.
        """
        if not self.exists(MANIFEST):
            strangers = sorted(name for name in self._names("") if name != LOCK)
            if strangers and not self.exists(MANIFEST):  # another start may have been faster
                raise InputError(
                    f"output.path {self.name}: holds objects and no batchrun manifest ({', '.join(strangers[:3])}); "
                    "choose an empty or new prefix"
                )
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"output.scratch {self._scratch}: {error.strerror}: {error.filename}") from error

    def hurry(self) -> None:
        """Wait for the store no longer than about a second from now; what takes longer raises HurriedError."""
        self._bucket.store.hurry()

    def hold(self) -> AbstractContextManager[Hold]:
        """Return the lock, to be entered, which may take a minute; LockedError then if another run holds the output."""
        self._lock = BucketLock(self._bucket, self._key(LOCK))
        return self._lock

    def is_held(self) -> bool:
        """Tell whether a run holds the output now."""
        return is_held(self._bucket, self._key(LOCK))

    def where(self, name: str) -> str:
        """Return an object's URL."""
        return self._bucket.where(self._key(name))

    def exists(self, name: str) -> bool:
        """Tell whether an object is there."""
        return self._bucket.head(self._key(name)) is not None

    def read(self, name: str) -> bytes:
        """Return an object's content; FileNotFoundError if it is not there."""
        found = self._bucket.get(self._key(name))
        if found is None:
            raise FileNotFoundError(f"{self.where(name)}: there is no such object")
        self._etags[name] = found.info.etag
        return found.content

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        """Write an object; LockedError if it is guarded and somebody else wrote it meanwhile.

        The state of a run that has lost its lock is nobody's business any more, and is not written.
        """
        del sync  # a store has what it has answered for
        if name in GUARDED:
            self._guarded(name, content)
        elif self._lock is None or self._lock.lost is None:
            self._bucket.put(self._key(name), content)

    def remove(self, name: str) -> None:
        """Remove an object that may be there."""
        self._bucket.delete([self._key(name)])
        self._etags.pop(name, None)
        self._known.pop(name, None)

    def names(self, folder: str) -> Mapping[str, Hashable]:
        """Return all objects in a folder of the output by name, with their ETags."""
        found = self._names(f"{folder}/")
        if folder == DATA and self._parts_before is None:
            self._parts_before = {f"{DATA}/{name}": etag for name, etag in found.items()}
        return found

    def open(self, name: str) -> pa.NativeFile:
        """Open an object for random reads, as it is now."""
        info = self._known.get(name) or self._bucket.head(self._key(name))
        if info is None:
            raise FileNotFoundError(f"{self.where(name)}: there is no such object")
        self._known[name] = info
        return pa.PythonFile(self._bucket.open(info), mode="r")

    def publish(self, beside: Path, name: str) -> None:
        """Upload a whole file of `tmp` as the object `name`, in place of the one that this run found, if any.

        Raises LockedError if the output is another run's by now, or that run has published the part.
        """
        if self._lock is not None:
            self._lock.renew()  # a machine that slept has found out by nothing else
        if before := (self._parts_before or {}).pop(name, None):
            self._etags[name] = before
        self._guarded(name, beside)
        self._known.pop(name, None)
        beside.unlink()

    def adopt(self, run_id: str) -> None:
        """Say which run's logs are meant by `wal` and `tmp`."""
        self._run_id = run_id
        self._copies = LogCopies(self._bucket, self._key("wal/"), self.wal)

    def logs(self) -> set[str]:
        """Return the names of the adopted run's logs, here or in copies."""
        here = {path.name for path in self.wal.glob(f"*{LOG_SUFFIX}")}
        return here | {copied_log(name) or "" for name in self._names("wal/")} - {""}

    def fetch_logs(self) -> None:
        """Bring the logs to `wal` that another machine copied to the bucket, and forget copies that are not needed."""
        if self._copies is not None:
            self._copies.fetch()

    def flush_logs(self, names: Collection[str]) -> None:
        """Copy to the bucket what was appended to these logs; LockedError if another run writes there."""
        self._refuse_if_lost()
        if self._copies is not None:
            self._copies.flush(names)

    def remove_log(self, name: str) -> None:
        """Remove a log whose part is there, and its copies."""
        self._refuse_if_lost()
        if self._copies is not None:
            self._copies.remove(name)

    def move_aside(self) -> str | None:
        """Copy an earlier output to a prefix beside it and remove it here; return where it went.

        The manifest goes last: whatever a kill leaves here is still the old output.
        """
        if not self.exists(MANIFEST):
            return None
        names = sorted(self._names("").keys() - {LOCK}, key=lambda name: (name == MANIFEST, name))
        aside = f"{self._prefix}.old-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        for name in names:
            self._bucket.copy(self._key(name), f"{aside}/{name}")
        if self._lock is not None:
            self._lock.renew()  # copies may take longer than a lock lasts
        self._bucket.delete([self._key(name) for name in names[:-1]])
        self._bucket.delete([self._key(MANIFEST)])
        self._etags.clear()
        self._known.clear()
        return self._bucket.where(aside)

    def clear_tmp(self) -> None:
        """Make the run's scratch folders, and remove what a killed run left half written."""
        shutil.rmtree(self.tmp, ignore_errors=True)
        for folder in (self.wal, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)

    def _refuse_if_lost(self) -> None:
        if self._lock is not None and self._lock.lost is not None:
            raise LockedError(self._lock.lost)

    def _guarded(self, name: str, content: bytes | Path) -> None:
        etag = self._etags.get(name)
        key = self._key(name)
        try:
            written = self._bucket.create(key, content) if etag is None else self._bucket.replace(key, content, etag)
        except ConflictError as error:
            raise LockedError(f"{error}; another run holds this output by now") from error
        self._etags[name] = written

    def _names(self, folder: str) -> dict[str, str]:
        """Return names below a folder, without it, with their ETags, and remember what was seen."""
        start = self._key(folder)
        found = {info.key.removeprefix(start): info for info in self._bucket.objects(start)}
        self._known |= {f"{folder}{name}": info for name, info in found.items()}
        return {name: info.etag for name, info in found.items()}

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _of_run(self) -> Path:
        if self._run_id is None:
            raise AssertionError("no run was adopted")
        return self._scratch / self._run_id
