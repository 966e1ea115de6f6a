"""A journal of what a run asks of the disk: what it synced, which names it made, moved and removed, in their order.

Like `hooks.py` it is installed in the run's own process. Whatever is removed or replaced gets a further name first, so
that a power cut can bring it back; see `power.py`.
"""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any


class DiskJournal:
    """Writes a line per operation; an operation that fails is none."""

    def __init__(self, base: Path, kept: Path) -> None:
        """Take the folder that the output lies in, and the one where removed files are kept with the journal."""
        self._base = f"{base}/"
        self._kept = kept
        self._file = os.open(kept / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._write = os.write
        self._link = os.link

    def install(self) -> None:
        """Wrap the calls that change names, and those that sync."""
        os.open = self._opening(os.open)
        os.mkdir = self._making(os.mkdir)
        os.unlink = self._removing(os.unlink)
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._syncing(getattr(os, name)))
        for name in ("rename", "replace"):
            setattr(os, name, self._renaming(getattr(os, name)))

    def _note(self, did: str, **what: object) -> None:
        self._write(self._file, (json.dumps({"did": did, **what}) + "\n").encode())

    def _ours(self, path: Any) -> bool:
        return isinstance(path, str | Path) and str(path).startswith(self._base)

    def _keep(self, path: str) -> int | None:
        """Give a file a further name; return its inode, None if there is no such file."""
        try:
            inode = os.lstat(path).st_ino
            if not (self._kept / f"{inode}").exists():
                self._link(path, self._kept / f"{inode}")
        except FileNotFoundError:
            return None
        except PermissionError:  # a folder
            return os.lstat(path).st_ino
        return inode

    def _syncing(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def wrapped(descriptor: int) -> None:
            before = os.fstat(descriptor)
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            names = {}
            if stat.S_ISDIR(before.st_mode):
                with os.scandir(path) as entries:
                    names = {entry.name: entry.inode() for entry in entries}
            call(descriptor)
            if not self._ours(f"{path}/"):
                return
            if stat.S_ISDIR(before.st_mode):
                self._note("sync folder", folder=path, names=names)
            else:
                self._note("sync file", inode=before.st_ino, size=before.st_size)

        return wrapped

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def wrapped(path: Any, flags: int, *more: Any, **options: Any) -> int:
            new = bool(flags & os.O_CREAT) and self._ours(path) and not Path(path).exists()
            descriptor = call(path, flags, *more, **options)
            if new:
                self._note("make", path=str(path), inode=os.fstat(descriptor).st_ino)
            return descriptor

        return wrapped

    def _making(self, call: Callable[..., None]) -> Callable[..., None]:
        def wrapped(path: Any, *more: Any, **options: Any) -> None:
            call(path, *more, **options)
            if self._ours(path):
                self._note("make", path=str(path), inode=os.lstat(path).st_ino)

        return wrapped

    def _removing(self, call: Callable[..., None]) -> Callable[..., None]:
        def wrapped(path: Any, *more: Any, **options: Any) -> None:
            inode = self._keep(str(path)) if self._ours(path) else None
            call(path, *more, **options)
            if inode is not None:
                self._note("remove", path=str(path), inode=inode)

        return wrapped

    def _renaming(self, call: Callable[..., None]) -> Callable[..., None]:
        def wrapped(path: Any, to: Any, *more: Any, **options: Any) -> None:
            inode = self._keep(str(path)) if self._ours(path) else None
            if self._ours(to):
                self._keep(str(to))
            call(path, to, *more, **options)
            if inode is not None:
                self._note("make", path=str(to), inode=inode)
                self._note("remove", path=str(path), inode=inode)

        return wrapped
