"""[generation]: how answers are drawn, and what shape they have."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from batchrun.jobspec.paths import text_of
from batchrun.jobspec.values import LARGEST, Count, FilePath, Table, Texts
from batchrun.structured.definition import Schema, check_schema, schema_in

AUTO = "auto"
MOST_STOP_SEQUENCES = 8_191  # Anthropic API reference
LEAST_THINKING = 1_024  # tokens; Anthropic API reference, extended thinking
LEAST_TOP_P_THINKING = 0.95  # the same page


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


def a_schema(schema: object, info: ValidationInfo) -> Schema | None:
    """Read the JSON Schema of the table or of the file, None if there is neither."""
    path: Path | None = info.data.get("schema_file")
    if schema is not None and path is not None:
        raise ValueError("give generation.schema or generation.schema_file, not both")
    if path is None:
        return None if schema is None else check_schema(schema)
    return check_schema(schema_in(text_of(path)))


class Generation(Table):
    """How the answer is drawn. `schema_` holds the schema, also when the job file names a file."""

    max_tokens: Annotated[int | Literal["auto"], PlainValidator(a_length_or_auto)] = Field(
        description="longest answer, a whole number of tokens up to the card's limit; every call holds it of the "
        'quota, so no larger than needed; "auto" learns it',
        examples=["max_tokens = 512"],
    )
    max_tokens_ceiling: Count | None = Field(
        default=None,
        validate_default=True,
        description='longest answer that a row may get [tokens]; required with max_tokens = "auto", and only there',
    )
    temperature: float | None = Field(default=None, ge=0, le=1, description="randomness; unset: the model's default")
    top_p: float | None = Field(default=None, ge=0, le=1, description="nucleus sampling; not together with temperature")
    stop_sequences: Texts = Field(default=(), max_length=MOST_STOP_SEQUENCES, description="texts that end the answer")
    thinking_budget_tokens: int | None = Field(
        default=None,
        ge=LEAST_THINKING,
        le=LARGEST,
        description="reasoning before the answer [tokens], a part of max_tokens; paid and held as output",
    )
    keep_thinking: bool = Field(default=False, description="keep the reasoning, in the column `thinking`")
    schema_file: FilePath | None = Field(
        default=None, exclude=True, description="JSON file that holds the schema, instead of schema"
    )
    schema_: Annotated[Any, PlainValidator(a_schema)] = Field(
        default=None,
        alias="schema",
        validate_default=True,
        description="JSON Schema of the answer, which becomes the column `answer`; needs the extra `schema`",
    )

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

    @field_validator("schema_file")
    @classmethod
    def _holds_a_schema(cls, path: Path | None) -> Path | None:
        if path is not None:
            check_schema(schema_in(text_of(path)))
        return path

    @field_validator("thinking_budget_tokens")
    @classmethod
    def _is_part_of_max_tokens(cls, budget: int | None, info: ValidationInfo) -> int | None:
        if budget is None:
            return budget
        key = "max_tokens_ceiling" if info.data.get("max_tokens") == AUTO else "max_tokens"
        longest = info.data.get(key)
        if isinstance(longest, int) and budget >= longest:
            raise ValueError(f"must be < generation.{key} = {longest}: what is left of it is for the answer")
        if info.data.get("temperature") not in (None, 1):
            raise ValueError("goes only with generation.temperature left out or 1")
        top_p = info.data.get("top_p")
        if top_p is not None and top_p < LEAST_TOP_P_THINKING:
            raise ValueError(f"goes only with generation.top_p left out or ≥ {LEAST_TOP_P_THINKING}")
        return budget

    @field_validator("keep_thinking")
    @classmethod
    def _has_thinking_to_keep(cls, keep: bool, info: ValidationInfo) -> bool:
        if keep and info.data.get("thinking_budget_tokens", ...) is None:
            raise ValueError("has no effect without generation.thinking_budget_tokens")
        return keep
