"""How a store is reached that input or output lies in."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from batchrun.jobspec.values import Name, Table

EXPECTED = 'must be the URL of a store, such as "https://minio.example.org:9000"'


def a_store_url(url: str) -> str:
    """Refuse what is not the plain URL of a server."""
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise ValueError(EXPECTED)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ValueError(f"{EXPECTED}; {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(EXPECTED)
    if "@" in parts.netloc:
        raise ValueError("must hold no user name and no password")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end after the host and port: the bucket is part of the path s3://bucket/…")
    return url.rstrip("/")


class StorageOptions(Table):
    """Where s3:// is; credentials themselves come from the SDK's chain and are in no job file."""

    endpoint: Annotated[str, AfterValidator(a_store_url)] | None = Field(
        default=None, description="URL of a store other than Amazon S3"
    )
    region: Name | None = Field(default=None, description="Region of the buckets; unset: the SDK's chain")
    profile: Name | None = Field(default=None, description="profile of the shared AWS files; unset: the SDK's chain")
