"""CountTokens: what requests come to, counted by Bedrock for nothing, as far as it may and a few seconds allow."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import anyio
from aiobotocore.config import AioConfig
from botocore import exceptions as sdk_errors

from batchrun.bedrock.credentials import Access, CredentialsError, new_session, stand_in_keys
from batchrun.bedrock.faults import THROTTLES, Action, classify
from batchrun.errors import AccessError
from batchrun.redaction import without_credentials

if TYPE_CHECKING:
    from types_aiobotocore_bedrock_runtime import BedrockRuntimeClient

AT_ONCE = 4  # calls: the account's other users of CountTokens matter more than a plan
PATIENCE_S = 5.0  # to find credentials, and again to count; what is counted by then is a sample too
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 2.0  # after a throttle
HOPELESS = 3  # refusals before the first count: it is not the rows
_WAITING = THROTTLES | {Action.COOL}
_MOST_CHARACTERS = 200


@dataclass(slots=True)
class Counted:
    """Counts by the place of their body, and why others are missing."""

    tokens: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """Who counts: whose call it is, in which Region, for which model; a base model ID, inference IDs are refused."""

    access: Access
    source_region: str
    model_id: str
    patience_s: float = PATIENCE_S


async def count_tokens(counting: Counting, bodies: Sequence[bytes]) -> Counted:
    """Count the input of InvokeModel bodies; never fails, and says what it could not do."""
    counted = Counted()
    with anyio.move_on_after(counting.patience_s) as scope:
        try:
            await _count(counting, bodies, counted, scope)
        except (AccessError, CredentialsError, sdk_errors.BotoCoreError) as error:
            counted.why_not = _told(error)
    if scope.cancelled_caught and counted.why_not is None:
        counted.why_not = f"the {counting.patience_s:g} s for counting are over"
    return counted


async def _count(counting: Counting, bodies: Sequence[bytes], counted: Counted, scope: anyio.CancelScope) -> None:
    access, keys = counting.access, stand_in_keys(counting.access, os.environ)
    config = AioConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=AT_ONCE,
        connect_timeout=counting.patience_s,
        read_timeout=counting.patience_s,
        proxies={} if access.endpoint_url is not None else None,  # an endpoint of one's own is on this machine
    )
    session = await new_session(access)
    places = list(range(len(bodies)))
    Random(0).shuffle(places)  # what is counted before the time is over should be as mixed as the whole
    async with session.client(
        "bedrock-runtime",
        region_name=counting.source_region,
        endpoint_url=access.endpoint_at(counting.source_region),
        config=config,
        aws_access_key_id=keys.access_key if keys is not None else None,
        aws_secret_access_key=keys.secret_key if keys is not None else None,
    ) as client:
        scope.deadline = anyio.current_time() + counting.patience_s  # opening a client takes a while, and asks nothing
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(_work, counting, client, bodies, places, counted)


async def _work(
    counting: Counting, client: "BedrockRuntimeClient", bodies: Sequence[bytes], places: list[int], counted: Counted
) -> None:
    """Count one body after the other; after a throttle wait, longer each time."""
    wait_s = FIRST_WAIT_S
    while places and counted.why_not is None:
        place = places.pop()
        try:
            answer = await client.count_tokens(
                modelId=counting.model_id, input={"invokeModel": {"body": bodies[place]}}
            )
            counted.tokens[place] = int(answer["inputTokens"])
        except sdk_errors.ClientError as error:
            if _passes(error.response):
                places.append(place)
                await anyio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            counted.refused += 1
            if counted.refused >= HOPELESS and not counted.tokens:
                counted.why_not = _told(error)
        except (sdk_errors.BotoCoreError, CredentialsError, AccessError) as error:
            counted.why_not = _told(error)
        except (aiohttp.ClientError, OSError, KeyError, TypeError, ValueError) as error:
            counted.why_not = f"CountTokens brought no answer: {type(error).__name__}"


def _passes(response: Mapping[str, object]) -> bool:
    """Tell whether the same call may be answered a little later."""
    error, metadata = response.get("Error"), response.get("ResponseMetadata")
    code = str(error.get("Code", "")) if isinstance(error, Mapping) else ""
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
    return classify("" if code == str(status) else code, status, "").action in _WAITING


def _told(error: Exception) -> str:
    return without_credentials(f"{type(error).__name__}: {error}")[:_MOST_CHARACTERS]
