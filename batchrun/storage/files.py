"""Files that appear whole or not at all: written beside, synced, renamed."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace `path` by a file that holds `content`; without `sync` a power cut may bring the old one back."""
    beside = beside_of(path)
    try:
        with named(beside), beside.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give errors that name no file the name of `path`: those of descriptors have none, and Arrow's hide the reason."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def beside_of(path: Path) -> Path:
    """Return where the next content of `path` is written; a kill may leave it there."""
    return path.with_name(f".{path.name}.new")


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return `content` as JSON for people and programs; a lone surrogate in it as the escape that JSON has for it."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def why(error: OSError) -> str:
    """Return what the system says, with what to do where that is not plain."""
    told = error.strerror or str(error)
    return f"{told} (mount it for writing, or choose another output.path)" if error.errno == errno.EROFS else told
