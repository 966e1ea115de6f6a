"""A store as worker threads use it: plain calls, carried out by an event loop in a thread of its own."""

import math
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

import aioboto3
import anyio
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from anyio.from_thread import BlockingPortal
from botocore import exceptions as sdk_errors
from botocore.utils import parse_timestamp

from batchrun.bedrock.sockets import LivelySession
from batchrun.errors import HurriedError
from batchrun.storage.s3.listing import read_page
from batchrun.storage.s3.problems import EXPIRED, SDK_ERRORS, code_of, problem

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")

CONNECTIONS = 32
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 20.0  # a lock that waits for longer has lapsed
ATTEMPTS = 10  # with the SDK's waits of up to 20 s: a store may be away for about a minute
REGION = "us-east-1"  # where nothing names one: S3 says which Region a bucket is in, and the SDK goes there
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
CLOSED_WITHIN_S = 10.0
HURRIED_S = 0.5  # left to what is under way when a run is stopped at once, and as much again to its last words


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where a store is and who asks; None leaves each to the SDK's own chain."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None


@dataclass(slots=True)
class _Running:
    """The event loop's thread and what lives in it; `client` is a new one once credentials were read again."""

    portal: BlockingPortal
    thread: threading.Thread
    clients: AsyncExitStack
    client: "S3Client"


class Connection:
    """One S3 client for any number of threads and buckets; opened by its first call.

    A call blocks the thread that makes it, so an event loop makes it from a worker thread. The SDK's chain gives the
    credentials and renews them; keys that have expired are read again once. Every call raises StorageError that says
    where, what and what to do. Closed by `with`, `close`, or when nobody holds it any more.
    """

    def __init__(self, options: S3Options | None = None) -> None:
        self.options = options or S3Options()
        self._opening = threading.Lock()
        self._running: _Running | None = None
        self._closing: Any = None
        self._until_s = math.inf  # by time.monotonic, which is the event loop's clock
        self._under_way: set[anyio.CancelScope] = set()  # touched in the event loop only

    def __repr__(self) -> str:
        return f"Connection({self.endpoint}, {'open' if self._running else 'closed'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """Return where calls go, for messages."""
        return self.options.endpoint or "Amazon S3"

    def call(self, where: str, ask: "Callable[[S3Client], Awaitable[T]]") -> T:
        """Return what `ask` answers, given the client, in the event loop; `where` is for messages."""
        running = self._opened(where)
        client = running.client
        try:
            try:
                return running.portal.call(self._asked, where, ask, client)
            except sdk_errors.ClientError as error:
                if code_of(error) not in EXPIRED:
                    raise
                self._renew(running, client)
                return running.portal.call(self._asked, where, ask, running.client)
        except SDK_ERRORS as error:
            raise problem(error, where, self.endpoint) from error

    def hurry(self) -> None:
        """Wait for the store no longer than about a second from now; what takes longer raises HurriedError.

        Returns at once, so an event loop may call it.
        """
        self._until_s = time.monotonic() + 2 * HURRIED_S
        running = self._running  # without its lock, which a thread may hold that is opening the client
        if running is not None:
            running.portal.start_task_soon(self._hurry_those_under_way)

    def close(self) -> None:
        """End the event loop and its connections; the next call opens them anew."""
        with self._opening:
            running, self._running = self._running, None
            if running is not None:
                self._closing.detach()
                _stop(running)

    async def _asked(self, where: str, ask: "Callable[[S3Client], Awaitable[T]]", client: "S3Client") -> T:
        with anyio.CancelScope(deadline=self._until_s) as scope:
            self._under_way.add(scope)
            try:
                return await ask(client)
            finally:
                self._under_way.discard(scope)
        raise HurriedError(f"{where}: {self.endpoint} was not waited for, since the run was stopped at once")

    async def _hurry_those_under_way(self) -> None:
        for scope in self._under_way:
            scope.deadline = min(scope.deadline, self._until_s - HURRIED_S)

    def _opened(self, where: str) -> _Running:
        with self._opening:
            if self._running is None:
                try:
                    self._running = _start(self.options)
                except SDK_ERRORS as error:
                    raise problem(error, where, self.endpoint) from error
                self._closing = weakref.finalize(self, _stop, self._running)
            return self._running

    def _renew(self, running: _Running, expired: "S3Client") -> None:
        """Start a client from a new session, unless another thread did; calls in flight end on the old one."""
        with self._opening:
            if running.client is expired:
                running.client = running.portal.call(_open_client, self.options, running.clients)


def _start(options: S3Options) -> _Running:
    """Start the loop's thread; raises what the SDK raises if there is no such profile."""
    begun: SimpleQueue[_Running | Exception] = SimpleQueue()

    async def serve() -> None:
        try:
            async with AsyncExitStack() as clients:
                client = await _open_client(options, clients)
                async with BlockingPortal() as portal:
                    begun.put(_Running(portal, thread, clients, client))
                    await portal.sleep_until_stopped()
        except Exception as error:  # noqa: BLE001 -- raised by the thread that waits for it
            begun.put(error)

    # A daemon: a process that forgets to close a store can end all the same.
    thread = threading.Thread(target=anyio.run, args=(serve,), name="batchrun-s3", daemon=True)
    thread.start()
    answer = begun.get()
    if isinstance(answer, Exception):
        thread.join()
        raise answer
    return answer


def _stop(running: _Running) -> None:
    if not running.thread.is_alive():
        return
    running.portal.start_task_soon(running.portal.stop)
    if threading.current_thread() is not running.thread:  # a collector may run anywhere
        running.thread.join(CLOSED_WITHIN_S)


async def _open_client(options: S3Options, clients: AsyncExitStack) -> "S3Client":
    core = AioSession(profile=options.profile)
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    session = aioboto3.Session(botocore_session=core)
    region = options.region or core.get_config_variable("region") or REGION
    client = await clients.enter_async_context(
        session.client("s3", region_name=region, endpoint_url=options.endpoint, config=_config(options))
    )
    client.meta.events.register("before-parse.s3.ListObjectsV2", read_page)
    return client


def _moment(text: str) -> datetime:
    """Read a time of an answer; the SDK's own way takes half of the time of a long listing."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parse_timestamp(text)


def _config(options: S3Options) -> AioConfig:
    on_this_machine = options.endpoint is not None and urlsplit(options.endpoint).hostname in LOOPBACK
    return AioConfig(
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        http_session_cls=LivelySession,
        # Stores other than AWS need not know the newer checksums; the signature covers the body all the same.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if options.endpoint is not None else None,
        proxies={} if on_this_machine else None,
    )
