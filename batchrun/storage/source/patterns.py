"""Globs as job files use them: wildcards match within a name, `**` any depth, and neither finds hidden names."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path


def matches(pattern: str, base: Path) -> Iterator[Path]:
    """Yield the files and folders that `pattern` matches, seen from `base`, in no order and perhaps repeated.

    A name that begins with `_` or `.` counts only where the pattern itself has a part that begins so.
    """
    absolute = Path(pattern).is_absolute()
    found = glob.iglob(pattern, root_dir=None if absolute else base, recursive=True)  # noqa: PTH207 -- Path.glob refuses absolute patterns
    hidden_parts = {part[0] for part in Path(pattern).parts if part[0] in "_."}
    fixed_parts = set(Path(pattern).parts)
    for name in found:
        hidden = (part for part in Path(name).parts if part[0] in "_." and part not in fixed_parts)
        if all(part[0] in hidden_parts for part in hidden):
            yield Path(os.path.abspath(base / name))  # noqa: PTH100 -- Path.resolve would follow links


def is_pattern(text: str) -> bool:
    """Tell whether `text` has a wildcard."""
    return re.search(r"[*?[]", text) is not None
