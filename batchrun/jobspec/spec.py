"""The job: all tables of the job file together, and the rules that join them."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    InstanceOf,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from batchrun.emulator.config import EmulatorSpec
from batchrun.errors import JobError
from batchrun.jobspec.cache import Cache
from batchrun.jobspec.endpoint import EMULATOR
from batchrun.jobspec.generation import Generation
from batchrun.jobspec.keys import Key, keys_of
from batchrun.jobspec.model import Model
from batchrun.jobspec.paths import overlap
from batchrun.jobspec.prices import Prices
from batchrun.jobspec.problems import Path as KeyPath
from batchrun.jobspec.refusal import MisfitError, problems_of
from batchrun.jobspec.running import SCOPES_EXAMPLE, Aws, Limits, Quota, Retry, Routing
from batchrun.jobspec.sinks import SinkTable, check_sinks
from batchrun.jobspec.values import Table
from batchrun.jobspec.work import Input, Output, Prompt

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # names files on any system, hides none


DEEPEST = 20  # tables and lists in each other; a JSON schema may take ten


def a_job_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("must be 1 to 100 letters, digits, '-', '_' or '.', the first a letter or a digit")
    return name


def a_dedupe(value: object) -> object:
    """Read true, false or "force"."""
    if value is True or value is False or value == "force":
        return value
    raise ValueError('must be true, false or "force"')


class JobSpec(Table):
    """A checked job: `spec.generation.max_tokens` is the key generation.max_tokens of the job file.

    Paths are absolute, durations are seconds, lists are tuples, a prompt's file is its text.
    """

    name: Annotated[str, AfterValidator(a_job_name)] = Field(
        description="name of the job: letters, digits, '-', '_' and '.', at most 100", examples=['name = "reviews"']
    )
    input: Input
    prompt: Prompt
    generation: Generation
    model: Model = Model()
    routing: Routing = Field(default=Routing(), validate_default=True)
    quota: Quota = Quota()
    cache: Cache = Cache()
    retry: Retry = Retry()
    limits: Limits = Limits()
    dedupe: Annotated[bool | Literal["force"], PlainValidator(a_dedupe)] = Field(
        default=False,
        description='true: equal requests are sent once, and every row has the answer; with temperature > 0 "force"',
    )
    output: Output
    sink: tuple[InstanceOf[SinkTable], ...] = Field(default=(), description="[[sink]] tables: where results go besides")
    prices: Prices | None = None
    aws: Aws = Aws()
    emulator: EmulatorSpec | None = None

    _base: Path = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._base = context if isinstance(context, Path) else Path.cwd()

    @property
    def base(self) -> Path:
        """The folder that the job's relative paths belonged to: the job file's, or without one the cwd."""
        return self._base

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        base: Path | None = None,
        source: str = "job",
        from_set: Collection[KeyPath] = (),
    ) -> Self:
        """Check `mapping`, shaped like a job file, whose relative paths belong to `base` (default: the cwd).

        Raises JobError with all problems, a line each that begins with `source`; keys in `from_set` are marked as set
        on the command line.
        """
        raw = _plain(mapping, source)
        raw = {name: table for name, table in raw.items() if table != {} or name not in cls.model_fields}  # [aws] alone
        folder = (base or Path.cwd()).absolute()
        sinks, problems = check_sinks(raw.get("sink", []), folder)
        for table in REQUIRED_TABLES:
            raw.setdefault(table, {})  # so that what is missing is said key by key
        try:
            spec = cls.model_validate({**raw, "sink": sinks}, context=folder)
        except ValidationError as error:
            problems += problems_of(error, raw, keys())
        if problems:
            marks = [" (from --set)" if any(p.path[: len(path)] == path for path in from_set) else "" for p in problems]
            raise JobError("\n".join(p.line(source) + mark for p, mark in zip(problems, marks, strict=True)))
        return spec

    @field_validator("dedupe")
    @classmethod
    def _is_not_at_odds_with_chance(cls, dedupe: bool | str, info: ValidationInfo) -> bool | str:
        generation = info.data.get("generation")
        if dedupe is True and generation is not None and (generation.temperature or 0) > 0:
            raise ValueError(
                f"generation.temperature = {generation.temperature:g} asks for answers that differ, also to equal "
                'requests: set it to 0, or dedupe = "force" to give all of them one answer'
            )
        return dedupe

    @field_validator("generation")
    @classmethod
    def _goes_with_the_prompt(cls, generation: Generation, info: ValidationInfo) -> Generation:
        prompt: Prompt | None = info.data.get("prompt")
        if prompt is not None and prompt.tools and generation.schema_ is not None:
            raise MisfitError("schema", "goes without prompt.tools: an answer is a tool call or fits the schema")
        if prompt is None or prompt.prefill is None:
            return generation
        if generation.schema_ is not None:
            raise MisfitError("schema", "goes without prompt.prefill: the schema begins the answer")
        if generation.thinking_budget_tokens is not None:
            raise MisfitError("thinking_budget_tokens", "goes without prompt.prefill: reasoning begins the answer")
        return generation

    @field_validator("model")
    @classmethod
    def _can_carry_it(cls, model: Model, info: ValidationInfo) -> Model:
        generation: Generation | None = info.data.get("generation")
        as_tool = "Converse" if model.api == "converse" else "mantle" if model.endpoint == "mantle" else None
        if generation is None or as_tool is None or generation.schema_ is None:
            return model
        if generation.thinking_budget_tokens is not None:
            raise MisfitError(
                "api",
                f"cannot carry generation.schema with thinking_budget_tokens: {as_tool} gets the schema as a forced "
                'tool, and the model does not reason before one; use api = "invoke"',
            )
        return model

    @field_validator("cache")
    @classmethod
    def _has_something_to_keep(cls, cache: Cache, info: ValidationInfo) -> Cache:
        prompt: Prompt | None = info.data.get("prompt")
        model: Model | None = info.data.get("model")
        generation: Generation | None = info.data.get("generation")
        if model is not None and model.api == "converse" and cache.asked and cache.ttl == "1h":
            raise MisfitError(
                "ttl", 'cannot be carried by Converse: the SDK\'s cachePoint knows no ttl; use model.api = "invoke"'
            )
        if prompt is None or generation is None or model is None:
            return cache
        if cache.messages and prompt.messages is None:
            raise MisfitError(
                "messages", "has nothing to keep: prompt.user is one message; it goes with prompt.messages"
            )
        if cache.system and prompt.system is None and prompt.messages is None:
            raise MisfitError("system", "has nothing to keep: the job has no prompt.system")
        as_tool = generation.schema_ is not None and (model.api == "converse" or model.endpoint == "mantle")
        if cache.tools and not as_tool and not prompt.tools:
            raise MisfitError("tools", "has nothing to keep: the job declares no prompt.tools")
        return cache

    @field_validator("output")
    @classmethod
    def _lies_outside_the_input(cls, output: Output, info: ValidationInfo) -> Output:
        for path in info.data["input"].path if "input" in info.data else ():
            if overlap(str(output.path), path):
                raise MisfitError("path", f"must not be, hold or lie in the input {path}")
        return output

    @field_validator("sink")
    @classmethod
    def _goes_where_nothing_else_is(cls, sinks: tuple[SinkTable, ...], info: ValidationInfo) -> tuple[SinkTable, ...]:
        read = info.data["input"].path if "input" in info.data else ()
        written = (str(info.data["output"].path),) if "output" in info.data else ()
        for place, sink in enumerate(sinks):
            for folder in sink.folders:
                if taken := [path for path in (*read, *written) if overlap(str(folder), path)]:
                    whose = "output" if taken[0] in written else "input"
                    raise MisfitError(f"[{place}]", f"{sink.label}: must not be, hold or lie in the {whose} {taken[0]}")
        return sinks

    @field_validator("routing")
    @classmethod
    def _has_scopes_where_there_are_inference_ids(cls, routing: Routing, info: ValidationInfo) -> Routing:
        model = info.data.get("model")
        if model is None:
            return routing
        if model.endpoint == "mantle" and routing.scopes is not None:
            raise MisfitError("scopes", "mantle has no inference IDs, its lanes are single Regions: leave it out")
        if model.endpoint == "mantle" and routing.lane:
            raise MisfitError("lane", "mantle has no inference IDs to have profiles of: leave it out")
        if model.endpoint == "runtime" and routing.scopes is None and not routing.lane:
            raise MisfitError("scopes", f"required, for example {SCOPES_EXAMPLE}")
        return routing

    @field_validator("emulator")
    @classmethod
    def _has_an_emulator_to_configure(cls, emulator: EmulatorSpec | None, info: ValidationInfo) -> EmulatorSpec | None:
        if emulator is not None and "aws" in info.data and info.data["aws"].endpoint_url != EMULATOR:
            raise ValueError(f'has no effect without an emulator: set aws.endpoint_url = "{EMULATOR}"')
        return emulator


REQUIRED_TABLES = [name for name, field in JobSpec.model_fields.items() if field.is_required() and name != "name"]


def keys() -> list[Key]:
    """Return every key in force with its default and its meaning, in the order of the job file."""
    return list(keys_of(JobSpec))


def _plain(value: Any, source: str, depth: int = 0) -> Any:
    """Copy tables and lists, so that the caller's stay as they are.

    Raises JobError if they are nested deeper than any job needs: Python's own bound would be a crash.
    """
    if depth > DEEPEST:
        raise JobError(f"{source}: tables and lists are nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, source, depth + 1) for key, inner in value.items()}
    return [_plain(inner, source, depth + 1) for inner in value] if isinstance(value, list | tuple) else value
