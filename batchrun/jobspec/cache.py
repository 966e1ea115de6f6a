"""The [cache] table: which heads of a request Bedrock is to keep, so that the next reads them for a tenth."""

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from batchrun.jobspec.values import LARGEST, Table


def turns_kept(value: object) -> bool | int:
    """Read true, false or a number of turns."""
    if isinstance(value, bool) or (type(value) is int and 1 <= value <= LARGEST):
        return value
    raise ValueError("must be true, false or a whole number of messages ≥ 1")


class Cache(Table):
    """Prompt caching. A prefix goes up to a checkpoint: tools, then the system prompt, then messages."""

    system: bool = Field(
        default=False, description="have Bedrock keep the prompt up to the end of the system prompt, ≥ 4,096 tokens"
    )
    tools: bool = Field(default=False, description="have it keep the tools alone, ≥ 4,096 tokens")
    messages: Annotated[bool | int, PlainValidator(turns_kept)] = Field(
        default=False,
        description="a whole number: have it keep so many first messages too; true: all before the user's last",
    )
    ttl: Literal["5m", "1h"] = Field(default="5m", description="how long a prefix is kept from its last use")

    @property
    def asked(self) -> bool:
        """Tell whether anything is to be kept."""
        return self.system or self.tools or bool(self.messages)

    @field_validator("ttl")
    @classmethod
    def _is_of_something(cls, ttl: str, info: ValidationInfo) -> str:
        named = [info.data.get(name, True) for name in ("system", "tools", "messages")]
        if ttl != "5m" and not any(named):
            raise ValueError("has no effect without cache.system, cache.tools or cache.messages")
        return ttl
