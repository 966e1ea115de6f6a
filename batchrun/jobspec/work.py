"""The work: where the rows come from, what is sent for each of them, and where the results go.

A rule that joins two keys of a table stands at the later one, so that it is reported with all other problems.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator

from batchrun.jobspec.paths import text_of
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
)  # what every result has of its own, as in storage/schema.py
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
        description="file, folder or glob, also s3://, or a list of them; files are .parquet, .jsonl or .csv",
        examples=['path = "data/*.parquet"'],
    )
    id: Name | None = Field(default=None, description="column that labels rows; the key is always the row number")
    keep: Names = Field(default=(), description="columns carried into the result, with their types")
    storage_options: StorageOptions = Field(
        default=StorageOptions(), description="endpoint, region and profile of the store"
    )

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

    system_file: FilePath | None = Field(
        default=None, exclude=True, description="file that holds the system prompt, instead of system"
    )
    system: Text | None = Field(
        default=None,
        validate_default=True,
        description='system prompt: Jinja2 over the row\'s columns, also row["a b"]',
    )
    user_file: FilePath | None = Field(
        default=None, exclude=True, description="file that holds the user prompt, instead of user"
    )
    messages: Name | None = Field(
        default=None, description="instead of user: a column of `list<struct<role, content>>` or of JSON text"
    )
    user: Text | None = Field(
        default=None,
        validate_default=True,
        description="user prompt, as system; a null is an error of its row; required without user_file or messages",
    )
    prefill: Text | None = Field(
        default=None, description="start of the answer, which goes on where it ends; no white space at its end"
    )
    images: Names = Field(
        default=(), description="columns of images: bytes, or paths and s3:// URLs; a cell that is a list gives several"
    )
    tools: Annotated[tuple[Tool, ...], AfterValidator(differently_named), BeforeValidator(as_tuple)] = Field(
        default=(), description="[[prompt.tools]] tables: tools that the model may ask for; none is run"
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


Fsync = Literal["always", "1s", "never"]


class Output(Table):
    """Where the results go."""

    path: Place = Field(description="folder of the results, or s3://bucket/prefix", examples=['path = "out/reviews"'])
    rows_per_part: int = Field(default=10_000, ge=1, le=MOST_ROWS_PER_PART, description="most rows of a result file")
    fsync: Fsync = Field(
        default="1s", description="how soon answers are on the disk, in case the power fails; a kill takes none of them"
    )
    flush_s: float = Field(
        default=5, gt=0, le=3600, description="with output in S3: time between copies of the open logs there [s]"
    )
    scratch: FilePath | None = Field(
        default=None,
        description="with output in S3: local folder for logs and parts; unset: .batchrun/NAME beside the job file",
    )
    storage_options: StorageOptions = Field(
        default=StorageOptions(), description="endpoint, region and profile of the store"
    )
