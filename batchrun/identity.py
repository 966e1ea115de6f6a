"""Identity: what an output belongs to, so that no other job goes on with it."""

import hashlib
import json
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.jobspec import JobSpec

# Keys that an output of an older batchrun does not have: left out where a job does not set them.
_NEWER_PROMPT = ("images", "tools")
_NEWER_GENERATION = ("thinking_budget_tokens", "keep_thinking")


def identity_of(spec: JobSpec, card: Card, *, emulated: bool) -> dict[str, Any]:
    """Return what an output belongs to, besides its input files; texts as digests, so that none is stored."""
    return {
        "input.id": spec.input.id,
        "input.keep": list(spec.input.keep),
        **{f"prompt.{key}": _digest(value) for key, value in _prompt(spec).items()},
        **{f"generation.{key}": _plain(value) for key, value in _generation(spec).items()},
        "model.card": f"{card.name} ({card.base_model_id})",
        "output.rows_per_part": spec.output.rows_per_part,
        "answers": "emulator" if emulated else "aws",
    }


def _prompt(spec: JobSpec) -> dict[str, Any]:
    told = spec.prompt.model_dump(exclude=set(_NEWER_PROMPT))
    return told | {key: value for key in _NEWER_PROMPT if (value := getattr(spec.prompt, key))}


def _generation(spec: JobSpec) -> dict[str, Any]:
    """Return how answers are drawn: learnt or fixed, no answer is longer than the same number."""
    generation = spec.generation
    told = generation.model_dump(exclude={"max_tokens_ceiling", "schema_", *_NEWER_GENERATION})
    told |= {key: value for key in _NEWER_GENERATION if (value := getattr(generation, key))}
    told["max_tokens"] = generation.longest
    if generation.schema_ is not None:
        told["schema"] = _digest(json.dumps(generation.schema_, sort_keys=True))
    return told


def _digest(value: object) -> str | None:
    return None if value is None else f"sha256 {hashlib.sha256(str(value).encode()).hexdigest()[:16]}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
