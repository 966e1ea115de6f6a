"""What a job has Bedrock keep of its requests, checked before the run: AWS ignores what is too short without a word."""

from collections.abc import Iterator

from batchrun.bedrock.body import Sampling, head_of
from batchrun.bedrock.card import Card
from batchrun.bedrock.checkpoints import MARGIN, NO_CHECKPOINTS, Checkpoints, Prefixes, surely_short
from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.records import Message, Prefix, Prompt


def checkpoints_of(spec: JobSpec, card: Card) -> Checkpoints:
    """Return where the job's checkpoints stand.

    Raises JobError if the model keeps nothing, or not for so long.
    """
    cache = spec.cache
    if not cache.asked:
        return NO_CHECKPOINTS
    facts = card.facts.get("caching", {})
    if not facts.get("supported"):
        raise JobError(f"cache: {card.name} has no prompt caching by its card")
    if cache.ttl not in facts["ttl"]:
        raise JobError(f'cache.ttl = "{cache.ttl}": {card.name} keeps prefixes for {", ".join(facts["ttl"])}')
    return Checkpoints(cache.system, cache.tools, cache.messages, cache.ttl)


def least_tokens(card: Card) -> int:
    """Return how long a prefix must be to be kept [tokens]."""
    return int(card.facts["caching"]["min_tokens_per_checkpoint"])


def check_fixed(sampling: Sampling, system: str | None, card: Card) -> Iterator[str]:
    """Yield a warning for each prefix, the same for all rows, that may be too short to be kept.

    Raises JobError if one surely is.
    """
    if sampling.cache == NO_CHECKPOINTS:
        return
    least = least_tokens(card)
    for key, prefix in _fixed(sampling, system):
        if surely_short(prefix.tokens, least):
            raise JobError(
                f"cache.{key}: the prefix that would be kept has about {prefix.tokens:,} tokens, at most "
                f"{_at_most(prefix):,}; {card.name} keeps prefixes of {least:,} and more, and ignores shorter ones "
                f"without a word: {_instead(key, sampling)}"
            )
        if prefix.tokens < least * (1 + MARGIN):
            yield (
                f"cache.{key}: the prefix has about {prefix.tokens:,} tokens, {card.name} keeps {least:,} and more: "
                "if it has fewer, nothing is kept; the summary says so"
            )


def _fixed(sampling: Sampling, system: str | None) -> Iterator[tuple[str, Prefix]]:
    """Yield the keys whose prefix is the same for all rows, and that prefix."""
    prompt = Prompt(system, (Message("user", "?"),))
    cache = sampling.cache
    if cache.tools:
        yield "tools", Prefixes(Checkpoints(tools=True), head_of(sampling)).of(prompt)[0]
    if cache.system and system:
        yield "system", Prefixes(Checkpoints(system=True), head_of(sampling)).of(prompt)[0]


def _at_most(prefix: Prefix) -> int:
    return int(prefix.tokens * (1 + MARGIN))


def _instead(key: str, sampling: Sampling) -> str:
    if key == "tools" and (sampling.cache.system or sampling.cache.messages):
        return "leave cache.tools out, the other checkpoint keeps the tools too"
    if key == "system" and sampling.cache.messages:
        return "leave cache.system out, the checkpoint behind the messages keeps it too"
    return "leave it out, or put what all rows share (rules, examples) in front"
