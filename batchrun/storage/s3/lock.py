"""The lock of an output in a bucket: one run at a time, renewed while it lives, taken over when it no longer does."""

import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batchrun.errors import HurriedError, LockedError, StorageError
from batchrun.storage.s3.bucket import Bucket, Content
from batchrun.storage.s3.problems import ConflictError

RELEASED = b""


@dataclass(frozen=True, slots=True)
class LockTimes:
    """How often a lock is renewed, when one that is not counts as left behind, and how often a waiting run looks [s].

    A holder may miss three renewals before it has lost the lock, and a start waits for less than a minute.
    """

    renew_s: float = 10.0
    stale_s: float = 45.0
    look_s: float = 2.0
    wait_s: float = 60.0


TIMES = LockTimes()


class BucketLock:
    """A lock in an object, whose holder writes it anew every ten seconds.

    Taken by a conditional write, so of two starts at once one wins. A lock whose process is dead on this machine is
    taken over at once; else one that was not renewed for 45 s by the store's clock. While that is not certain, the
    start waits and watches: a renewal means that the holder lives. `lost` says when another run took the lock over:
    this machine may have slept. Released, the object stays and is empty, since not
    every store deletes under a condition.
    Raises LockedError on entry if another run holds the output.
    """

    def __init__(self, bucket: Bucket, key: str, times: LockTimes = TIMES) -> None:
        self.lost: str | None = None  # why it is another run's by now
        self._bucket = bucket
        self._key = key
        self._renewing = threading.Lock()
        self._times = times
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._token = uuid.uuid4().hex
        self._renewals = 0
        self._etag: str | None = None
        self._released = threading.Event()
        self._heartbeat = threading.Thread(target=self._renew_until_released, name="batchrun-lock", daemon=True)

    def __repr__(self) -> str:
        return f"BucketLock({self._bucket.where(self._key)}, {'held' if self._etag else 'not held'})"

    def __enter__(self) -> Self:
        try:
            self._etag = self._taken()
        except ConflictError:
            raise self._locked(self._bucket.get(self._key)) from None
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._heartbeat.join()
        etag, self._etag = self._etag, None
        if etag is None:
            return
        try:
            self._bucket.replace(self._key, RELEASED, etag)
        except ConflictError:
            pass  # another run has it by now
        except HurriedError:
            pass  # it lapses, or is taken at once where this process is known to have ended
        except StorageError:
            if error is None:  # else what ended the run is told; the lock is free once it is not renewed
                raise

    @property
    def held(self) -> bool:
        """Tell whether the lock is this run's, as far as is known."""
        return self._etag is not None

    def renew(self) -> None:
        """Prove that the lock is still this run's.

        Raises LockedError if it is not, StorageError if the store cannot be asked.
        """
        with self._renewing:
            if self._etag is not None:
                self._renewals += 1
                try:
                    self._etag = self._bucket.replace(self._key, self._line(), self._etag)
                except ConflictError:
                    self._etag = None
                    self.lost = self._why_lost()
        if self.lost is not None:
            raise LockedError(self.lost)

    def _taken(self) -> str:
        """Take the lock and return its ETag.

        Raises ConflictError if another start was faster, LockedError if the holder lives.
        """
        deadline_s = time.monotonic() + self._times.wait_s
        seen: str | None = None
        while True:
            held = self._bucket.get(self._key)
            if held is None:
                return self._bucket.create(self._key, self._line())
            if not _is_live(held, self._times):
                return self._bucket.replace(self._key, self._line(), held.info.etag)
            if seen not in (None, held.info.etag) or time.monotonic() > deadline_s:
                raise self._locked(held)
            seen = held.info.etag
            time.sleep(self._times.look_s)

    def _renew_until_released(self) -> None:
        renewed = _Moment()
        while not self._released.wait(self._times.renew_s / 10):
            if renewed.passed_s() < self._times.renew_s:
                continue
            try:
                self.renew()
                renewed = _Moment()
            except LockedError:
                return
            except StorageError:
                pass  # the store is away: the next look tries again, and finds out whose the lock is by then

    def _why_lost(self) -> str:
        try:
            now = self._bucket.get(self._key)
        except StorageError:
            now = None
        by = _named(now) if now is not None else None
        return (
            f"{self._bucket.where(self._key)}: this run lost its lock, which it had not renewed for "
            f"{self._times.stale_s:.0f} s, to {by or 'a run that has ended since'}"
        )

    def _line(self) -> bytes:
        """Return what the lock says; no two writes of it are alike."""
        held: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "place": _place()}
        held |= {"since": self._since, "token": self._token, "renewals": self._renewals}
        return json.dumps(held).encode()

    def _locked(self, held: Content | None) -> LockedError:
        by = _named(held) if held is not None else None
        folder = self._bucket.where(self._key.rpartition("/")[0])
        return LockedError(f"{folder}: another run holds this output: {by or 'it has only just begun'}")


class _Moment:
    """A moment, and how long ago it was, by whichever clock saw more: one of them stands still while asleep."""

    def __init__(self) -> None:
        self._monotonic_s = time.monotonic()
        self._wall_s = time.time()

    def passed_s(self) -> float:
        return max(time.monotonic() - self._monotonic_s, time.time() - self._wall_s)


def is_held(bucket: Bucket, key: str) -> bool:
    """Tell whether a run holds the lock now."""
    held = bucket.get(key)
    return held is not None and _is_live(held, TIMES)


def _is_live(held: Content, times: LockTimes) -> bool:
    """Tell whether a run may be behind a lock: not released, not of a dead process here, renewed of late."""
    if held.content == RELEASED or held.age_s >= times.stale_s:
        return False
    told = _told(held)
    return not (told.get("place") == _place() and isinstance(told.get("pid"), int) and not _runs(told["pid"]))


def _told(held: Content) -> dict[str, Any]:
    try:
        told = json.loads(held.content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _named(held: Content) -> str | None:
    """Say who holds a lock; None if it is released."""
    if held.content == RELEASED:
        return None
    told = _told(held)
    if not {"pid", "host", "since"} <= told.keys():
        return "a process that left no name"
    return f"process {told['pid']} on {told['host']}, since {told['since']}"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _place() -> str:
    """Return where a process ID means what it means here: this machine since it was started, this container.

    Containers may share a host name, and each has a process 1.
    """
    names = [socket.gethostname()]
    for path, read in (("/proc/sys/kernel/random/boot_id", Path.read_text), ("/proc/self/ns/pid", Path.readlink)):
        try:
            names.append(str(read(Path(path))).strip())
        except OSError:
            names.append("")  # no Linux: the host's name must do
    return " ".join(names)
