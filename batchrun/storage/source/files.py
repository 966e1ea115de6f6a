"""Which files `input.path` means, in an order that does not depend on the machine."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from batchrun.errors import InputError
from batchrun.storage.s3 import Connection
from batchrun.storage.source.found_file import FoundFile
from batchrun.storage.source.input_file import is_in_s3
from batchrun.storage.source.local_files import local_files
from batchrun.storage.source.s3_files import s3_files


def find_files(paths: Sequence[str], base: Path, store: Connection, known: Sequence[str]) -> dict[str, FoundFile]:
    """Return every file that `paths` (files, folders, globs; relative to `base`, or s3://) mean, by name, in no order.

    Name: relative to `base` with `/` if the file lies inside it, else absolute, or the URL. A path that exists is taken
    as it is, whatever characters it holds; only then it is tried as a glob. Folders are searched to any depth. A folder
    or a wildcard never yields names that begin with `_` or `.`; written out, they are taken. `known` are names of an
    earlier scan, which make it quicker.

    Raises InputError: nothing there, nothing in the folder, an ending that is not supported (in a folder too, so
    that no file is left out in silence), a file reached twice, two formats in one folder or glob (more often the
    same rows twice than two halves), another store than s3://. Raises StorageError for a store that cannot be listed.
    """
    base = Path(os.path.abspath(base))  # noqa: PTH100 -- Path.resolve would follow links and change names
    found: dict[str, FoundFile] = {}
    reached: dict[str, str] = {}
    for entry in paths:
        for file in _files_of(entry, base, store, known):
            real = file.name if is_in_s3(file.name) else os.path.realpath(str(file.at))
            if real in reached:
                raise InputError(f"input.path: {file.at} is reached twice; first as {reached[real]!r}")
            reached[real] = entry
            found[file.name] = file
            partitions = file.partitions
            if len(set(partitions)) != len(dict(partitions)):
                raise InputError(f"{file.at}: two folders give one partition column different values")
    return found


def _files_of(entry: str, base: Path, store: Connection, known: Sequence[str]) -> Sequence[FoundFile]:
    """Return what one entry of `input.path` means."""
    if is_in_s3(entry):
        return s3_files(entry, store, known)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", entry):
        raise InputError(f"input.path: {entry!r}: only local files and s3:// can be read")
    return local_files(entry, base)


def order_of(name: str) -> tuple[list[list[str | int]], str]:
    """Return the sort key: each part of a name as text, number, text, …, so that part-2 comes before part-10.

    Names alike but for leading zeros are told apart by their text.
    """
    split = [re.split(r"(\d+)", part) for part in name.split("/")]
    return [[int(bit) if at % 2 else bit for at, bit in enumerate(bits)] for bits in split], name
