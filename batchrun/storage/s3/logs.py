"""Copies of logs in a bucket: an object for every stretch that was appended, named by where it begins."""

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from threading import Lock

from batchrun.errors import LockedError
from batchrun.storage.files import write_atomically
from batchrun.storage.replay import again_of
from batchrun.storage.s3.bucket import Bucket
from batchrun.storage.s3.problems import ConflictError

STRETCH = re.compile(r"(?P<log>[0-9]{6,}\.log)\.[0-9]{12,}")


class LogCopies:
    """Copies what was appended to the logs of a folder, and brings back what another machine copied.

    A stretch is written on the condition that its place is free. If it is not, another run writes there.
    """

    def __init__(self, bucket: Bucket, prefix: str, wal: Path) -> None:
        """Take where the copies lie, and the folder of the logs."""
        self._bucket = bucket
        self._prefix = prefix
        self._wal = wal
        self._copied: dict[str, int] = {}  # of each log, up to where it was copied [bytes]
        self._keys: dict[str, list[str]] = defaultdict(list)
        self._copying = Lock()  # one thread copies while another writes parts

    def __repr__(self) -> str:
        return f"LogCopies({self._bucket.where(self._prefix)}, {len(self._copied)} logs)"

    def fetch(self) -> None:
        """Join every copied log with the one that lies here, if one does; to be called once, before any is open.

        A log that goes on where its copies end stays. Where they differ, another machine has gone on from the copies:
        its lines come first, then ours; of two outcomes of one row the first counts.
        """
        for name, copied in self._by_log().items():
            path = self._wal / name
            here = path.read_bytes() if path.exists() else b""
            if not here.startswith(copied):
                # A log of another generation is of outcomes that were replaced by a part since.
                rest = _rest(here, copied) if again_of(here) == again_of(copied) else b""
                write_atomically(path, copied + rest)
            self._copied[name] = len(copied)

    def flush(self, names: Collection[str]) -> None:
        """Copy what was appended to these logs since the last time.

        Raises LockedError if another run has written there, StorageError if the store is away.
        """
        for name in names:
            with self._copying:
                self._flush(name)

    def remove(self, name: str) -> None:
        """Remove a log and its copies."""
        with self._copying:
            (self._wal / name).unlink(missing_ok=True)  # first: it must not be copied again
            self._bucket.delete(self._keys.pop(name, []))
            self._copied.pop(name, None)

    def _flush(self, name: str) -> None:
        start = self._copied.get(name, 0)
        try:
            with (self._wal / name).open("rb") as file:
                file.seek(start)
                content = file.read()
        except FileNotFoundError:
            return  # it became a part meanwhile
        content = content[: content.rfind(b"\n") + 1]
        if not content:
            return
        key = f"{self._prefix}{name}.{start:012d}"
        try:
            self._bucket.create(key, content)
        except ConflictError as error:
            there = self._bucket.get(key)
            if there is None or not content.startswith(there.content):
                raise LockedError(f"{error}; another run holds this output by now") from error
            content = there.content  # ours, of a write whose answer was lost; the rest follows
        self._keys[name].append(key)
        self._copied[name] = start + len(content)

    def _by_log(self) -> dict[str, bytes]:
        """Return the content of each copied log, as far as its stretches join."""
        stretches = [
            (name, info.key)
            for info in self._bucket.objects(self._prefix)
            if (name := copied_log(info.key.removeprefix(self._prefix))) is not None
        ]
        logs: dict[str, bytearray] = defaultdict(bytearray)
        # A run of hours leaves thousands of stretches, and each read waits for the network.
        for (name, key), stretch in zip(stretches, self._bucket.get_all([key for _, key in stretches]), strict=True):
            self._keys[name].append(key)
            if stretch is not None and int(key.rpartition(".")[2]) == len(logs[name]):
                logs[name] += stretch.content
        return {name: bytes(content) for name, content in logs.items()}


def copied_log(name: str) -> str | None:
    """Return the log that an object among the copies is a stretch of, None if it is none of ours."""
    found = STRETCH.fullmatch(name)
    return found["log"] if found else None


def _rest(here: bytes, copied: bytes) -> bytes:
    """Return the lines of `here` from the first that the copies have not."""
    ours, theirs = here.splitlines(keepends=True), copied.splitlines(keepends=True)
    alike = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), len(theirs))
    return b"".join(ours[alike:])
