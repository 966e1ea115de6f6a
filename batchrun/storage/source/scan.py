"""A scan opens every input file once and puts them in the order in which their rows are numbered."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from batchrun.errors import InputError
from batchrun.storage.s3 import Connection, S3Options
from batchrun.storage.source import formats
from batchrun.storage.source.facts import naming
from batchrun.storage.source.files import find_files, order_of
from batchrun.storage.source.found_file import FoundFile
from batchrun.storage.source.input_file import is_in_s3
from batchrun.storage.source.rows import Source
from batchrun.storage.source.source_file import SourceFile

NOTHING_KNOWN: Mapping[str, SourceFile] = MappingProxyType({})
FOOTERS_AT_ONCE = 24  # of a store: each waits for an answer, and holds a quarter of a megabyte


def scan(
    paths: Sequence[str],
    base: Path,
    known: Mapping[str, SourceFile] = NOTHING_KNOWN,
    options: S3Options | None = None,
) -> Source:
    """Return the rows of the files that `paths` mean, seen from `base`; `options` say how a store is reached.

    `known` are the files of a manifest by name, in its order. They come first and in that order; new files come
    last, sorted by name, so that no row's number ever changes. A known file of unchanged size and time, or ETag, is
    not read again. One that has changed is, and one that is gone keeps its place, so that the rows behind it keep
    their numbers: whoever owns the manifest compares.
    Raises InputError as `find_files` does, and for a file that cannot be read.
    """
    base = Path(os.path.abspath(base))  # noqa: PTH100 -- as find_files does, so that names mean the same
    store = Connection(options)
    found = find_files(paths, base, store, list(known))
    new = sorted(found.keys() - known.keys(), key=order_of)
    scanned = _scanned([*(found[name] for name in known if name in found), *(found[name] for name in new)], known)
    files = [*(scanned.get(name, known[name]) for name in known), *(scanned[name] for name in new)]
    return Source(base, files, missing=known.keys() - found.keys(), store=store)


def _scanned(found: Sequence[FoundFile], known: Mapping[str, SourceFile]) -> Mapping[str, SourceFile]:
    """Return what is known of each file, or learnt: a file at a time, but footers of a store many at once."""
    scanned: dict[str, SourceFile] = {}
    footers: list[FoundFile] = []
    for file in found:
        before = known.get(file.name)
        with naming(file.at):
            version = file.at.version()
        if before is not None and before.version.is_same(version):
            scanned[file.name] = before
        elif is_in_s3(file.name) and file.format == "parquet":
            footers.append(file)
        else:
            scanned[file.name] = _read(file)
    scanned |= zip((file.name for file in footers), _side_by_side(footers), strict=True)
    return scanned


def _side_by_side(files: Sequence[FoundFile]) -> Iterator[SourceFile]:
    if not files:
        return
    pool = ThreadPoolExecutor(FOOTERS_AT_ONCE)
    try:
        yield from pool.map(_read, files)
    finally:
        pool.shutdown(cancel_futures=True)  # the first file that cannot be read ends it


def _read(file: FoundFile) -> SourceFile:
    with naming(file.at):
        before = file.at.version()
        facts = formats.facts(file.at, file.format)
        after = file.at.version()
    if before != after:
        raise InputError(f"{file.at}: changed while it was scanned: {before.size_bytes} bytes, now {after.size_bytes}")
    return SourceFile(
        name=file.name,
        format=file.format,
        rows=facts.rows,
        size_bytes=after.size_bytes,
        mtime_ns=after.mtime_ns,
        digest=facts.digest,
        schema=facts.schema,
        partitions=file.partitions,
        etag=after.etag,
        marks=facts.marks,
    )
