"""Whom a call is for: the Region, the operation and the inference ID, from the path and the signature or key.

Nobody's secret is verified: what counts is that a signature or key is there, and for which Region.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from batchrun.bedrock.card import Card, mantle_pool
from batchrun.emulator.faults import invalid, refused

Operation = Literal["invoke", "converse", "count-tokens", "messages"]

_PATH = re.compile(
    r"(?:/(?P<region>[a-z]{2,3}(?:-[a-z]+)+-\d+))?"
    r"(?:/model/(?P<model>.+)/(?P<operation>invoke|converse|count-tokens)|/anthropic/v1/(?P<messages>messages))"
)
_PROFILE_ARN = re.compile(r"arn:aws:bedrock:(?P<region>[a-z0-9-]+):\d{12}:inference-profile/(?P<id>.+)")
_MODEL_ARN = re.compile(r"arn:aws:bedrock:(?P<region>[a-z0-9-]+)::foundation-model/(?P<id>.+)")
_KEY_REGION = re.compile(r"X-Amz-Credential=[^/&]+%2F\d{8}%2F(?P<region>[a-z0-9-]+)%2F")
_SHORT_TERM_KEY = "bedrock-api-key-"
_SIGNED = "AWS4-HMAC-SHA256 "
MANTLE = "bedrock-mantle"  # the service that calls to mantle are signed for

BAD_IDENTIFIER = "The provided model identifier is invalid."
ON_DEMAND = (
    "Invocation of model ID {model_id} with on-demand throughput isn’t supported. Retry your request with the ID or "
    "ARN of an inference profile that contains this model."
)
NO_COUNTING = "The provided model doesn't support counting tokens."


@dataclass(frozen=True, slots=True)
class Path:
    """What the path of a call says; no Region if the signature is to name it, no model if the body is."""

    region: str | None
    model_id: str | None
    operation: Operation


@lru_cache(maxsize=1024)  # a run uses a few dozen paths, in every spelling
def read_path(raw_path: str) -> Path | None:
    """Return what `raw_path` asks for, None if Bedrock has no such operation; `:` and `/` of an ID may be escaped."""
    match = _PATH.fullmatch(unquote(raw_path.partition("?")[0]))
    if match is None:
        return None
    operation: Operation = match["messages"] or match["operation"]  # type: ignore[assignment]  # the pattern's words
    return Path(match["region"], match["model"], operation)


def call_region(path: Path, headers: Mapping[str, str]) -> str:
    """Return the Region that a call is for.

    Raises RefusedError without a signature or key, and if it is for another Region than the path.
    """
    signed_for = _credential_region(path, headers)
    if path.region is None and signed_for is None:
        raise invalid("Emulator: a bearer key names no Region, put it into the URL: /us-east-1/model/...")
    if path.region is not None and signed_for is not None and path.region != signed_for:
        raise refused(
            "InvalidSignatureException",
            f"Credential should be scoped to a valid region. Emulator: it is for {signed_for}, not {path.region}.",
        )
    return path.region or signed_for or ""


def for_mantle(path: Path, headers: Mapping[str, str], model_id: str, card: Card) -> bool:
    """Tell which of the two endpoints a call is for, that AWS tells by their hosts.

    The service that a signature names decides; with a key, which names none, the model ID does.
    """
    service = _signed_service(headers.get("Authorization", ""))
    return path.operation == "messages" and (model_id == card.mantle_model_id if service is None else service == MANTLE)


def resolve_mantle(model_id: str, region: str, card: Card) -> str:
    """Return the name of the pool of mantle in `region`.

    Raises RefusedError if there is none, or if `model_id` is not the card's there.
    """
    if region not in card.mantle_regions:
        raise refused("ResourceNotFoundException", f"Emulator: there is no {MANTLE} in {region}.")
    if model_id != card.mantle_model_id:
        raise refused("ResourceNotFoundException", f"The model '{model_id}' does not exist")
    return mantle_pool(region)


def resolve(model_id: str, region: str, operation: Operation, card: Card) -> str | None:
    """Return the name of the runtime's pool that `model_id`, called from `region`, draws on; CountTokens draws on none.

    Raises RefusedError if the ID does not exist, or not in this source Region, or not for this operation.
    """
    profile, model = _PROFILE_ARN.fullmatch(model_id), _MODEL_ARN.fullmatch(model_id)
    arn = profile or model
    if arn is not None and arn["region"] != region:
        raise invalid(BAD_IDENTIFIER)
    bare_id = arn["id"] if arn is not None else model_id
    if bare_id == card.base_model_id and profile is None:
        if operation == "count-tokens":
            return None
        raise invalid(ON_DEMAND.format(model_id=bare_id))
    for scope in card.scopes.values():
        if scope.inference_id == bare_id and region in scope.sources and model is None:
            if operation == "count-tokens":
                raise invalid(NO_COUNTING)
            return f"{region}/{scope.pool_kind}"
    raise invalid(BAD_IDENTIFIER)


def _credential_region(path: Path, headers: Mapping[str, str]) -> str | None:
    authorization = headers.get("Authorization", "")
    if authorization.startswith(_SIGNED):
        return _signature_region(path, authorization)
    if authorization.startswith("Bearer ") and len(authorization) > len("Bearer "):
        return _key_region(authorization.removeprefix("Bearer "))
    if "x-api-key" in headers:
        return _key_region(headers["x-api-key"])
    raise refused("MissingAuthenticationTokenException")


def _signature_region(path: Path, authorization: str) -> str:
    scope = _signed_scope(authorization)
    if len(scope) != 5 or scope[4] != "aws4_request" or "Signature=" not in authorization:
        raise refused("InvalidSignatureException", "Emulator: the Authorization header is no SigV4 signature.")
    if scope[3] not in (("bedrock", MANTLE) if path.operation == "messages" else ("bedrock",)):
        raise refused("InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'.")
    return scope[2]


def _signed_service(authorization: str) -> str | None:
    return _signed_scope(authorization)[3] if authorization.startswith(_SIGNED) else None


def _signed_scope(authorization: str) -> list[str]:
    return authorization.partition("Credential=")[2].partition(",")[0].split("/")


@lru_cache(maxsize=64)
def _key_region(key: str) -> str | None:
    """Return the Region a short-term key was made in; a long-term key works in all."""
    if not key.startswith(_SHORT_TERM_KEY):
        return None
    try:
        url = b64decode(key.removeprefix(_SHORT_TERM_KEY), validate=True).decode("ascii")
    except ValueError:
        return None  # a made-up key for tests: it is there, and that is all that is asked
    match = _KEY_REGION.search(url)
    return match["region"] if match is not None else None
