"""Files of the file system that an entry of `input.path` means."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchrun.errors import InputError
from batchrun.storage.source.found_file import FoundFile, format_of, of_one_format
from batchrun.storage.source.input_file import LocalFile
from batchrun.storage.source.patterns import is_hidden, is_pattern, matches


def local_files(entry: str, base: Path) -> Sequence[FoundFile]:
    """Return the files that a path or glob means, seen from `base`.

    Raises InputError as `find_files` does.
    """
    path = Path(os.path.abspath(base / entry))  # noqa: PTH100 -- Path.resolve would follow links and change names
    if not entry or (not os.path.lexists(path) and not is_pattern(entry)):
        raise InputError(f"input.path: {entry!r}: there is no {path}")
    if not os.path.lexists(path):
        files = [_file(match, base) for match in sorted(set(_expand(entry, base)))]
        return of_one_format(files, f"input.path: {entry!r} in {base}")
    if path.is_dir():
        return of_one_format([_file(inner, base) for inner in _walk(path, ())], f"input.path: folder {path}")
    return [_file(path, base)]


def _expand(pattern: str, base: Path) -> Iterator[Path]:
    """Yield the files that `pattern` matches, and those inside of folders that it matches."""
    for path in matches(pattern, base):
        if path.is_dir():
            yield from _walk(path, ())
        else:
            yield path


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below `folder`, links followed, but not round a loop."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error
    for path in inside:
        if is_hidden(path.name):
            continue
        if path.is_dir():
            yield from _walk(path, (*above, real))
        else:
            yield path


def _file(path: Path, base: Path) -> FoundFile:
    """Return the file at `path`, once it is seen to be one that can be read."""
    try:
        mode = path.stat().st_mode
        str(path).encode()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!r}: the name is not UTF-8") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: not a regular file")
    name = path.relative_to(base) if path.is_relative_to(base) else path
    return FoundFile(name.as_posix(), format_of(str(path)), LocalFile(path))
