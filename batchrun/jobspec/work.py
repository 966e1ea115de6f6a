"""What is asked for: input, prompt, generation, model, output; an output belongs to these.

A rule that joins two keys of a table stands at the later one, so that it is reported with all other problems.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from batchrun.jobspec.paths import resolved, text_of
from batchrun.jobspec.places import Place, StorageOptions, an_input
from batchrun.jobspec.values import (
    LARGEST,
    Count,
    FilePath,
    Name,
    Names,
    Table,
    Text,
    Texts,
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
MOST_STOP_SEQUENCES = 8_191  # Anthropic API reference
AUTO = "auto"
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


def a_length_or_auto(value: object) -> object:
    """Read "auto" or a number of tokens."""
    if value == AUTO:
        return value
    if type(value) is not int:
        words = isinstance(value, str)
        quoted_number = isinstance(value, str) and value.strip().isdecimal()
        what_else = ", without quotes" if quoted_number else f' or "{AUTO}"' if words else ""
        raise ValueError(f"must be a whole number{what_else}")
    if value < 1:
        raise ValueError("must be ≥ 1")
    if value > LARGEST:
        raise ValueError(f"must be ≤ {LARGEST}")
    return value


class Generation(Table):
    """How the answer is drawn."""

    max_tokens: Annotated[int | Literal["auto"], PlainValidator(a_length_or_auto)] = Field(
        description='longest answer [tokens]; what quota holds for a row, so no larger than needed; "auto" learns it',
        examples=["max_tokens = 512"],
    )
    max_tokens_ceiling: Count | None = Field(
        default=None,
        validate_default=True,
        description='with max_tokens = "auto": longest answer that a row may get [tokens]',
    )
    temperature: float | None = Field(default=None, ge=0, le=1, description="randomness; unset is the model's default")
    top_p: float | None = Field(default=None, ge=0, le=1, description="nucleus sampling; instead of temperature")
    stop_sequences: Texts = Field(default=(), max_length=MOST_STOP_SEQUENCES, description="texts that end the answer")

    @property
    def longest(self) -> int:
        """Return the longest answer that a row may get [tokens]: what an output belongs to, learnt or not."""
        if isinstance(self.max_tokens, int):
            return self.max_tokens
        assert self.max_tokens_ceiling is not None, "checked with the other keys"
        return self.max_tokens_ceiling

    @field_validator("max_tokens_ceiling")
    @classmethod
    def _goes_with_auto(cls, ceiling: int | None, info: ValidationInfo) -> int | None:
        max_tokens = info.data.get("max_tokens")
        if max_tokens == AUTO and ceiling is None:
            raise ValueError(
                f'required with max_tokens = "{AUTO}": the longest answer that a row may get, '
                "for example max_tokens_ceiling = 4096"
            )
        if isinstance(max_tokens, int) and ceiling is not None:
            raise ValueError(
                f'has no effect with max_tokens = {max_tokens}: leave it out, or set max_tokens = "{AUTO}"'
            )
        return ceiling

    @field_validator("top_p")
    @classmethod
    def _is_not_joined_by_temperature(cls, top_p: float | None, info: ValidationInfo) -> float | None:
        if top_p is not None and info.data.get("temperature") is not None:
            raise ValueError("give generation.temperature or generation.top_p: the model takes one of them")
        return top_p


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
