"""boto3 pointed at an emulator, with keys that open nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "not-a-secret"}
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1}, read_timeout=0.5, connect_timeout=5)


@contextmanager
def boto_client(url: str, region: str = "us-east-1") -> Iterator[Any]:
    """A bedrock-runtime client that tries once."""
    client = _session().client("bedrock-runtime", region_name=region, endpoint_url=url, config=ONE_ATTEMPT)
    try:
        yield client
    finally:
        client.close()


@cache  # a session reads botocore's models, and keeps them
def _session() -> boto3.Session:
    return boto3.Session(**KEYS)
