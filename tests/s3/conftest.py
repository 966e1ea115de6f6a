"""What tests of the store share: a bucket, and the same behind a proxy that can be made to fail."""

from collections.abc import Iterator

import pytest

from batchrun.storage.s3 import Bucket, Connection, S3Options
from tests.s3.proxy import Proxy, proxy_to
from tests.services import ObjectStore


@pytest.fixture(scope="session")
def store(seaweed_server: ObjectStore) -> Iterator[Connection]:
    """One client for all tests, since opening one takes half a second; it opens in a test that has the keys."""
    with Connection(S3Options(endpoint=seaweed_server.endpoint)) as store:
        yield store


@pytest.fixture
def bucket(object_store: ObjectStore, store: Connection) -> Bucket:
    return Bucket(store, object_store.bucket)


@pytest.fixture(scope="session")
def proxy_and_store(seaweed_server: ObjectStore) -> Iterator[tuple[Proxy, Connection]]:
    with proxy_to(seaweed_server.endpoint) as proxy, Connection(S3Options(endpoint=proxy.endpoint)) as store:
        yield proxy, store


@pytest.fixture
def proxy(proxy_and_store: tuple[Proxy, Connection]) -> Iterator[Proxy]:
    proxy, _ = proxy_and_store
    proxy.seen.clear()
    proxy.hanging.clear()
    proxy.back.clear()
    proxy.away = False
    proxy.waited_out = 0
    yield proxy
    proxy.back.set()
    assert proxy.faults == [], "a fault did not come about"


@pytest.fixture
def faulty(object_store: ObjectStore, proxy: Proxy, proxy_and_store: tuple[Proxy, Connection]) -> Bucket:
    """The bucket, seen through the proxy."""
    return Bucket(proxy_and_store[1], object_store.bucket)
