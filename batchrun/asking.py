"""What a job asks of the model for every row, and which result columns and remarks come of it."""

from collections.abc import Iterator

from batchrun.bedrock.body import Sampling
from batchrun.bedrock.card import Card
from batchrun.bedrock.checkpoints import NO_CHECKPOINTS, Checkpoints
from batchrun.bedrock.service import Service
from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
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
    if schema is not None and spec.model.api == "invoke":
        try:
            schema = strict(schema).schema
        except UnsupportedError as error:
            raise JobError(
                f"generation.schema: {error}: Bedrock's structured output takes no such schema; change it, "
                'or set model.api = "converse", where it goes as a tool and is only checked afterwards'
            ) from error
    if schema is not None and spec.model.api == "converse" and (top := {"anyOf", "oneOf", "allOf"} & schema.keys()):
        raise JobError(f"generation.schema: {top.pop()} beside type: a tool's schema takes none there")
    return Sampling(
        max_tokens,
        generation.temperature,
        generation.top_p,
        tuple(generation.stop_sequences),
        thinking_budget_tokens=generation.thinking_budget_tokens,
        schema=schema,
        cache=cache,
    )


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
    )


def remarks(spec: JobSpec, card: Card, extras: Extras) -> Iterator[str]:
    """Yield what a plan should say: a tier that may not be had, schema fields without a type, bounds checked later."""
    tier, tiers = spec.model.service_tier, card.facts.get("tiers", {})
    if tier is not None and tier not in tiers.get("supported", [tier]):
        yield f'model.service_tier = "{tier}": {card.name} has {", ".join(tiers["supported"])} by its card'
    schema = spec.generation.schema_
    if schema is None:
        return
    if extras.answer is not None and extras.answer.as_text:
        yield f"generation.schema: JSON text in the column answer, for want of one type: {_some(extras.answer.as_text)}"
    if spec.model.api == "invoke" and (later := strict(schema).checked_later):
        yield (
            f"generation.schema: not kept by the decoding but checked in the answer, which is asked for again where it "
            f"does not fit: {_some(later)}"
        )


def _some(names: list[str]) -> str:
    more = len(names) - FIELDS_SHOWN
    return ", ".join(names[:FIELDS_SHOWN]) + (f" and {more} more" if more > 0 else "")
