"""Globs as job files use them: wildcards match within a name, `**` any depth, and neither finds hidden names."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path


def matches(pattern: str, base: Path) -> Iterator[Path]:
    """Yield the files and folders that `pattern` matches, seen from `base`, in no order and perhaps repeated.

    A name that begins with `_` or `.` counts only where the pattern itself has a part that begins so.
    """
    absolute = Path(pattern).is_absolute()
    found = glob.iglob(pattern, root_dir=None if absolute else base, recursive=True)  # noqa: PTH207 -- Path.glob refuses absolute patterns
    wanted = Path(pattern).parts
    for name in found:
        if _is_visible(Path(name).parts, wanted):
            yield Path(os.path.abspath(base / name))  # noqa: PTH100 -- Path.resolve would follow links


def fixed_prefix(pattern: str) -> str:
    """Return how every match of a pattern begins: "a/b/x" for "a/b/x*.csv"."""
    return re.split(r"[*?[]", pattern, maxsplit=1)[0]


def matches_key(key: str, pattern: str) -> bool:
    """Tell whether `pattern` finds the object `key`, by the rules of files: itself, or a folder that it lies in."""
    parts, wanted = key.split("/"), pattern.rstrip("/").split("/")
    return any(
        _is_visible(parts[:end], wanted) and not any(map(is_hidden, parts[end:])) for end in _ends(parts, wanted, 0)
    )


def is_hidden(name: str) -> bool:
    """Tell whether folders and wildcards pass over a name."""
    return name.startswith(("_", "."))


def _ends(parts: Sequence[str], wanted: Sequence[str], at: int) -> Iterator[int]:
    """Yield how many of `parts`, from `at` on, `wanted` may match."""
    if not wanted:
        yield at
    elif wanted[0] == "**":
        for after in range(at, len(parts) + 1):
            yield from _ends(parts, wanted[1:], after)
    elif at < len(parts) and fnmatchcase(parts[at], wanted[0]):
        yield from _ends(parts, wanted[1:], at + 1)


def _is_visible(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Tell whether none of a path's names is hidden, but for those that begin as a part of the pattern does."""
    begins = {part[0] for part in wanted if is_hidden(part)}
    hidden = (part for part in parts if is_hidden(part) and part not in wanted)
    return all(part[0] in begins for part in hidden)


def is_pattern(text: str) -> bool:
    """Tell whether `text` has a wildcard."""
    return re.search(r"[*?[]", text) is not None
