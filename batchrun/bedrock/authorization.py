"""What a call shows to be let in: a signature by the keys of now, or a Bedrock API key."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from batchrun.bedrock.signing import Keys, Signer

BEARER_KEY = "AWS_BEARER_TOKEN_BEDROCK"  # goes before all other credentials, as in the SDK

SigningKeys = Callable[[], Awaitable[Keys]]


class Authorization(Protocol):
    """Completes the headers of a call."""

    async def of(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """Return `headers` with what authorizes the call; names are in lower case."""
        ...


class BearerKey:
    """A Bedrock API key; both endpoints take it."""

    def __init__(self, key: str) -> None:
        self._header = {"authorization": f"Bearer {key}"}

    def __repr__(self) -> str:
        return "BearerKey(…)"

    async def of(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:  # noqa: ARG002
        """Add the key."""
        return {**headers, **self._header}


class Signature:
    """A signature of each call; the keys are asked for each time, since the SDK renews them where they end soon."""

    def __init__(self, signer: Signer, keys: SigningKeys) -> None:
        self._signer = signer
        self._keys = keys

    def __repr__(self) -> str:
        return f"Signature({self._signer!r})"

    async def of(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """Sign; raises CredentialsError if there are no keys to sign with."""
        return self._signer.signed(path, headers, body, await self._keys(), time.time())
