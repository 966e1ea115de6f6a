"""Calls to AWS's control plane: one client per service and Region, tried once, given up at a deadline."""

import json
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

import aioboto3
import aiohttp
import anyio
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore import exceptions as sdk_errors
from botocore import xform_name

from batchrun.account.facts import KEY_ONLY, NO_ANSWER, NO_CREDENTIALS, Unread
from batchrun.account.tls import sharing_one_context
from batchrun.bedrock.authorization import BEARER_KEY
from batchrun.bedrock.credentials import Access, CredentialsError, new_session
from batchrun.errors import BatchrunError

CALL_S = 2.0  # after which a call is given up
ABSENT = ("ResourceNotFoundException", "NoSuchResourceException")


class Calls:
    """Asks as one access; what goes wrong is noted, never raised."""

    def __init__(self, access: Access, name: str = "") -> None:
        """Take whose calls these are; the endpoint of `access` is the control plane's."""
        self.unread: list[Unread] = []
        self.name = name
        self._access = access
        self._session: aioboto3.Session | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._config = _config(access, sharing_one_context())
        self._open = AsyncExitStack()
        self._opening = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    def __repr__(self) -> str:
        return f"Calls({self.name!r}, {len(self._clients)} clients, {len(self.unread)} unread)"

    async def whose(self) -> str:
        """Return what tells this account from others, for a digest: it holds a key's ID, or a Bedrock key.

        Raises AccessError or CredentialsError if there are no credentials.
        """
        access = self._access
        session = await self._signing()
        key = access.role_arn or (None if access.keys_only else os.environ.get(BEARER_KEY))
        if key is None and not self._stand_in():
            found: Any = await session.get_credentials()  # type: ignore[misc]  # the stubs take it for a plain call
            key = (await found.get_frozen_credentials()).access_key if found is not None else None
        return "\n".join(str(one) for one in (access.profile, access.role_arn, access.endpoint_url, key))

    async def ask(
        self, service: str, region: str, operation: str, deadline_s: float, **keys: Any
    ) -> Mapping[str, Any] | None:
        """Return the answer to one call, None if it could not be had by `deadline_s` [of the event loop's time].

        A resource that does not exist is an empty answer.
        """
        told: Mapping[str, Any]
        try:
            with anyio.fail_after(max(0.0, min(deadline_s - anyio.current_time(), CALL_S))):
                client = await self._client(service, region)
                told = await getattr(client, xform_name(operation))(**keys)
                return told
        except TimeoutError:
            why = (NO_ANSWER, f"no answer within {CALL_S:g} s")
        except sdk_errors.ClientError as error:
            code, message = (str(error.response.get("Error", {}).get(key, "")) for key in ("Code", "Message"))
            if code in ABSENT:
                return {}
            why = (code, message)
        except sdk_errors.NoCredentialsError:
            if os.environ.get(BEARER_KEY):
                why = (KEY_ONLY, "a Bedrock API key does not open it; it takes AWS credentials")
            else:
                why = (NO_CREDENTIALS, "no AWS credentials")
        except (CredentialsError, BatchrunError) as error:
            why = (NO_CREDENTIALS, str(error))
        except (sdk_errors.BotoCoreError, aiohttp.ClientError, OSError) as error:
            why = (type(error).__name__, str(error))
        self.unread.append(Unread(operation, region, *why, self.name))
        return None

    async def _client(self, service: str, region: str) -> Any:
        session = await self._signing()
        async with self._opening:  # opening one loads service models; two at once would load them twice
            if (service, region) not in self._clients:
                url = self._access.endpoint_url
                client = await self._open.enter_async_context(
                    session.client(  # type: ignore[call-overload]  # the service's name is not a literal here
                        service,
                        region_name=region,
                        endpoint_url=url.replace("{region}", region) if url else None,
                        config=self._config,
                        **self._stand_in(),
                    )
                )
                client.meta.events.register("before-parse.bedrock.ListFoundationModels", _keep_end_of_life)
                self._clients[service, region] = client
            return self._clients[service, region]

    async def _signing(self) -> aioboto3.Session:
        async with self._opening:
            if self._session is None:
                self._session = await new_session(self._access)
            return self._session

    def _stand_in(self) -> Mapping[str, str]:
        """Return made-up keys for an endpoint on this machine where the environment has none."""
        access = self._access
        if access.endpoint_url is None or access.profile or access.role_arn:
            return {}
        if any(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", BEARER_KEY)):
            return {}
        return {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator"}


def _config(access: Access, session: type[AIOHTTPSession]) -> AioConfig:
    return AioConfig(
        http_session_cls=session,
        signature_version="v4" if access.keys_only else None,
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CALL_S,
        read_timeout=CALL_S,
        proxies={} if access.endpoint_url is not None else None,  # it is on this machine
    )


def _keep_end_of_life(response_dict: Mapping[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Keep what the SDK's service model of 2025 does not know and would drop: by model ID, in `endOfLife`."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        models = json.loads(response_dict["body"])["modelSummaries"]
        ends = {one["modelId"]: one.get("modelLifecycle", {}).get("endOfLifeTime") for one in models}
        customized_response_dict["endOfLife"] = ends
