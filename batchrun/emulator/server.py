"""The local Bedrock over HTTP: on loopback only, in another program's event loop or in a process of its own."""

import asyncio
import errno
import json
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from secrets import token_hex
from typing import Any

import anyio
from aiohttp import web

from batchrun.bedrock.card import Card
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.control import Control
from batchrun.emulator.control_call import read_control_call
from batchrun.emulator.reply import Reply
from batchrun.emulator.service import Bedrock, Call, Running

HOST = "127.0.0.1"
_LOOPBACK = (HOST, "::1")
_BACKLOG = 4_096  # a client may open thousands of connections at once
_HANG_POLL_S = 0.2
_STOP_S = 0.05  # calls in flight at the end get no answer
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST, not FIN


class EmulatorError(RuntimeError):
    """The emulator cannot start."""


class Emulator:
    """A running emulator: where it listens and what it has seen."""

    def __init__(self, bedrock: Bedrock, now_s: Callable[[], float]) -> None:
        self.bedrock = bedrock
        self.control = Control(bedrock.spec, bedrock.card)
        self.url = ""
        self._now_s = now_s
        self._rtt_s = bedrock.spec.rtt_ms / 1000
        self._ids = count(1)
        self._id_prefix = f"emulated-{token_hex(4)}-"

    def __repr__(self) -> str:
        return f"Emulator({self.url!r}, {self.bedrock!r})"

    def stats(self) -> Mapping[str, Any]:
        """Return what `GET /stats` answers."""
        return {"window": self.bedrock.spec.window, "up_s": round(self._now_s(), 3), **self.bedrock.books.stats()}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to one HTTP request, after the time it takes."""
        body = await request.content.read()  # without aiohttp's limit of 1 MB: what is too large, Bedrock says
        asked = read_control_call(request.method, request.raw_path, request.headers, body)
        if asked is not None:
            await anyio.sleep(self.bedrock.spec.control_latency_s)
            return self._response(self.control.answer(asked))
        if request.method != "POST":
            return self._tell(request)
        outcome = self.bedrock.begin(Call(request.raw_path, request.headers, body), self._now_s())
        if isinstance(outcome, Running):
            if outcome.wait_s > 0:
                await anyio.sleep(outcome.wait_s)
            outcome = self.bedrock.finish(outcome, self._now_s())
        if self._rtt_s > 0:
            await anyio.sleep(self._rtt_s)
        if outcome.wire == "whole":
            return self._response(outcome)
        return await self._break_off(request, outcome)

    def _response(self, reply: Reply) -> web.Response:
        headers = {
            "x-amzn-RequestId": f"{self._id_prefix}{next(self._ids):012x}",
            "x-batchrun-emulator": "1",
            "Content-Type": reply.content_type,
            **reply.headers,
        }
        return web.Response(body=reply.body, status=reply.status, headers=headers)

    async def _break_off(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        if reply.wire == "cut":
            response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
            response.content_length = len(reply.body) + 1_000
            with suppress(ConnectionError):  # a client that has gone needs no cutting off
                await response.prepare(request)
                await response.write(reply.body[: len(reply.body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        while reply.wire == "hang" and request.transport is not None:  # noqa: ASYNC110 - aiohttp has no event for it
            await anyio.sleep(_HANG_POLL_S)
        if request.transport is not None:
            own_socket = request.transport.get_extra_info("socket")
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            request.transport.abort()
        return web.Response(status=500)  # never sent: nobody listens any more

    def _tell(self, request: web.BaseRequest) -> web.Response:
        known = request.method == "GET" and request.path == "/stats"
        told = self.stats() if known else {"message": "Emulator: POST a call, or GET /stats"}
        return self._response(Reply(200 if known else 404, json.dumps(told).encode()))


@asynccontextmanager
async def serve(
    spec: EmulatorSpec,
    *,
    host: str = HOST,
    port: int = 0,
    card: Card | None = None,
    now_s: Callable[[], float] | None = None,
) -> AsyncIterator[Emulator]:
    """Run an emulator in this event loop as long as the context lasts; port 0 = any free one.

    `now_s` is the clock of the meters, from 0 [s]; latency is always real. Raises EmulatorError if the port is in use
    or `host` is not this machine alone, ValueError if `spec` names a pool that the card does not have.
    """
    if host not in _LOOPBACK:
        raise EmulatorError(f"the emulator listens on loopback only ({', '.join(_LOOPBACK)}), not on {host!r}")
    emulator = Emulator(Bedrock(spec, card), now_s or _clock())
    loop = asyncio.get_running_loop()
    # AWS closes idle connections too, but a test should not meet that by chance.
    http = web.Server(emulator.answer, access_log=None, keepalive_timeout=3_600)
    try:
        listener = await loop.create_server(http, host, port, backlog=_BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise EmulatorError(f"port {port} on {host} is in use; choose another, or 0 for any free one") from error
    emulator.url = f"http://{_in_url(host)}:{listener.sockets[0].getsockname()[1]}"
    try:
        yield emulator
    finally:
        listener.close()
        with anyio.CancelScope(shield=True):
            await http.shutdown(_STOP_S)


def run_forever(
    spec: EmulatorSpec, *, port: int = 0, on_ready: Callable[[str], None] | None = None
) -> Mapping[str, Any]:
    """Run an emulator until SIGINT or SIGTERM and return its last stats; `on_ready` gets the URL once it listens."""

    async def run() -> Mapping[str, Any]:
        async with serve(spec, port=port) as emulator:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                if on_ready is not None:
                    on_ready(emulator.url)
                async for _ in signals:
                    break
            return emulator.stats()

    return anyio.run(run, backend="asyncio")


def _clock() -> Callable[[], float]:
    start_s = time.monotonic()
    return lambda: time.monotonic() - start_s


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
