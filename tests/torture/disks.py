"""Disks of a size, and folders that take nothing: real mounts for root, the nearest thing to them for anybody else."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

A_FILE_BYTES = 3_000  # less than a log or a part of these jobs


def fastest_place() -> Path | None:
    """Return a folder in memory, where a sync costs nothing; a kill takes no more and no less there than on a disk."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def may_mount() -> bool:
    """Tell whether this process may try to mount file systems."""
    return os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A folder in which only so much fits: `prepare` is what a run must do for it where nothing could be mounted."""

    path: Path
    size_bytes: int
    mounted: bool

    @property
    def prepare(self) -> tuple[str, ...]:
        """Name what makes the disk small for a run, if the disk itself is not."""
        return () if self.mounted else ("has_small_files", str(min(self.size_bytes, A_FILE_BYTES)))

    def enlarge(self) -> None:
        """Make room."""
        if self.mounted:
            assert _mount("-o", "remount,size=64m", str(self.path))


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a tmpfs of so many bytes at `path`; where that is not allowed, bound the files of the run instead."""
    path.mkdir()
    mounted = may_mount() and _mount("-t", "tmpfs", "-o", f"size={size_bytes},mode=0755", "none", str(path))
    try:
        yield SmallDisk(path, size_bytes, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(path)], check=True)


@dataclass(frozen=True, slots=True)
class ReadOnlyDisk:
    """A folder on a disk that takes nothing: `prepare` has a run see it as such where nothing could be mounted."""

    path: Path
    mounted: bool

    @property
    def prepare(self) -> tuple[str, ...]:
        """Name what refuses the writes of a run, if the disk itself does not."""
        return () if self.mounted else ("has_a_read_only_disk", str(self.path))


@contextmanager
def read_only_disk(path: Path) -> Iterator[ReadOnlyDisk]:
    """Have `path` and all below on a read-only mount; where that is not allowed, patch the calls of the run."""
    bound = may_mount() and _mount("--bind", str(path), str(path))
    try:
        mounted = bound and _mount("-o", "remount,bind,ro", str(path))
        yield ReadOnlyDisk(path, mounted)
    finally:
        if bound:
            subprocess.run(["umount", str(path)], check=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Take the right to write from `path` and all below; root must be bound by permissions to notice."""
    modes = {one: one.stat().st_mode for one in [path, *path.rglob("*")]}
    for one, mode in modes.items():
        one.chmod(mode & 0o555)
    try:
        yield
    finally:
        for one, mode in modes.items():
            one.chmod(mode)
