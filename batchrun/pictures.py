"""A row's images: from cells of bytes, or of paths and s3:// URLs, read when the row's turn comes."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from batchrun.bedrock.image import MOST_BYTES, MOST_IMAGES, Image, image_of
from batchrun.errors import StorageError
from batchrun.jobspec.places import s3_place
from batchrun.storage.s3 import S3Options

MOST_OF_A_ROW = 20_000_000  # bytes of images; more would be above Bedrock's 25 MB as base64


class PictureError(Exception):
    """An image that cannot be sent; the message says which column and why."""


class Pictures:
    """Takes the images out of a row; what it does may wait for disks and stores, so it belongs in a thread."""

    def __init__(self, columns: Sequence[str], base: Path, options: S3Options) -> None:
        """Take the columns in the order in which their images are sent, and where relative paths begin."""
        self.columns = tuple(columns)
        self._base = base
        self._options = options
        self._store: Any = None

    def __repr__(self) -> str:
        return f"Pictures({', '.join(self.columns)})"

    def of(self, cells: Mapping[str, Any]) -> list[Image]:
        """Return a row's images.

        Raises PictureError if one of them cannot be sent, StorageError if a store is out of reach.
        """
        images: list[Image] = []
        size_bytes = 0
        for column in self.columns:
            try:
                for given in _each(cells[column]):
                    data = self._data(given)
                    size_bytes += len(data)
                    images.append(image_of(data))
                    if len(images) > MOST_IMAGES:
                        raise ValueError(f"is one too many: Bedrock takes {MOST_IMAGES} images")
                    if size_bytes > MOST_OF_A_ROW:
                        raise ValueError(f"makes {size_bytes:,} bytes of images: a request takes {MOST_OF_A_ROW:,}")
            except ValueError as error:
                raise PictureError(f"column {column!r}: the image {error}") from None
        return images

    def _data(self, given: object) -> bytes:
        if isinstance(given, bytes):
            return given
        if not isinstance(given, str):
            raise ValueError(f"is a {type(given).__name__}, neither bytes nor a path")
        if given.lower().startswith("s3://"):
            return self._object(given)
        parts = urlsplit(given)
        if "://" in given and parts.scheme.lower() != "file":
            raise ValueError(f"lies at {parts.scheme}://: local paths, file:// and s3:// can be read")
        return self._file(Path(unquote(parts.path)) if "://" in given else self._base / given)

    def _file(self, path: Path) -> bytes:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("is no file")
            _check_size(found.st_size)
            return path.read_bytes()
        except FileNotFoundError:
            raise ValueError("is not there: no such file") from None
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None

    def _object(self, url: str) -> bytes:
        place = s3_place(url)
        if place is None or not place.key:
            raise ValueError("is no s3://BUCKET/KEY")
        from batchrun.storage.s3 import (  # only such a job waits for the SDK
            Bucket,
            ConflictError,
            Connection,
            MissingError,
        )

        if self._store is None:
            self._store = Connection(self._options)
        bucket = Bucket(self._store, place.bucket)
        try:
            info = bucket.head(place.key)
            if info is None:
                raise ValueError("is not there: no such object")
            _check_size(info.size_bytes)
            return bucket.get_range(info, 0, info.size_bytes)
        except (ConflictError, MissingError):
            raise ValueError("was replaced while it was read") from None
        except StorageError as error:
            raise StorageError(f"an image of the input: {error}") from error


def _each(cell: object) -> Iterator[object]:
    """Yield the images of a cell: one, or a list of them."""
    for given in cell if isinstance(cell, list) else [cell]:
        if given is None:
            raise ValueError("is null")
        yield given


def _check_size(size_bytes: int) -> None:
    if size_bytes > MOST_BYTES:
        raise ValueError(f"has {size_bytes:,} bytes, Bedrock takes {MOST_BYTES:,}")
