"""Sockets that show a sign of life: an answer may take longer than the 350 s after which an idle flow is dropped.

The SDK's own option for it, tcp_keepalive, is not heeded by its asynchronous half (aiobotocore 2.25).
"""

import socket
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import AddrInfoType

FIRST_SIGN_S = 60
SIGN_EVERY_S = 60


class LivelySession(AIOHTTPSession):
    """The SDK's HTTP session, whose connections send TCP keep-alives."""

    def __init__(self, connector_args: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(connector_args={**(connector_args or {}), "socket_factory": lively_socket}, **options)


def lively_socket(address: AddrInfoType) -> socket.socket:
    """Return a socket that sends a keep-alive after a minute without traffic, and every minute from then on."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", FIRST_SIGN_S), ("TCP_KEEPINTVL", SIGN_EVERY_S)):
        if hasattr(socket, name):  # Linux; elsewhere the system's own times hold
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
