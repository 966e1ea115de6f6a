"""Paths of a job file: relative to that file's folder, and never from the output back into the input."""

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


def resolved(path: str, base: Path) -> str:
    """Return `path` as an absolute path or glob; `~` is the user's home, anything else relative belongs to `base`.

    Raises ValueError if it is empty, a URL or holds a NUL.
    """
    if not path:
        raise ValueError("must not be empty")
    if "\0" in path:
        raise ValueError("must hold no NUL character")
    if url := URL.match(path):
        raise ValueError(f"must be a local path, not {url['scheme']}://")
    joined = str(base / (Path(path).expanduser() if path.split("/", 1)[0] == "~" else path))
    plain = os.path.normpath(joined)
    # "link/../x" is not "x" when link points elsewhere: shorten only what stays the same place.
    return plain if os.path.realpath(plain) == os.path.realpath(joined) else joined


def text_of(path: Path) -> str:
    """Read a UTF-8 file whole, without its byte order mark.

    Raises ValueError that says what is wrong with `path`.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}") from None
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise ValueError(f"is a folder, not a file: {path}") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def overlap(output: str, pattern: str) -> bool:
    """Tell whether a run could read its own results: `output` is, contains or lies in what `pattern` matches."""
    written, read = (_parts(path) for path in (output, pattern))
    for ours, theirs in zip(written, read, strict=False):
        if theirs == "**":
            return True
        if ours != theirs and not fnmatchcase(ours, theirs):
            return False
    return True


def _parts(path: str) -> tuple[str, ...]:
    """Return the names on the way to a path or URL; those of a URL and of a path have nothing in common."""
    if URL.match(path):
        return tuple(path.rstrip("/").split("/"))
    return Path(os.path.realpath(path)).parts
