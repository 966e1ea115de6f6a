"""Writes of any size: small content in one request, a large file in parts, streamed from disk a few at a time."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote

import anyio

from batchrun.storage.s3.problems import SDK_ERRORS

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

DIGEST = "batchrun-sha256"  # metadata: an ETag is a digest of the content in some stores and encryptions only
WHOLE_BYTES = 16 << 20
PART_BYTES = 8 << 20  # four at a time are 32 MB of memory
PARTS_AT_ONCE = 4
MOST_PARTS = 10_000  # S3 user guide, multipart upload limits
MOST_COPY_BYTES = 5 << 30  # the same, CopyObject
COPY_PART_BYTES = 1 << 30
ABORT_S = 0.3  # for the parts of an upload that was cancelled: whoever cancelled it is in a hurry

Send = Callable[[int, int, int], Awaitable[str]]  # part number, first byte, stop byte -> ETag


class Condition(TypedDict, total=False):
    """What must hold for a write to take place."""

    IfMatch: str
    IfNoneMatch: str


@dataclass(frozen=True, slots=True)
class Payload:
    """What is to be written, and the digest that goes along, so that its writer knows it again."""

    content: bytes | Path
    size_bytes: int
    digest: str


def payload(content: bytes | Path) -> Payload:
    """Look at what is to be written; raises OSError if a file cannot be read."""
    if isinstance(content, bytes):
        return Payload(content, len(content), hashlib.sha256(content).hexdigest())
    with content.open("rb") as file:
        return Payload(content, os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


async def sent(client: "S3Client", bucket: str, key: str, what: Payload, condition: Condition) -> str:
    """Write an object and return its ETag."""
    metadata = {DIGEST: what.digest}
    content = what.content
    if isinstance(content, Path):
        if what.size_bytes > WHOLE_BYTES:
            sizes = what.size_bytes, max(PART_BYTES, -(-what.size_bytes // MOST_PARTS))
            begin = partial(_from_file, client, bucket, key, content)
            return await _in_parts(client, bucket, key, sizes, metadata, condition, begin)
        content = await anyio.to_thread.run_sync(content.read_bytes)
    answer = await client.put_object(Bucket=bucket, Key=key, Body=content, Metadata=metadata, **condition)
    return answer["ETag"]


async def copied(bucket: str, key: str, to: str, size_bytes: int, client: "S3Client") -> None:
    """Copy an object of any size within the store, with its metadata."""
    if size_bytes <= MOST_COPY_BYTES:
        await client.copy_object(Bucket=bucket, Key=to, CopySource={"Bucket": bucket, "Key": key})
        return
    metadata = (await client.head_object(Bucket=bucket, Key=key))["Metadata"]
    source = quote(f"{bucket}/{key}")

    def begin(upload_id: str) -> Send:
        async def copy(number: int, start: int, stop: int) -> str:
            answer = await client.upload_part_copy(
                Bucket=bucket, Key=to, UploadId=upload_id, PartNumber=number,
                CopySource=source, CopySourceRange=f"bytes={start}-{stop - 1}",
            )  # fmt: skip
            return answer["CopyPartResult"]["ETag"]

        return copy

    await _in_parts(client, bucket, to, (size_bytes, COPY_PART_BYTES), metadata, {}, begin)


def _from_file(client: "S3Client", bucket: str, key: str, path: Path, upload_id: str) -> Send:
    async def send(number: int, start: int, stop: int) -> str:
        body = await anyio.to_thread.run_sync(_read, path, start, stop)
        answer = await client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
        return answer["ETag"]

    return send


def _read(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), stop - start, start)


async def _in_parts(
    client: "S3Client",
    bucket: str,
    key: str,
    sizes: tuple[int, int],
    metadata: Any,
    condition: Condition,
    begin: Callable[[str], Send],
) -> str:
    """Send an object of `sizes` (all, and each part [bytes]); what fails leaves no parts behind that are paid for."""
    size_bytes, part_bytes = sizes
    upload_id = (await client.create_multipart_upload(Bucket=bucket, Key=key, Metadata=metadata))["UploadId"]
    try:
        send = begin(upload_id)
        etags: dict[int, str] = {}
        places = anyio.Semaphore(PARTS_AT_ONCE)

        async def one(number: int, start: int) -> None:
            async with places:
                etags[number] = await send(number, start, min(start + part_bytes, size_bytes))

        try:
            async with anyio.create_task_group() as tasks:
                for number, start in enumerate(range(0, size_bytes, part_bytes), 1):
                    tasks.start_soon(one, number, start)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None  # they all say the same
        parts: Any = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        answer = await client.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **condition
        )
        return answer["ETag"]
    except BaseException as error:
        with anyio.move_on_after(None if isinstance(error, Exception) else ABORT_S, shield=True):
            await _abort(client, bucket, key, upload_id)
        raise


async def _abort(client: "S3Client", bucket: str, key: str, upload_id: str) -> None:
    try:
        await client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except SDK_ERRORS:
        pass  # what failed before is what is told; a lifecycle rule of the bucket removes such parts too
