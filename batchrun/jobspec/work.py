"""What is asked for: input, prompt, generation, model, output; an output belongs to these.

A rule that joins two keys of a table stands at the later one, so that it is reported with all other problems.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator

from batchrun.jobspec.paths import resolved, text_of
from batchrun.jobspec.places import Place, StorageOptions, an_input
from batchrun.jobspec.tools import Tool
from batchrun.jobspec.values import (
    FilePath,
    Name,
    Names,
    Table,
    Text,
    as_tuple,
    base_of,
    each_once,
    with_content,
)

RESULT_COLUMNS = (
    *("row", "status", "text", "answer", "stop_reason"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd"),
    *("endpoint", "inference_id", "source_region", "service_tier", "attempts", "latency_s"),
    *("request_id", "error_code", "error_message", "finished_at"),
)  # what every result has of its own: the contract, output folder
MOST_ROWS_PER_PART = 1_000_000  # a guess: a part is held up by its slowest row, and a million of them is no part


def input_paths(value: object, info: ValidationInfo) -> tuple[str, ...]:
    """Read one path or a list of them."""
    listed = value if isinstance(value, list | tuple) else [value]
    paths = [os.fspath(path) for path in listed if isinstance(path, str | Path)]
    if len(paths) < len(listed):
        raise ValueError("must be a string or a list of strings")
    if not paths:
        raise ValueError("must name at least one file, folder or glob")
    return each_once(tuple(an_input(path, base_of(info)) for path in paths))


class Input(Table):
    """Where the rows come from; `path` holds absolute paths, URLs and globs, also when the job file names only one."""

    path: Annotated[tuple[str, ...], PlainValidator(input_paths)] = Field(
        description="file, folder or glob, also s3://, or a list of them: .parquet, .jsonl or .csv",
        examples=['path = "data/*.parquet"'],
    )
    id: Name | None = Field(default=None, description="column that labels rows; the key is always the row number")
    keep: Names = Field(default=(), description="columns carried into the result")
    storage_options: StorageOptions = StorageOptions()

    @field_validator("id", "keep")
    @classmethod
    def _leaves_the_result_its_columns(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        taken = [name for name in ([value] if isinstance(value, str) else value or ()) if name in RESULT_COLUMNS]
        if taken:
            raise ValueError(f"the result has a column {taken[0]} of its own; rename yours in the input")
        return value

    @field_validator("keep")
    @classmethod
    def _does_not_keep_the_id_twice(cls, keep: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("id") in keep:
            raise ValueError(f"{info.data['id']} is input.id and in the result already")
        return keep


def differently_named(tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Refuse two tools of one name."""
    each_once(tuple(tool.name for tool in tools))
    return tools


class Prompt(Table):
    """What is sent for a row. `system` and `user` hold the text, also when the job file names a file."""

    system_file: FilePath | None = Field(default=None, exclude=True, description="file that holds the system prompt")
    system: Text | None = Field(
        default=None,
        validate_default=True,
        description='system prompt: Jinja2 over the row\'s columns, also row["a b"]',
    )
    user_file: FilePath | None = Field(default=None, exclude=True, description="file that holds the user prompt")
    messages: Name | None = Field(
        default=None, description="instead of user: a column of list<struct<role, content>> or of JSON text"
    )
    user: Text | None = Field(
        default=None,
        validate_default=True,
        description='user prompt: Jinja2 over the row\'s columns, also row["a b"]; a null is an error of its row',
    )
    prefill: Text | None = Field(default=None, description="start of the answer, which goes on where it ends")
    images: Names = Field(
        default=(), description="columns of images: bytes, or paths and s3:// URLs; a list gives several"
    )
    tools: Annotated[tuple[Tool, ...], AfterValidator(differently_named), BeforeValidator(as_tuple)] = Field(
        default=(), description="tools that the model may ask for: name, description, input_schema; none is run"
    )

    @field_validator("system_file", "user_file")
    @classmethod
    def _can_be_read(cls, path: Path | None) -> Path | None:
        if path is not None:
            with_content(text_of(path))
        return path

    @field_validator("system")
    @classmethod
    def _system_is_text_or_file(cls, text: str | None, info: ValidationInfo) -> str | None:
        path = info.data.get("system_file")
        if path is not None and text is not None:
            raise ValueError("give prompt.system or prompt.system_file, not both")
        return text if path is None else text_of(path)

    @field_validator("user")
    @classmethod
    def _user_is_text_file_or_column(cls, text: str | None, info: ValidationInfo) -> str | None:
        path: Path | None = info.data.get("user_file")
        column: str | None = info.data.get("messages")
        given = sum(source is not None for source in (text, path, column))
        if given > 1:
            raise ValueError(f"give one of prompt.user, prompt.user_file and prompt.messages, not {given}")
        if not given and {"user_file", "messages"} <= info.data.keys():  # else one was given, with a problem of its own
            raise ValueError(
                'required, for example user = "Sum up: {{ text }}"; or prompt.user_file or prompt.messages'
            )
        return text if path is None else text_of(path)

    @field_validator("prefill")
    @classmethod
    def _ends_in_no_white_space(cls, text: str | None) -> str | None:
        if text is not None and text != text.rstrip():
            raise ValueError("must not end in white space: Anthropic's API refuses such a start of the answer")
        return text


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
    api: Literal["invoke", "converse", "messages"] = Field(default="invoke", description="invoke, converse or messages")
    endpoint: Literal["runtime", "mantle"] = Field(
        default="runtime",
        description="runtime or mantle: the Messages API in single Regions, on quotas of their own",
    )
    transport: Literal["sdk", "http"] = Field(
        default="sdk", description="sdk, or http: the same calls at less CPU; the Messages API is always http"
    )
    service_tier: Literal["default", "priority", "flex", "reserved"] | None = Field(
        default=None, description="default, priority, flex or reserved; the tier that came back is a result column"
    )
    guardrail_id: Annotated[str, AfterValidator(a_guardrail)] | None = Field(
        default=None, description="ID or ARN of a guardrail that prompts and answers pass"
    )
    guardrail_version: Annotated[str, AfterValidator(a_guardrail_version)] | None = Field(
        default=None, validate_default=True, description='its version, a number in quotes or "DRAFT"'
    )
    request_metadata: Annotated[dict[str, str], AfterValidator(tags)] = Field(
        default={}, description="tags that AWS writes into its invocation log"
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


Fsync = Literal["always", "1s", "never"]


class Output(Table):
    """Where the results go."""

    path: Place = Field(description="folder of the results, or s3://bucket/prefix", examples=['path = "out/reviews"'])
    rows_per_part: int = Field(default=10_000, ge=1, le=MOST_ROWS_PER_PART, description="rows of a result file")
    fsync: Fsync = Field(
        default="1s", description="when answers are on the disk, for power loss: always, 1s or never; a kill takes none"
    )
    flush_s: float = Field(
        default=5, gt=0, le=3600, description="with output in S3: seconds between copies of the logs there"
    )
    scratch: FilePath | None = Field(
        default=None, description="with output in S3: local folder for logs and parts; default .batchrun/NAME"
    )
    storage_options: StorageOptions = Field(
        default=StorageOptions(), description="endpoint, region and profile of the store"
    )
