"""What a run under torture has around its system calls: it counts the passes of every point, and dies at one of them.

The production code knows nothing of it. Only a process that was made for this installs it: see `zygote.py`.
"""

import fcntl
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from batchrun.storage.s3 import Bucket
from tests.torture.points import AFTER, BEFORE, DURING, HALF, Death, role_of


class Watch:
    """Counts the passes of points below an output folder, and kills the process at the pass it was told."""

    def __init__(self, output: Path, death: Death | None, record: int) -> None:
        """Take the file descriptor on which a death is written down just before it happens."""
        self._output = str(output)
        self._death = death
        self._record = record
        self._lock = threading.Lock()
        self._write = os.write
        self.passes: Counter[str] = Counter()

    def install(self) -> None:
        """Wrap the calls that durable code makes."""
        os.write = self._writing(os.write)  # type: ignore[assignment]
        os.open = self._opening(os.open)
        for name, did in (("fsync", "sync"), ("fdatasync", "sync"), ("ftruncate", "truncate")):
            setattr(os, name, self._of_descriptor(getattr(os, name), did))
        for name in ("rename", "replace"):
            setattr(os, name, self._renaming(getattr(os, name)))
        for name, did in (("unlink", "remove"), ("mkdir", "made")):
            setattr(os, name, self._of_path(getattr(os, name), did))
        pq.ParquetWriter.__init__ = self._around(pq.ParquetWriter.__init__, lambda of: self._of_part(of[1], "begin"))
        for name, did in (("write_table", "row group"), ("close", "close")):
            call = getattr(pq.ParquetWriter, name)
            setattr(pq.ParquetWriter, name, self._around(call, lambda of, did=did: self._of_part(of[0].where, did)))

        for name, did in (("create", "upload"), ("replace", "upload"), ("put", "upload"), ("delete", "delete")):
            call = getattr(Bucket, name)
            setattr(Bucket, name, self._around(call, lambda of, did=did: _of_object(of[1], did)))

    def passed(self, point: str, when: str) -> None:
        """Count a pass, and die of it where that was wanted, or some time after it."""
        if self._is_the_last(point, when):
            self.die()
        if when == BEFORE and self._death is not None and self._is_the_last(point, DURING):
            threading.Timer(self._death.delay_s, self.die).start()

    def die(self) -> None:
        """Write down which death it is, and send SIGKILL to this process."""
        self._write(self._record, json.dumps({"died": True}).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def _is_the_last(self, point: str, when: str) -> bool:
        with self._lock:
            self.passes[f"{point}, {when}"] += 1
            nth = self.passes[f"{point}, {when}"]
        wanted = self._death
        return wanted is not None and (wanted.point, wanted.when, wanted.nth) == (point, when, nth)

    def _role(self, path: str) -> str | None:
        if path == self._output:
            return "output folder"
        return role_of(path[len(self._output) + 1 :]) if path.startswith(f"{self._output}/") else None

    def _role_of(self, descriptor: int) -> str | None:
        try:
            return self._role(_path_of(descriptor))
        except OSError:  # a pipe, or closed by another thread
            return None

    def _of_part(self, where: object, did: str) -> str | None:
        """Name what a Parquet writer does, if it writes a part and not into memory."""
        return f"part {did}" if self._role(str(where)) == "part" else None

    def _around(
        self, call: Callable[..., Any], point_of: Callable[[tuple[Any, ...]], str | None]
    ) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            point = point_of(arguments)
            if point is None:
                return call(*arguments, **options)
            self.passed(point, BEFORE)
            result = call(*arguments, **options)
            self.passed(point, AFTER)
            return result

        return wrapped

    def _of_descriptor(self, call: Callable[..., Any], did: str) -> Callable[..., Any]:
        def point_of(arguments: tuple[Any, ...]) -> str | None:
            role = self._role_of(arguments[0])
            return f"{role} {did}" if role is not None else None

        return self._around(call, point_of)

    def _of_path(self, call: Callable[..., Any], did: str) -> Callable[..., Any]:
        def point_of(arguments: tuple[Any, ...]) -> str | None:
            path = os.fspath(arguments[0])
            role = self._role(path) if isinstance(path, str) else None
            if role is None and did == "made" and f"{path}".startswith(f"{self._output}.old-"):
                return "output folder set aside"
            return f"{role} {did}" if role is not None else None

        return self._around(call, point_of)

    def _renaming(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def point_of(arguments: tuple[Any, ...]) -> str | None:
            role = self._role(os.fspath(arguments[0]))
            inside = self._role(os.fspath(arguments[1])) is not None
            return f"{role} {'rename' if inside else 'set aside'}" if role is not None else None

        return self._around(call, point_of)

    def _opening(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def point_of(arguments: tuple[Any, ...]) -> str | None:
            if len(arguments) < 2 or not arguments[1] & os.O_CREAT or Path(arguments[0]).exists():
                return None
            role = self._role(os.fspath(arguments[0]))
            return f"{role} create" if role is not None else None

        return self._around(call, point_of)

    def _writing(self, call: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
        def wrapped(descriptor: int, data: bytes) -> int:
            role = self._role_of(descriptor)
            if role is None:
                return call(descriptor, data)
            point = f"log append {_event(data)}" if role == "log" else f"{role} write"
            self.passed(point, BEFORE)
            if self._is_the_last(point, HALF):  # as a kill does in the midst of a long line
                call(descriptor, data[: len(data) // 2])
                self.die()
            written = call(descriptor, data)
            self.passed(point, AFTER)
            return written

        return wrapped


def _of_object(key: str | list[str], did: str) -> str:
    """Name what is done to an object of a bucket: it bears the prefix of its output."""
    name = (key if isinstance(key, str) else next(iter(key), "")).partition("/")[2]
    return f"{role_of(name) or name.partition('/')[0]} {did}"


def _path_of(descriptor: int) -> str:
    if hasattr(fcntl, "F_GETPATH"):  # macOS
        return fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _event(line: bytes) -> str:
    """Return what a line of the log is about: the first key of its JSON."""
    return line[11 : line.index(b'"', 11)].decode()
