"""Where a dataset or an output lies: a path of this machine or a URL of an object store."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, PlainValidator, ValidationInfo

from batchrun.jobspec.paths import resolved
from batchrun.jobspec.values import Table, base_of

S3_URL = re.compile(r"[Ss]3://(?P<bucket>[^/]*)/?(?P<key>.*)", re.DOTALL)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # S3 user guide, bucket naming rules


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


Place = Annotated[Path | S3Place, PlainValidator(an_output)]


class StorageOptions(Table):
    """How an object store is reached; what is left out is left to the SDK's own chain."""

    endpoint: str | None = Field(default=None, pattern=r"https?://[^\s]+", description="URL of a store that is not AWS")
    region: str | None = Field(default=None, min_length=1, description="Region of the store")
    profile: str | None = Field(default=None, min_length=1, description="profile of the shared AWS files")
