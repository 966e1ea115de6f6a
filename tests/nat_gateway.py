"""A NAT gateway on loopback with the faults of networks: it forgets idle connections, resets some, and goes away."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST, not FIN


class NatGateway:
    """Carries bytes to one address, as such a gateway does: what it forgets it swallows, without a word to anybody."""

    def __init__(self, target: str, resets_every: int = 0) -> None:
        """Take where to, and which answers break off."""
        address = urlsplit(target)
        self._target = (address.hostname, address.port)
        self._resets_every = resets_every
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0
        self.swallowed = 0
        self.answers = 0
        self.resets = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    def forget(self) -> None:
        """Forget the connections that there are, as after minutes without traffic; new ones are carried."""
        self._forgotten |= self._writers

    async def listen(self) -> None:
        """Take connections, at the same port as before."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1_024)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def leave(self) -> None:
        """Refuse further connections, and break those that there are."""
        if self._listener is not None:
            self._listener.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either end has gone, or the gateway has
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._forgotten.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(self._answers(target_reader, writer))
        try:
            while data := await reader.read(65_536):
                if writer in self._forgotten:
                    self.swallowed += 1
                    await reader.read()  # until the client gives up
                    return
                target.write(data)
        finally:
            back.cancel()
            target.transport.abort()

    async def _answers(self, target_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await target_reader.read(65_536):
            self.answers += 1
            if self._resets_every and self.answers % self._resets_every == 0:
                self.resets += 1
                writer.write(data[: len(data) // 2])
                await asyncio.sleep(0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                writer.transport.abort()
                return
            writer.write(data)
        writer.transport.abort()


@asynccontextmanager
async def nat_gateway(target: str, resets_every: int = 0) -> AsyncIterator[NatGateway]:
    """Run a gateway in this event loop as long as the context lasts."""
    started = NatGateway(target, resets_every)
    await started.listen()
    try:
        yield started
    finally:
        await started.leave()
