"""The HTTP transport: InvokeModel and the Messages API as plain POSTs, signed here or with a Bedrock API key.

What the SDK does around a call costs more than the call. This carries the same bytes with the same credentials, and
reports the same faults; `tests/transport` holds both to one contract.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
from aiobotocore.session import AioSession

from batchrun.bedrock.answers import MalformedAnswerError
from batchrun.bedrock.authorization import BEARER_KEY, Authorization, BearerKey, Signature
from batchrun.bedrock.clients import Open, OverClients
from batchrun.bedrock.credentials import Access, CredentialsError, new_core, signing_keys
from batchrun.bedrock.doors import Door
from batchrun.bedrock.faults import Fault, classify
from batchrun.bedrock.post import Caller, Place
from batchrun.bedrock.signing import Signer
from batchrun.bedrock.sockets import lively_connector
from batchrun.bedrock.surroundings import check_hosts, configured_endpoint, proxy_for, trust
from batchrun.bedrock.wire import USER_AGENT, Wire
from batchrun.clock import slept_s
from batchrun.records import Completion, Request


class HttpTransport(OverClients[Caller]):
    """Carries calls over aiohttp, one session per source Region; never retries, never follows a redirect."""

    def __init__(self, access: Access, wire: Wire, door: Door, slept_s: Callable[[], float] = slept_s) -> None:
        """Take whose calls these are, how they travel and where to, and how long the machine has slept so far."""
        super().__init__(slept_s)
        self._access = access
        self._wire = wire
        self._door = door

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion | Fault:
        """Call `inference_id` from `source_region`; what a call can meet comes back as a Fault."""
        try:
            async with (await self._fleet.awake()).calling(source_region) as caller:
                return await caller.call(inference_id, request)
        except CredentialsError as error:
            return classify("CredentialsOutOfReach" if error.passing else "NoCredentials", None, str(error))
        except MalformedAnswerError as error:
            return classify("MalformedAnswer", 200, str(error))
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            return classify("ConnectError", None, f"{type(error).__name__}: {error}")
        except TimeoutError as error:
            return classify("ReadTimeout", None, str(error))
        except (aiohttp.ClientError, OSError) as error:
            return classify("ConnectionLost", None, f"{type(error).__name__}: {error}")

    async def _log_in(self) -> Open[Caller]:
        core = await new_core(self._access)
        if self._access.endpoint_url is None:
            check_hosts(core)
        return partial(self._open, core, trust(core))

    @asynccontextmanager
    async def _open(self, core: AioSession, tls: ssl.SSLContext, source_region: str) -> AsyncIterator[Caller]:
        own = self._access.endpoint_at(source_region)
        at = own or configured_endpoint(core, self._door.client) or self._door.host_in(source_region)
        # An endpoint of one's own is on this machine: a proxy of the environment would carry prompts off it.
        door = self._door.asking(self._wire.service.headers)
        place = Place(door, at.rstrip("/"), proxy_for(at) if own is None else None)
        authorization = await self._authorization(core, source_region)
        connector = lively_connector(self._wire.connections, self._wire.keep_alive_s, tls)
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, headers=headers) as session:
            yield Caller(session, place, authorization)

    async def _authorization(self, core: AioSession, source_region: str) -> Authorization:
        if (bearer_key := os.environ.get(BEARER_KEY)) and not self._access.keys_only:
            return BearerKey(bearer_key)
        return Signature(Signer(source_region, self._door.service), await signing_keys(core, self._access))
