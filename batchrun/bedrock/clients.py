"""Clients, one per source Region: opened when first needed, and replaced all together.

New credentials, or a machine that slept, ask for new clients while calls are out: those end on the old ones, which
then close. A session of the SDK's with two clients is 10 MB and two connections, and renewals are many in a week.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Generic, Self, TypeVar

import anyio

# Of sleep: home routers forget a flow after minutes, the other end may have closed it any time. A guess.
FORGOTTEN_S = 30.0

C = TypeVar("C")
Open = Callable[[str], AbstractAsyncContextManager[C]]  # opens the client of a source Region


class Clients(Generic[C]):
    """Clients of one login."""

    def __init__(self, open_client: Open[C]) -> None:
        """Take what opens the client of a Region."""
        self.open_client = open_client
        self._by_region: dict[str, C] = {}
        self._opening = anyio.Lock()
        self._open = AsyncExitStack()
        self._calls = 0
        self._retired = False

    def __repr__(self) -> str:
        return f"Clients({self.regions()}, {self._calls} calls, retired={self._retired})"

    def regions(self) -> list[str]:
        """Name the source Regions that a client is open for."""
        return sorted(self._by_region)

    def calling(self, source_region: str) -> "Loan[C]":
        """Lend the client of a Region for one call, to `async with`."""
        return Loan(self, source_region)

    async def lend(self, source_region: str) -> C:
        """Return the client of a Region; `take_back` must follow, also where this raises."""
        self._calls += 1
        return self._by_region.get(source_region) or await self._client(source_region)

    async def take_back(self) -> None:
        """Note the end of a call, and close after the last one where others have taken over."""
        self._calls -= 1
        if self._retired:
            await self._close_if_idle()

    async def retire(self) -> None:
        """Close as soon as no call is out, now or later."""
        self._retired = True
        await self._close_if_idle()

    async def close(self) -> None:
        """Close whatever is out; a call that comes late all the same opens its client anew."""
        self._by_region.clear()
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    async def _close_if_idle(self) -> None:
        if self._calls == 0:
            await self.close()

    async def _client(self, source_region: str) -> C:
        async with self._opening:  # opening one may load service models; two at once would load them twice
            if source_region not in self._by_region:
                self._by_region[source_region] = await self._open.enter_async_context(self.open_client(source_region))
            return self._by_region[source_region]


class Loan(Generic[C]):
    """A client for the time of one call; contextlib's generators cost every call three times as much."""

    __slots__ = ("_clients", "_source_region")

    def __init__(self, clients: Clients[C], source_region: str) -> None:
        self._clients = clients
        self._source_region = source_region

    async def __aenter__(self) -> C:
        try:
            return await self._clients.lend(self._source_region)
        except BaseException:
            await self._clients.take_back()
            raise

    async def __aexit__(self, *exception: object) -> None:
        await self._clients.take_back()


class Fleet(Generic[C]):
    """The clients in use: new ones after each login, and after a sleep."""

    def __init__(self, log_in: Callable[[], Awaitable[Open[C]]], slept_s: Callable[[], float]) -> None:
        """Take what reads the credentials anew, and how long the machine has slept so far."""
        self._log_in = log_in
        self._slept_s = slept_s
        self._slept_before_s = slept_s()
        self._clients: Clients[C] | None = None

    def __repr__(self) -> str:
        return f"Fleet({self._clients!r})"

    def regions(self) -> list[str]:
        """Name the source Regions that a client is open for."""
        return self._clients.regions() if self._clients is not None else []

    async def renew(self) -> None:
        """Log in, at first or again; calls in flight end on the clients of before."""
        await self._replace(Clients(await self._log_in()))

    async def awake(self) -> Clients[C]:
        """Return the clients; new ones after a sleep, in which all that were connected have forgotten each other."""
        clients = self._clients
        assert clients is not None, "used outside `async with`"
        slept_s = self._slept_s()
        if slept_s - self._slept_before_s < FORGOTTEN_S:
            return clients
        self._slept_before_s = slept_s
        fresh = Clients(clients.open_client)
        await self._replace(fresh)
        return fresh

    async def close(self) -> None:
        """Close the clients in use."""
        if self._clients is not None:
            await self._clients.close()

    async def _replace(self, fresh: Clients[C]) -> None:
        before, self._clients = self._clients, fresh
        if before is not None:
            await before.retire()


class OverClients(Generic[C]):
    """What transports over clients have in common: they open, renew and close."""

    def __init__(self, slept_s: Callable[[], float]) -> None:
        """Take how long the machine has slept so far."""
        self._fleet: Fleet[C] = Fleet(self._log_in, slept_s)

    async def __aenter__(self) -> Self:
        await self._fleet.renew()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._fleet.close()

    def regions(self) -> list[str]:
        """Name the source Regions that a client is open for."""
        return self._fleet.regions()

    async def refresh(self) -> None:
        """Read the credentials again; calls in flight end on the clients of before."""
        await self._fleet.renew()

    async def _log_in(self) -> Open[C]:
        """Read the credentials; return what opens clients with them."""
        raise NotImplementedError
