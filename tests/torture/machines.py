"""What a run under torture may find around it, or have wrong with itself; called in the run's own process."""

import ctypes
import errno
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

CAPABILITY_VERSION_3 = 0x20080522  # of linux/capability.h


def has_keys(access_key: str, secret: str) -> None:
    """Have the credentials of an object store."""
    os.environ |= {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}


# Sabotage: a harness that does not find these proves nothing.


def forgets_an_outcome() -> None:
    """Note every fifth outcome in memory alone, as if the write-ahead log did not matter."""
    from batchrun.storage import wal

    outcome_line = wal.outcome_line

    def forgetful(outcome: Any) -> bytes:
        line = outcome_line(outcome)
        return line if outcome.row % 5 else b"00000000 " + line[9:]

    wal.outcome_line = forgetful


def notes_no_call() -> None:
    """Send calls without a line in the log before."""
    from batchrun.storage.wal import RangeLog

    RangeLog.sent = _nothing(RangeLog.sent)  # type: ignore[method-assign]


def is_bound_by_permissions() -> None:
    """Give up what root may do beyond its permissions, and keep what root may read."""
    if os.geteuid() == 0:
        header, data = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
            raise OSError(ctypes.get_errno(), "capset")


def has_small_files(largest_bytes: str) -> None:
    """Let no file grow beyond a size: what a full disk is to a user who may mount none."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_bytes), resource.RLIM_INFINITY))


def has_a_read_only_disk(folder: str) -> None:
    """Have the system refuse to make or open for writing what is below a folder, as a read-only mount does."""
    make, open_file, writing = os.mkdir, os.open, os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def refuse(path: Any) -> None:
        if Path(path).is_relative_to(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def mkdir(path: Any, *arguments: Any, **options: Any) -> None:
        if not Path(path).exists():
            refuse(path)
        make(path, *arguments, **options)

    def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & writing:
            refuse(path)
        return open_file(path, flags, *arguments, **options)

    os.mkdir, os.open = mkdir, opened


def has_a_clock_that_goes_back() -> None:
    """Let the calendar go back by an hour at every look, as after a wrong clock was set right."""
    from batchrun import clock

    class Backwards(datetime):
        looks = 0

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            cls.looks += 1
            return datetime.now(tz) - cls.looks * timedelta(hours=1)

    told_s, looks = time.time, count(1)
    clock.datetime = Backwards  # type: ignore[misc]
    time.time = lambda: told_s() - 3_600 * next(looks)


def loses_its_output(output: str, when_there_are: str) -> None:
    """Have somebody remove the output folder once it has so many parts."""

    def remove() -> None:
        data = Path(output) / "data"
        while not data.is_dir() or len(list(data.iterdir())) < int(when_there_are):
            time.sleep(0.005)
        shutil.rmtree(output)

    threading.Thread(target=remove, daemon=True).start()


def forgets_to_sync_parts() -> None:
    """Sign parts without a sync, so that they are renamed before their bytes are safe."""
    from batchrun.storage import part_facts

    class Forgetful:
        SEEK_SET, SEEK_CUR, SEEK_END = os.SEEK_SET, os.SEEK_CUR, os.SEEK_END

        @staticmethod
        def fsync(descriptor: int) -> None:
            del descriptor

    part_facts.os = Forgetful  # type: ignore[assignment]


def _nothing(call: Callable[..., None]) -> Callable[..., None]:
    @wraps(call)
    def nothing(*arguments: Any, **options: Any) -> None:
        del arguments, options

    return nothing
