"""Sockets that show a sign of life, and notice when the other end shows none.

An answer may take longer than the 350 s after which AWS's balancers drop an idle flow without a word; and after a
laptop's sleep, or where the network went away, nobody may be there any more while a call waits for its answer.

The SDK's own option for it, tcp_keepalive, is not heeded by its asynchronous half (aiobotocore 2.25).
"""

import socket
import ssl
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import AddrInfoType, ClientResponse, ClientSession, TCPConnector

FIRST_SIGN_S = 60
SIGN_EVERY_S = 15
SIGNS = 4  # unanswered, until the connection is given up: two minutes after the last sign of the other end
# What was sent and never acknowledged; the system's own patience is 15 minutes and more (Linux, tcp_retries2). Lost
# Wi-Fi may well come back within this.
UNACKNOWLEDGED_MS = 60_000
# By the system's own names of them; those that it does not have keep its own times.
OPTIONS = {
    "TCP_KEEPIDLE": FIRST_SIGN_S,
    "TCP_KEEPALIVE": FIRST_SIGN_S,  # macOS's name of the first
    "TCP_KEEPINTVL": SIGN_EVERY_S,
    "TCP_KEEPCNT": SIGNS,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MS,
}


class LivelySession(AIOHTTPSession):
    """The SDK's HTTP session, whose connections send TCP keep-alives, and whose calls go where they were sent.

    aiobotocore 2.25 leaves aiohttp's default in place, which takes the prompt to wherever a redirect points.
    """

    def __init__(self, connector_args: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(connector_args={**(connector_args or {}), "socket_factory": lively_socket}, **options)

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _Direct(await super()._get_session(proxy_url))  # type: ignore[misc]  # not in the stubs


class _Direct:
    """A session that follows no redirect."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **options: Any) -> ClientResponse:
        return await self._session.request(method, allow_redirects=False, **options)


def lively_connector(connections: int, keep_alive_s: float, tls: ssl.SSLContext) -> TCPConnector:
    """Return a pool of lively connections of our own; they are kept for `keep_alive_s` while not in use."""
    return TCPConnector(limit=connections, keepalive_timeout=keep_alive_s, ssl=tls, socket_factory=lively_socket)


def lively_socket(address: AddrInfoType) -> socket.socket:
    """Return a socket that sends keep-alives after a minute without traffic, and fails soon where none is answered."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in OPTIONS.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
