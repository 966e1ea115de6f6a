"""Where a dataset or an output lies: a path of this machine or a URL of an object store."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo

from batchrun.jobspec.paths import URL, resolved
from batchrun.jobspec.values import Table, base_of

S3_URL = re.compile(r"[Ss]3://(?P<bucket>[^/]*)/?(?P<key>.*)", re.DOTALL)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # S3 user guide, bucket naming rules
STORE_URL = 'must be the URL of a store, such as "https://minio.example.org:9000"'


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket and a key or prefix in it, without a slash at either end."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def s3_place(url: str) -> S3Place | None:
    """Return what an s3:// URL means, None for anything else.

    Raises ValueError if the bucket cannot be one, or the key holds what no file name should.
    """
    parts = S3_URL.fullmatch(url)
    if parts is None:
        return None
    if not BUCKET.fullmatch(parts["bucket"]):
        raise ValueError(f"{parts['bucket']!r} cannot be the name of a bucket: s3://BUCKET/PREFIX")
    key = parts["key"].strip("/")
    if any(step in ("", ".", "..") for step in key.split("/")) and key:
        raise ValueError("must hold no empty step, '.' or '..'")
    if re.search(r"[\x00-\x1f\x7f]", key):
        raise ValueError("must hold no control characters")
    return S3Place(parts["bucket"], key)


def an_output(value: object, info: ValidationInfo) -> Path | S3Place:
    """Read a path or an s3:// URL; a relative path belongs to the job file's folder."""
    if isinstance(value, S3Place):
        return value
    if not isinstance(value, str | Path):
        raise ValueError("must be a string")
    place = s3_place(os.fspath(value))
    if place is None:
        return Path(resolved(os.fspath(value), base_of(info)))
    if not place.key:
        raise ValueError("must name a prefix in the bucket, such as s3://bucket/out/reviews")
    return place


def an_input(path: str, base: Path) -> str:
    """Return a path or glob as `resolved` does, or an s3:// URL, whose keys are taken as they are.

    Raises ValueError as `resolved` does, for another kind of URL, and for one without a bucket.
    """
    url = URL.match(path)
    if url is None or "\0" in path:
        return resolved(path, base)
    if url["scheme"].lower() != "s3":
        raise ValueError(f"must be a local path or s3://, not {url['scheme']}://")
    bucket, slash, key = path[url.end() :].partition("/")
    if not BUCKET.fullmatch(bucket):
        raise ValueError(f's3:// takes a bucket and a path, such as "s3://my-bucket/reviews"; {bucket!r} is no bucket')
    return f"s3://{bucket}{slash}{key}"


def a_store_url(url: str) -> str:
    """Refuse what is not the plain URL of a server."""
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise ValueError(STORE_URL)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ValueError(f"{STORE_URL}; {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(STORE_URL)
    if "@" in parts.netloc:
        raise ValueError("must hold no user name and no password")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end after the host and port: the bucket is part of the path s3://bucket/…")
    return url.rstrip("/")


Place = Annotated[Path | S3Place, PlainValidator(an_output)]


class StorageOptions(Table):
    """How an object store is reached; what is left out is left to the SDK's own chain."""

    endpoint: Annotated[str, AfterValidator(a_store_url)] | None = Field(
        default=None, description='URL of a store such as "https://minio.example.org:9000"; unset: Amazon S3'
    )
    region: str | None = Field(default=None, min_length=1, description="Region of the store; unset: the SDK's chain")
    profile: str | None = Field(
        default=None, min_length=1, description="profile of the shared AWS files; unset: the SDK's chain"
    )
