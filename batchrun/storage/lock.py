"""The lock of an output folder: one run at a time, and a killed run leaves none behind."""

import fcntl
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from batchrun.errors import LockedError, StorageError
from batchrun.storage.files import why

LOOKS = 5
LOOK_EVERY_S = 0.02


class FolderLock:
    """An advisory lock that the kernel drops with the process; the file says who holds it.

    Raises LockedError on entry if another run holds the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"{self._path}: {why(error)}") from error
        try:
            _take(descriptor)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LockedError(f"{self._path.parent}: another run holds this output: {holder(self._path)}") from error
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"{self._path}: this file system has no locks: {error.strerror}") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _holder_line())
        self._descriptor = descriptor
        return self

    @property
    def lost(self) -> str | None:
        """None: the kernel keeps the lock for as long as the process lives."""
        return None

    def renew(self) -> None:
        """Do nothing: the lock is ours."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _take(descriptor: int) -> None:
    """Take the lock; look again for a moment, since `is_held` holds it for an instant."""
    for _ in range(LOOKS - 1):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_EVERY_S)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(path: Path) -> str:
    """Say who wrote the lock file last."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return f"process {held['pid']} on {held['host']}, since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no name"


def _holder_line() -> bytes:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode()


def is_held(path: Path) -> bool:
    """Tell whether a run holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
