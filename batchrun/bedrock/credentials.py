"""Whose credentials sign the calls: the SDK's ordinary chain, a profile, or a role assumed from either."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import aioboto3
from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioDeferredRefreshableCredentials
from aiobotocore.session import AioSession
from botocore import exceptions as sdk_errors

from batchrun.bedrock.authorization import BEARER_KEY, SigningKeys
from batchrun.bedrock.signing import Keys
from batchrun.bedrock.surroundings import check_endpoints
from batchrun.errors import AccessError, BatchrunError

STS_REGION = "us-east-1"  # where the environment names none; a Region's own STS, whose tokens opt-in Regions take too


@dataclass(frozen=True, slots=True)
class Access:
    """How calls reach Bedrock: None leaves each to the SDK's own chain.

    `endpoint_url` may hold {region}. With `keys_only` a Bedrock API key of the environment counts for nothing: it is
    another account's, and the SDK would take it before the profile's own keys.
    """

    profile: str | None = None
    role_arn: str | None = None
    endpoint_url: str | None = None
    keys_only: bool = False

    def endpoint_at(self, source_region: str) -> str | None:
        """Return the endpoint of one's own for a source Region, if there is one."""
        return self.endpoint_url.replace("{region}", source_region) if self.endpoint_url is not None else None


class CredentialsError(Exception):
    """The SDK could not renew the credentials; `passing` if it was the network, or a service in trouble."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.passing = _passes(cause)


async def new_session(access: Access) -> aioboto3.Session:
    """Return an SDK session that signs as `access` says; raises AccessError as `new_core` does."""
    return aioboto3.Session(botocore_session=await new_core(access))


async def new_core(access: Access) -> AioSession:
    """Return what an SDK session is built around: settings, and the credentials that `access` means.

    Raises AccessError if the profile does not exist, if no credentials are found at all, or if the environment has an
    endpoint that must not see them.
    """
    core = _core(access)
    try:
        check_endpoints(core)
        if access.role_arn:
            core.get_component("credential_provider").insert_before("env", _AssumedRole(core, access.role_arn))
        has_key = bool(os.environ.get(BEARER_KEY)) and not access.keys_only
        if access.endpoint_url is None and not has_key:
            await _require_credentials(core)
    except sdk_errors.ProfileNotFound as error:
        raise AccessError(f"aws.profile: {error}; `aws configure list-profiles` names those there are") from error
    except sdk_errors.BotoCoreError as error:
        raise AccessError(f"the shared AWS files cannot be read: {error}") from error
    return core


async def signing_keys(core: AioSession, access: Access) -> SigningKeys:
    """Return what brings the keys of now, for each call, renewed by the SDK where they end soon.

    Raises CredentialsError if there are none, now or at a call.
    """
    if made_up := stand_in_keys(access, os.environ):
        return partial(_same, made_up)
    try:
        found: Any = await core.get_credentials()
    except sdk_errors.BotoCoreError as error:
        raise CredentialsError(error) from error
    if found is None:
        raise CredentialsError(sdk_errors.NoCredentialsError())

    async def keys_of_now() -> Keys:
        frozen = await found.get_frozen_credentials()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    return keys_of_now


async def _same(keys: Keys) -> Keys:
    return keys


def _core(access: Access) -> AioSession:
    """Return a session; for an endpoint of one's own the environment's profile counts for nothing, it is no AWS."""
    if access.endpoint_url is None or access.profile or access.role_arn:
        return _Session(profile=access.profile)
    return _Session(session_vars={"profile": (None, None, None, None)})


class _Session(AioSession):
    """A session whose credentials fail by their own name: else a call could not tell their errors from its own."""

    async def get_credentials(self) -> Any:  # type: ignore[override]  # asynchronous, as AioSession's is
        try:
            found = await super().get_credentials()
        except (sdk_errors.BotoCoreError, BatchrunError):
            raise
        except Exception as error:  # a credential_process that is no program, or prints no JSON
            raise CredentialsError(error) from error
        return None if found is None else _Named(found)


class _Named:
    """Credentials of any provider; what keeps them from being renewed is a CredentialsError."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    async def get_frozen_credentials(self) -> Any:
        try:
            return await self._found.get_frozen_credentials()
        except BatchrunError:
            raise
        except Exception as error:  # whatever it is: a RuntimeError if what was brought is expired too
            raise CredentialsError(error) from error


def _passes(cause: Exception) -> bool:
    """Tell whether a renewal that failed may well succeed a little later."""
    if isinstance(cause, sdk_errors.ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or "Throttl" in cause.response.get("Error", {}).get("Code", "")
    return isinstance(cause, (sdk_errors.HTTPClientError, sdk_errors.ConnectionError))


def stand_in_keys(access: Access, environment: Mapping[str, str]) -> Keys | None:
    """Return made-up keys for an endpoint on this machine where the environment has none.

    Such an endpoint is no AWS, so asking the whole chain would only wait for an instance's metadata service.
    """
    if access.endpoint_url is None or access.profile or access.role_arn:
        return None
    if any(environment.get(name) for name in ("AWS_ACCESS_KEY_ID", BEARER_KEY)):
        return None
    return Keys("emulator", "emulator")


async def _require_credentials(core: AioSession) -> None:
    try:
        credentials = await core.get_credentials()
    except (sdk_errors.BotoCoreError, sdk_errors.ClientError, CredentialsError) as error:
        raise AccessError(f"no AWS credentials: {error}") from error
    if credentials is None:
        raise AccessError(
            "no AWS credentials: the environment, the shared files and the instance have none; "
            "set AWS_PROFILE, AWS_ACCESS_KEY_ID or AWS_BEARER_TOKEN_BEDROCK, or aws.profile in the job file"
        )


class _AssumedRole:
    """A provider for the SDK's chain: the role, assumed with what the rest of the chain finds, renewed by the SDK."""

    METHOD = "batchrun-assume-role"
    CANONICAL_NAME = None

    def __init__(self, core: Any, role_arn: str) -> None:
        self._core = core
        self._role_arn = role_arn

    async def load(self) -> Any:
        source = await _without(self._core, self.METHOD).load_credentials()
        if source is None:
            raise AccessError(f"aws.role_arn: no AWS credentials to assume {self._role_arn} with")
        region = self._core.get_config_variable("region") or STS_REGION

        def sts(service: str, **keys: Any) -> Any:
            return self._core.create_client(service, region_name=region, **keys)

        fetcher = AioAssumeRoleCredentialFetcher(sts, source, self._role_arn, {"RoleSessionName": "batchrun"})
        return AioDeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)


def _without(core: AioSession, method: str) -> Any:
    """Return the session's chain less one provider."""
    chain = core.get_component("credential_provider")
    return type(chain)([provider for provider in chain.providers if method != provider.METHOD])
