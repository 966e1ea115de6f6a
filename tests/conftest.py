"""What every test has: no AWS account in reach, asyncio under anyio, and an object store for those that ask."""

import os
from collections.abc import Iterator

import pytest

from tests.services import Account, ObjectStore, ministack, seaweed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the credentials and proxies of whoever runs the tests out of reach."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """One S3 server for all tests of a run; a test that asks for it fails where it does not start."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as store:
        yield store


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One AWS of another make for all tests of a run; a test that asks for it fails where it does not start."""
    with ministack(tmp_path_factory.mktemp("ministack")) as account:
        yield account


@pytest.fixture
def object_store(seaweed_server: ObjectStore, no_account: None, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The S3 server with an empty bucket, and its keys in the environment."""
    for name, value in seaweed_server.environment.items():
        monkeypatch.setenv(name, value)
    seaweed_server.empty()
    return seaweed_server
