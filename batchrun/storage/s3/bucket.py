"""A bucket: objects listed, read, and written under a condition, so that a late write loses instead of overwriting."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from batchrun.errors import StorageError
from batchrun.storage.s3.connection import CONNECTIONS, Connection
from batchrun.storage.s3.problems import BROKEN_READS, BUSY, ConflictError, MissingError, code_of
from batchrun.storage.s3.upload import DIGEST, Condition, copied, payload, sent

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

    from batchrun.storage.s3.reader import ObjectReader

KEYS_PER_PAGE = 1_000  # the most that S3 gives
KEYS_PER_DELETE = 1_000  # S3 API reference, DeleteObjects
ATTEMPTS = 6
FIRST_WAIT_S = 0.1  # doubled every time: 3 s in all
NEW: Condition = {"IfNoneMatch": "*"}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """A whole object; `age_s` is the time since its last write [s], both by the store's own clock."""

    info: ObjectInfo
    content: bytes
    age_s: float


class Bucket:
    """A bucket of a store, for any number of threads.

    Raises StorageError where, what and what to do; ConflictError and MissingError are of its kind.
    """

    def __init__(self, store: Connection, name: str) -> None:
        self.store = store
        self.name = name

    def __repr__(self) -> str:
        return f"Bucket({self.where()} at {self.store.endpoint})"

    def where(self, key: str = "") -> str:
        """Return the URL of an object, for messages."""
        return f"s3://{self.name}/{key}"

    def objects(self, prefix: str = "", after: str | None = None, up_to: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with `prefix`, in the order of their keys' bytes.

        Only those behind the key `after`, and up to `up_to` itself: several listings can go on side by side.
        """
        given: dict[str, str] = {} if after is None else {"StartAfter": after}
        last = None if up_to is None else up_to.encode()
        while True:
            page = self.store.call(self.where(prefix), partial(self._page, prefix, given))
            for found in page.get("Contents", []):
                if last is not None and found["Key"].encode() > last:
                    return
                yield ObjectInfo(found["Key"], found["Size"], found["ETag"], _moment(found["LastModified"]))
            if not page.get("IsTruncated"):
                return
            given = {"ContinuationToken": page["NextContinuationToken"]}

    def head(self, key: str) -> ObjectInfo | None:
        """Return an object without its content, None if there is none (or no such bucket: HEAD cannot tell)."""
        try:
            return _info(key, self._head(key))
        except MissingError:
            return None

    def get(self, key: str) -> Content | None:
        """Return a whole object, None if there is none."""
        try:
            answer, body = self._got(key, {})
        except MissingError:
            return None
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        info = _info(key, answer)
        age_s = (parsedate_to_datetime(told) - info.modified_at).total_seconds() if told else 0.0
        return Content(info, body, max(0.0, age_s))

    def get_all(self, keys: Sequence[str]) -> Iterator[Content | None]:
        """Yield whole objects in the order of `keys`, None for one that is not there; many are asked for at once.

        As many as there are connections; those that were read and not yet taken stay in memory.
        """
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            yield from pool.map(self.get, keys)

    def get_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        """Return the bytes `start` to `stop` (not included) of the very object that `info` describes.

        Raises ConflictError if it has changed since.
        """
        if start >= stop:
            return b""
        _, body = self._got(info.key, {"Range": f"bytes={start}-{stop - 1}", "IfMatch": info.etag})
        if len(body) != stop - start:
            raise StorageError(f"{self.where(info.key)}: {len(body)} bytes came of {stop - start} from byte {start}")
        return body

    def open(self, info: ObjectInfo) -> "ObjectReader":
        """Return the very object that `info` describes as a file to read anywhere in."""
        from batchrun.storage.s3.reader import ObjectReader  # here: a reader reads from a bucket

        return ObjectReader(self, info)

    def create(self, key: str, content: bytes | Path) -> str:
        """Write an object that must not be there yet; return its ETag.

        The same content in its place is no conflict: a write whose answer was lost has landed all the same. Raises
        ConflictError if another object is there, and OSError if a file cannot be read.
        """
        return self._written(key, content, NEW)

    def replace(self, key: str, content: bytes | Path, etag: str) -> str:
        """Write an object in the place of the one with `etag`; return the new ETag.

        Raises ConflictError if another object, or none, is there.
        """
        return self._written(key, content, {"IfMatch": etag})

    def put(self, key: str, content: bytes | Path) -> str:
        """Write an object whatever is there; return its ETag."""
        return self._written(key, content, {})

    def copy(self, key: str, to: str) -> None:
        """Copy an object within the bucket, whatever is at `to`."""
        info = self.head(key)
        if info is None:
            raise MissingError(f"{self.where(key)}: there is no such object")
        self.store.call(self.where(to), partial(copied, self.name, key, to, info.size_bytes))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""
        for first in range(0, len(keys), KEYS_PER_DELETE):
            some = keys[first : first + KEYS_PER_DELETE]
            answer = self.store.call(self.where(some[0]), partial(self._delete, some))
            for error in answer.get("Errors", []):
                raise StorageError(
                    f"{self.where(error.get('Key', ''))}: cannot be deleted: {error.get('Code')}: "
                    f"{error.get('Message')}"
                )

    def _written(self, key: str, content: bytes | Path, condition: Condition) -> str:
        what = payload(content)
        try:
            return self.store.call(
                self.where(key),
                lambda client: _again_while_busy(partial(sent, client, self.name, key, what, condition)),
            )
        except (ConflictError, MissingError) as error:
            # The SDK sends a put again whose answer was lost: what it then meets may be our own object.
            there = self._digest_at(key)
            if there is not None and there[0] == what.digest:
                return there[1]
            raise ConflictError(f"{self.where(key)}: was written by somebody else meanwhile") from error

    def _digest_at(self, key: str) -> tuple[str | None, str] | None:
        """Return digest and ETag of what is there."""
        try:
            answer = self._head(key)
        except MissingError:
            return None
        return answer["Metadata"].get(DIGEST), answer["ETag"]

    def _head(self, key: str) -> Any:
        async def ask(client: "S3Client") -> Any:
            return await client.head_object(Bucket=self.name, Key=key)

        return self.store.call(self.where(key), ask)

    def _got(self, key: str, given: dict[str, str]) -> tuple[Any, bytes]:
        """Return an answer and its body; a connection that breaks within it is no reason to give up."""

        async def ask(client: "S3Client") -> tuple[Any, bytes]:
            for attempt in range(ATTEMPTS):
                try:
                    answer = await client.get_object(Bucket=self.name, Key=key, **given)  # type: ignore[arg-type]
                    async with answer["Body"] as body:
                        return answer, await body.read()
                except BROKEN_READS:
                    if attempt == ATTEMPTS - 1:
                        raise
                    await anyio.sleep(FIRST_WAIT_S * 2**attempt)
            raise AssertionError("unreachable")

        return self.store.call(self.where(key), ask)

    async def _page(self, prefix: str, given: dict[str, str], client: "S3Client") -> Any:
        return await client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=KEYS_PER_PAGE, **given)  # type: ignore[arg-type]

    async def _delete(self, keys: Sequence[str], client: "S3Client") -> Any:
        return await client.delete_objects(
            Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )


async def _again_while_busy(write: Any) -> str:
    """Write, and again while another conditional write to the key is under way: S3 answers 409 and asks for that."""
    for attempt in range(ATTEMPTS - 1):
        try:
            etag: str = await write()
        except Exception as error:
            if code_of(error) != BUSY:
                raise
            await anyio.sleep(FIRST_WAIT_S * 2**attempt)
        else:
            return etag
    last: str = await write()
    return last


def _moment(told: str | datetime) -> datetime:
    return told if isinstance(told, datetime) else datetime.fromisoformat(told)


def _info(key: str, answer: Any) -> ObjectInfo:
    return ObjectInfo(key, answer["ContentLength"], answer["ETag"], answer["LastModified"])
