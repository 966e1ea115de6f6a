"""What a job asks of the model for every row, and which result columns and remarks come of it."""

from collections.abc import Iterator

from batchrun.bedrock.body import Sampling
from batchrun.bedrock.card import Card
from batchrun.bedrock.checkpoints import NO_CHECKPOINTS, Checkpoints
from batchrun.bedrock.service import Service
from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.pictures import Pictures
from batchrun.render import Templates
from batchrun.storage.s3 import S3Options
from batchrun.storage.schema import Extras
from batchrun.structured.column import AnswerColumn
from batchrun.structured.wire import UnsupportedError, strict

FIELDS_SHOWN = 5


def sampling_of(spec: JobSpec, max_tokens: int, cache: Checkpoints = NO_CHECKPOINTS) -> Sampling:
    """Return what every request holds besides its prompt; `max_tokens` is what a run begins with.

    Raises JobError if Bedrock does not take the schema.
    """
    generation = spec.generation
    schema = generation.schema_
    if schema is not None and asks_for_shape(spec):
        try:
            schema = strict(schema).schema
        except UnsupportedError as error:
            raise JobError(
                f"generation.schema: {error}: Bedrock's structured output takes no such schema; change it, "
                'or set model.api = "converse", where it goes as a tool and is only checked afterwards'
            ) from error
    if schema is not None and not asks_for_shape(spec) and (top := {"anyOf", "oneOf", "allOf"} & schema.keys()):
        raise JobError(f"generation.schema: {top.pop()} beside type: a tool's schema takes none there")
    return Sampling(
        max_tokens,
        generation.temperature,
        generation.top_p,
        tuple(generation.stop_sequences),
        thinking_budget_tokens=generation.thinking_budget_tokens,
        schema=schema,
        cache=cache,
        schema_as_tool=schema is not None and not asks_for_shape(spec),
        tools=tuple(tool.declared() for tool in spec.prompt.tools),
    )


def asks_for_shape(spec: JobSpec) -> bool:
    """Tell whether a schema is asked for as such; Converse and mantle do not offer that, there it is a tool."""
    return spec.model.api != "converse" and spec.model.endpoint != "mantle"


def templates_of(spec: JobSpec) -> Templates:
    """Return how a row becomes a prompt."""
    prompt, generation = spec.prompt, spec.generation
    return Templates(
        prompt.system,
        prompt.user,
        prompt.messages,
        prompt.prefill,
        tools=bool(prompt.tools),
        answers_begun=generation.schema_ is None and generation.thinking_budget_tokens is None,
    )


def pictures_of(spec: JobSpec) -> Pictures | None:
    """Return what takes the images out of a row, None where a job has none."""
    if not spec.prompt.images:
        return None
    return Pictures(spec.prompt.images, spec.base, S3Options(**spec.input.storage_options.model_dump()))


def service_of(spec: JobSpec) -> Service:
    """Return what every request asks of Bedrock itself."""
    model = spec.model
    return Service(model.service_tier, model.request_metadata, model.guardrail_id, model.guardrail_version)


def extras_of(spec: JobSpec) -> Extras:
    """Return the result columns that this job has and others have not."""
    schema = spec.generation.schema_
    return Extras(
        answer=AnswerColumn(schema) if schema is not None else None,
        thinking=spec.generation.keep_thinking,
        tool_calls=bool(spec.prompt.tools),
    )


def remarks(spec: JobSpec, card: Card, extras: Extras) -> Iterator[str]:
    """Yield what a plan should say: a tier that may not be had, schema fields without a type, bounds checked later."""
    if spec.dedupe is True and spec.generation.temperature is None:
        yield (
            "dedupe = true, and generation.temperature is unset, which is 1.0 at Bedrock: equal requests would have "
            'had answers that differ, and get one of them; set it to 0, or dedupe = "force" if that is meant'
        )
    tier, tiers = spec.model.service_tier, card.facts.get("tiers", {})
    if tier is not None and tier not in tiers.get("supported", [tier]):
        yield f'model.service_tier = "{tier}": {card.name} has {", ".join(tiers["supported"])} by its card'
    schema = spec.generation.schema_
    if schema is None:
        return
    if extras.answer is not None and extras.answer.as_text:
        yield f"generation.schema: JSON text in the column answer, for want of one type: {_some(extras.answer.as_text)}"
    if asks_for_shape(spec) and (later := strict(schema).checked_later):
        yield (
            f"generation.schema: not kept by the decoding but checked in the answer, which is asked for again where it "
            f"does not fit: {_some(later)}"
        )


def _some(names: list[str]) -> str:
    more = len(names) - FIELDS_SHOWN
    return ", ".join(names[:FIELDS_SHOWN]) + (f" and {more} more" if more > 0 else "")
