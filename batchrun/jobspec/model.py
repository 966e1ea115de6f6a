"""Which model is asked, through which of Bedrock's doors, and what goes along with every call."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from batchrun.jobspec.paths import resolved
from batchrun.jobspec.values import Name, Table, base_of

GUARDRAIL = re.compile(r"[a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+")
GUARDRAIL_VERSION = re.compile(r"[1-9][0-9]{0,7}|DRAFT")  # as botocore's service model has it, like all of these
MOST_TAGS = 16
TAG = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}", re.ASCII)


def a_guardrail(value: str) -> str:
    """Refuse what is neither the ID nor the ARN of a guardrail."""
    if not GUARDRAIL.fullmatch(value):
        raise ValueError('must be an ID such as "gr1abc2def3g" or the ARN of a guardrail')
    return value


def a_guardrail_version(value: str) -> str:
    """Refuse what is no version of a guardrail."""
    if not GUARDRAIL_VERSION.fullmatch(value):
        raise ValueError('must be a number in quotes such as "1", or "DRAFT"')
    return value


def tags(given: dict[str, str]) -> dict[str, str]:
    """Refuse tags that AWS does."""
    if len(given) > MOST_TAGS:
        raise ValueError(f"must hold at most {MOST_TAGS} tags")
    for key, value in given.items():
        for word in (key or "\0", value):
            if not TAG.fullmatch(word):
                raise ValueError("takes letters, digits, blanks and :_@$#=/+,.- in keys and values, at most 256 each")
    return given


class Model(Table):
    """Which model, and through which of Bedrock's doors."""

    card: Name = Field(
        default="claude-haiku-4-5", description="model card: the name of a shipped one, or a path to one's own"
    )
    api: Literal["invoke", "converse", "messages"] = Field(
        default="invoke", description="API: InvokeModel, Converse or the Messages API"
    )
    endpoint: Literal["runtime", "mantle"] = Field(
        default="runtime",
        description='mantle: single Regions, on quotas of their own, with api = "messages" and no routing.scopes',
    )
    transport: Literal["sdk", "http"] = Field(
        default="sdk",
        description="http: the same calls at less CPU than sdk; Converse always goes by sdk, the Messages API by http",
    )
    service_tier: Literal["default", "priority", "flex", "reserved"] | None = Field(
        default=None, description="service tier to ask for; the one that came back is a result column; only with invoke"
    )
    guardrail_id: Annotated[str, AfterValidator(a_guardrail)] | None = Field(
        default=None, description="ID or ARN of a guardrail that prompts and answers pass; not with messages"
    )
    guardrail_version: Annotated[str, AfterValidator(a_guardrail_version)] | None = Field(
        default=None,
        validate_default=True,
        description='version of the guardrail, a number in quotes or "DRAFT"; required with guardrail_id',
    )
    request_metadata: Annotated[dict[str, str], AfterValidator(tags)] = Field(
        default={}, description="at most 16 tags that AWS writes into its invocation log; not with messages"
    )

    @property
    def carrier(self) -> str:
        """Return the transport that carries the calls: the Messages API has but one."""
        return "http" if self.api == "messages" else self.transport

    @field_validator("endpoint")
    @classmethod
    def _speaks_the_api(cls, endpoint: str, info: ValidationInfo) -> str:
        if endpoint == "mantle" and info.data.get("api", "messages") != "messages":
            raise ValueError('mantle speaks the Messages API only: set model.api = "messages"')
        return endpoint

    @field_validator("transport")
    @classmethod
    def _carries_the_api(cls, transport: str, info: ValidationInfo) -> str:
        """Look at a transport that is named; what it is by default goes with any API."""
        api = info.data.get("api")
        if transport == "sdk" and api == "messages":
            raise ValueError('the SDK has no Messages API: leave it out, or set model.transport = "http"')
        if transport == "http" and api == "converse":
            raise ValueError(
                'http carries invoke and messages: set model.api = "invoke", or leave model.transport out for Converse'
            )
        return transport

    @field_validator("card")
    @classmethod
    def _own_cards_are_paths(cls, card: str, info: ValidationInfo) -> str:
        return resolved(card, base_of(info)) if "/" in card or card.endswith(".toml") else card

    @field_validator("service_tier")
    @classmethod
    def _can_be_carried(cls, tier: str | None, info: ValidationInfo) -> str | None:
        if tier is not None and info.data.get("api") == "converse":
            raise ValueError('cannot go with api = "converse": the SDK\'s Converse knows no tier; use api = "invoke"')
        return tier

    @field_validator("service_tier", "guardrail_id", "request_metadata")
    @classmethod
    def _is_known_to_the_api(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("api") == "messages":
            raise ValueError('cannot go with api = "messages": it has no place for it; use api = "invoke"')
        return value

    @field_validator("guardrail_version")
    @classmethod
    def _is_of_a_guardrail(cls, version: str | None, info: ValidationInfo) -> str | None:
        guardrail = info.data.get("guardrail_id", ...)
        if guardrail is None and version is not None:
            raise ValueError("has no effect without model.guardrail_id")
        if isinstance(guardrail, str) and version is None:
            raise ValueError('required with model.guardrail_id, for example guardrail_version = "1"')
        return version
