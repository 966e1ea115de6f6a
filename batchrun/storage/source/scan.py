"""A scan opens every input file once and puts them in the order in which their rows are numbered."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from batchrun.errors import InputError
from batchrun.storage.source import formats
from batchrun.storage.source.facts import naming
from batchrun.storage.source.files import FoundFile, find_files
from batchrun.storage.source.rows import Source
from batchrun.storage.source.source_file import SourceFile

NOTHING_KNOWN: Mapping[str, SourceFile] = MappingProxyType({})


def scan(paths: Sequence[str], base: Path, known: Mapping[str, SourceFile] = NOTHING_KNOWN) -> Source:
    """Return the rows of the files that `paths` mean, seen from `base`.

    `known` are the files of a manifest by name, in its order. They come first and in that order; new files come
    last, sorted by name, so that no row's number ever changes. A known file of unchanged size and time is not read
    again. One that has changed is, and one that is gone keeps its place, so that the rows behind it keep their numbers:
    whoever owns the manifest compares.
    Raises InputError as `find_files` does, and for a file that cannot be read.
    """
    base = Path(os.path.abspath(base))  # noqa: PTH100 -- as find_files does, so that names mean the same
    found = {file.name: file for file in find_files(paths, base)}
    files = [_scanned(found[name], base, known[name]) if name in found else known[name] for name in known]
    files += [_scanned(file, base, None) for name, file in found.items() if name not in known]
    return Source(base, files, missing=known.keys() - found.keys())


def _scanned(file: FoundFile, base: Path, known: SourceFile | None) -> SourceFile:
    path = file.path(base)
    with naming(path):
        before = path.stat()
    if known is not None and (known.size_bytes, known.mtime_ns) == (before.st_size, before.st_mtime_ns):
        return known
    facts = formats.facts(path, file.format)
    with naming(path):
        after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise InputError(f"{path}: changed while it was scanned: {before.st_size} bytes, now {after.st_size}")
    return SourceFile(
        name=file.name,
        format=file.format,
        rows=facts.rows,
        size_bytes=after.st_size,
        mtime_ns=after.st_mtime_ns,
        digest=facts.digest,
        schema=facts.schema,
        partitions=file.partitions,
    )
