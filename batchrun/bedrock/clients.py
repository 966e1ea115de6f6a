"""The SDK's clients, one per source Region: opened when first needed, closed when their last call has ended."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aioboto3
import anyio
from aiobotocore.config import AioConfig

if TYPE_CHECKING:
    from types_aiobotocore_bedrock_runtime import BedrockRuntimeClient


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients send, and what they sign with; None leaves it to the session. `url` may hold {region}.

    `headers` are those of every InvokeModel call for which the SDK has no argument.
    """

    url: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Clients:
    """Clients of one session.

    New credentials, or a machine that slept, ask for new clients while calls are out: those end on the old ones, which
    then close: a session with two clients is 10 MB and two connections, and renewals are many in a week.
    """

    def __init__(self, session: aioboto3.Session, config: AioConfig, endpoint: Endpoint) -> None:
        """Take the session, and what every client goes by."""
        self.session = session
        self._config = config
        self._endpoint = endpoint
        self._by_region: dict[str, BedrockRuntimeClient] = {}
        self._opening = anyio.Lock()
        self._open = AsyncExitStack()
        self._calls = 0
        self._retired = False

    def __repr__(self) -> str:
        return f"Clients({self.regions()}, {self._calls} calls, retired={self._retired})"

    def regions(self) -> list[str]:
        """Name the source Regions that a client is open for."""
        return sorted(self._by_region)

    @asynccontextmanager
    async def calling(self, source_region: str) -> AsyncIterator["BedrockRuntimeClient"]:
        """Lend the client of a Region for one call."""
        self._calls += 1
        try:
            yield self._by_region.get(source_region) or await self._client(source_region)
        finally:
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

    async def _client(self, source_region: str) -> "BedrockRuntimeClient":
        async with self._opening:  # opening one loads service models; two at once would load them twice
            if source_region not in self._by_region:
                at = self._endpoint
                client = await self._open.enter_async_context(
                    self.session.client(
                        "bedrock-runtime",
                        region_name=source_region,
                        endpoint_url=at.url.replace("{region}", source_region) if at.url else None,
                        config=self._config,
                        aws_access_key_id=at.access_key,
                        aws_secret_access_key=at.secret_key,
                    )
                )
                if at.headers:  # before the signature, which then covers them
                    client.meta.events.register("before-call.bedrock-runtime.InvokeModel", self._add_headers)
                self._by_region[source_region] = client
            return self._by_region[source_region]

    def _add_headers(self, params: dict[str, Any], **others: object) -> None:
        del others
        params["headers"].update(self._endpoint.headers)
