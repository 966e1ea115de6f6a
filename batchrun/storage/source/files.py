"""Which files `input.path` means, in an order that does not depend on the machine."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from batchrun.errors import InputError
from batchrun.storage.source.patterns import is_pattern, matches

FORMATS = {".parquet": "parquet", ".parq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
SUPPORTED = ", ".join(FORMATS)
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"  # the folder value that Hive, Spark, DuckDB and Polars write for null

Partitions = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that exists; nothing of it has been read."""

    name: str
    format: str

    def path(self, base: Path) -> Path:
        """Return where the file lies; a name outside of `base` is absolute and stays so."""
        return base / self.name

    @property
    def partitions(self) -> Partitions:
        """Return the `key=value` folders of the name, outermost first; the values are text or null."""
        pairs = (folder.partition("=") for folder in self.name.split("/")[:-1])
        return tuple((unquote(key), _hive_value(value)) for key, equals, value in pairs if key and equals)


def find_files(paths: Sequence[str], base: Path) -> list[FoundFile]:
    """Return every file that `paths` (files, folders, globs; relative to `base`) mean, sorted by name.

    Name: relative to `base` with `/` if the file lies inside it, else absolute. Sorted part by part, digits by their
    number: part-2 comes before part-10. A path that exists is taken as it is, whatever characters it holds; only
    then it is tried as a glob. Folders are searched to any depth. A folder or a wildcard never yields names that
    begin with `_` or `.`; written out, they are taken.

    Raises InputError: nothing there, nothing in the folder, an ending that is not supported (in a folder too, so
    that no file is left out in silence), a file reached twice, two formats in one folder or glob (more often the
    same rows twice than two halves), a store such as s3://.
    """
    base = Path(os.path.abspath(base))  # noqa: PTH100 -- Path.resolve would follow links and change names
    found: dict[str, FoundFile] = {}
    reached: dict[str, str] = {}
    for entry in paths:
        for file in _files_of(entry, base):
            real = os.path.realpath(file.path(base))
            if real in reached:
                raise InputError(f"input.path: {file.path(base)} is reached twice; first as {reached[real]!r}")
            reached[real] = entry
            found[file.name] = file
            if len(set(file.partitions)) != len(dict(file.partitions)):
                raise InputError(f"{file.path(base)}: two folders give one partition column different values")
    return sorted(found.values(), key=lambda file: _order(file.name))


def _files_of(entry: str, base: Path) -> list[FoundFile]:
    """Return what one entry of `input.path` means."""
    if store := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", entry):
        later = "; s3:// comes with the issue «Nothing lost»" if store[1].lower() == "s3" else ""
        raise InputError(f"input.path: {entry!r}: only local files can be read yet{later}")
    path = Path(os.path.abspath(base / entry))  # noqa: PTH100 -- as above
    if not entry or (not os.path.lexists(path) and not is_pattern(entry)):
        raise InputError(f"input.path: {entry!r}: there is no {path}")
    if not os.path.lexists(path):
        files = [_file(match, base) for match in sorted(set(_expand(entry, base)))]
        return _of_one_format(files, f"input.path: {entry!r} in {base}")
    if path.is_dir():
        return _of_one_format([_file(inner, base) for inner in _walk(path, ())], f"input.path: folder {path}")
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
        if path.name.startswith(("_", ".")):
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
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{path}: cannot read files that end in {path.suffix!r}; supported are {SUPPORTED}. "
            f"To leave a file out, name a glob such as *.parquet, or begin its name with _"
        )
    name = path.relative_to(base) if path.is_relative_to(base) else path
    return FoundFile(name.as_posix(), FORMATS[path.suffix.lower()])


def _of_one_format(files: list[FoundFile], where: str) -> list[FoundFile]:
    if not files:
        raise InputError(f"{where}: no files")
    first_of = {file.format: file.name for file in reversed(files)}
    if len(first_of) > 1:
        raise InputError(
            f"{where}: holds more than one format ({', '.join(sorted(first_of.values()))}), "
            f"which may be the same rows twice; name a glob for each that is wanted"
        )
    return files


def _hive_value(text: str) -> str | None:
    return None if text == HIVE_NULL else unquote(text)


def _order(name: str) -> tuple[list[list[str | int]], str]:
    """Return the sort key: each part as text, number, text, …; names alike but for leading zeros by their text."""
    split = [re.split(r"(\d+)", part) for part in name.split("/")]
    return [[int(bit) if at % 2 else bit for at, bit in enumerate(bits)] for bits in split], name
