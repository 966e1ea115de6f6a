"""A file of the input, wherever it lies: what it is called, which version of it there is, and its bytes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from batchrun.storage.s3 import Bucket, Connection, ObjectInfo

S3 = "s3://"


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one content of a file from another without reading it; `etag` is "" for local files."""

    size_bytes: int
    mtime_ns: int
    etag: str = ""

    def is_same(self, other: "Version") -> bool:
        """Tell whether both are one version; of an object written again with one ETag the time says nothing."""
        if self.etag or other.etag:
            return (self.size_bytes, self.etag) == (other.size_bytes, other.etag)
        return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)


class InputFile(Protocol):
    """A file that can be read; as text it is its path or URL, for messages."""

    def version(self) -> Version:
        """Return the version there is now; raises OSError."""

    def open(self) -> BinaryIO:
        """Return the file to read anywhere in."""

    def for_pyarrow(self) -> Any:
        """Return what pyarrow takes: a path, which it reads without Python's help, or an open file."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of a file system."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> Version:
        """Return the version there is now; raises OSError."""
        about = self.path.stat()
        return Version(about.st_size, about.st_mtime_ns)

    def open(self) -> BinaryIO:
        """Return the file to read anywhere in."""
        return self.path.open("rb")

    def for_pyarrow(self) -> Path:
        """Return the path."""
        return self.path


@dataclass(frozen=True, slots=True)
class S3File:
    """An object in one version: read is that or nothing, so it need not be asked whether it still is."""

    bucket: Bucket
    info: ObjectInfo

    def __str__(self) -> str:
        return self.bucket.where(self.info.key)

    def version(self) -> Version:
        """Return the one version that can be read."""
        return Version(self.info.size_bytes, round(self.info.modified_at.timestamp() * 1e9), self.info.etag)

    def open(self) -> BinaryIO:
        """Return the object to read anywhere in, in ranges."""
        return cast("BinaryIO", self.bucket.open(self.info))

    def for_pyarrow(self) -> BinaryIO:
        """Return the object to read anywhere in."""
        return self.open()


def is_in_s3(name: str) -> bool:
    """Tell whether a path or the name of a file is an s3:// URL."""
    return name.startswith(S3)


def split_url(url: str) -> tuple[str, str]:
    """Return the bucket and the key, or the beginning of keys, of an s3:// URL."""
    bucket, _, key = url.removeprefix(S3).partition("/")
    return bucket, key


def where(name: str, base: Path) -> str:
    """Return the path or URL of the file called `name`; one outside of `base` has an absolute name."""
    return name if is_in_s3(name) else str(base / name)


def located(name: str, version: Version, base: Path, store: Connection) -> InputFile:
    """Return the file called `name`; of an object, that `version`."""
    if not is_in_s3(name):
        return LocalFile(base / name)
    bucket, key = split_url(name)
    modified_at = datetime.fromtimestamp(version.mtime_ns / 1e9, UTC)
    return S3File(Bucket(store, bucket), ObjectInfo(key, version.size_bytes, version.etag, modified_at))
