"""Objects that an entry of `input.path` means, found by listing alone: no object is asked for by itself."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from batchrun.errors import InputError
from batchrun.storage.s3 import Bucket, Connection, ObjectInfo
from batchrun.storage.source.found_file import FoundFile, format_of, of_one_format
from batchrun.storage.source.input_file import S3File, split_url
from batchrun.storage.source.patterns import fixed_prefix, is_hidden, is_pattern, matches_key

LISTINGS = 8  # at once: a page of 1,000 keys takes a tenth of a second, and the next one waits for it
KEYS_PER_LISTING = 5_000  # below that, one listing does
MARKERS = ("/", "_$folder$")  # keys by which the console and Hadoop stand in for folders


def s3_files(url: str, store: Connection, known: Sequence[str]) -> Sequence[FoundFile]:
    """Return the files that a URL means: an object, a folder or a glob, with the rules of files.

    `known` are names from an earlier scan, by which a long listing is divided. Raises InputError as `find_files`
    does, StorageError if the store cannot be listed.
    """
    name, key = split_url(url)
    bucket = Bucket(store, name)
    if key and not key.endswith("/") and (info := bucket.head(key)) is not None:
        return [_file(bucket, info)]
    folder = key if not key or key.endswith("/") else f"{key}/"
    inside = _listed(bucket, folder, known)
    files = [_file(bucket, info) for info in inside if not _passed_over(info.key[len(folder) :])]
    if inside:
        return of_one_format(files, f"input.path: folder {bucket.where(folder)}")
    if not is_pattern(key):
        raise InputError(f"input.path: {url!r}: there is no such object, and none below {bucket.where(folder)}")
    found = _listed(bucket, fixed_prefix(key), known)
    files = [_file(bucket, info) for info in found if not info.key.endswith(MARKERS) and matches_key(info.key, key)]
    return of_one_format(files, f"input.path: {url!r}")


def _passed_over(path: str) -> bool:
    return not path or path.endswith(MARKERS) or any(map(is_hidden, path.split("/")))


def _file(bucket: Bucket, info: ObjectInfo) -> FoundFile:
    url = bucket.where(info.key)
    return FoundFile(url, format_of(url), S3File(bucket, info))


def _listed(bucket: Bucket, prefix: str, known: Sequence[str]) -> list[ObjectInfo]:
    """Return the objects below `prefix`; where many are known, from several listings side by side."""
    start = bucket.where(prefix)
    keys = sorted((name[len(bucket.where()) :] for name in known if name.startswith(start)), key=str.encode)
    listings = min(LISTINGS, len(keys) // KEYS_PER_LISTING + 1)
    edges = [keys[len(keys) * at // listings] for at in range(1, listings)]
    bounds = zip([None, *edges], [*edges, None], strict=True)
    if listings == 1:
        return list(bucket.objects(prefix))
    with ThreadPoolExecutor(listings) as pool:
        return [info for some in pool.map(lambda two: list(bucket.objects(prefix, *two)), bounds) for info in some]
