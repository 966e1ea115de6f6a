"""Prompt caching as a plan expects it: who shares a prefix with whom, and what that comes to."""

from collections.abc import Iterator, Sequence
from typing import Any

from batchrun.bedrock.checkpoints import NO_CHECKPOINTS, surely_short
from batchrun.caching import least_tokens
from batchrun.lanes.budget import dollars
from batchrun.readyjob import ReadyJob
from batchrun.records import Request, Usage

MANY = 0.5  # of the rows; with a prefix of their own, writes cost more than reads can save


def expected_cache(ready: ReadyJob, requests: Sequence[Request], rows: int) -> dict[str, Any] | None:
    """Return what a plan says of the cache, by some rows of `rows`; None where nothing is to be kept.

    `charged_tokens_per_row` is what quota is charged for the input: reads are free. A prefix that all of them share is
    written once a lane; otherwise as often as in the sample. Dollars are of the input: with the cache, without it, and
    at most, with every prefix written and none read.
    """
    cache = ready.sampling.cache
    if cache == NO_CHECKPOINTS or not requests:
        return None
    kept = [one for one in requests if _kept(one, least_tokens(ready.card))]
    prefixes = len({one.prefixes[-1].key for one in kept})
    share = rows / len(requests)
    input_tokens = round(share * sum(one.input_tokens for one in requests))
    kept_tokens = round(share * sum(min(one.prefixes[-1].tokens, one.input_tokens) for one in kept))
    writers = min(rows, len(ready.lanes)) if prefixes == 1 else prefixes * share
    written = round(kept_tokens * min(1.0, writers / (len(kept) * share))) if kept else 0
    uses = {
        "with": Usage(input_tokens - kept_tokens, 0, kept_tokens - written, written),
        "without": Usage(input_tokens),
        "at_most": Usage(input_tokens - kept_tokens, 0, 0, kept_tokens),
    }
    classes = sorted({lane.price_class for lane in ready.lanes})
    return {
        "sampled_rows": len(requests),
        "kept_rows": len(kept),
        "prefixes": prefixes,
        "prefix_tokens_per_row": round(kept_tokens / max(rows, 1), 1),
        "charged_tokens_per_row": round((input_tokens - kept_tokens + written) / max(rows, 1), 1),
        "usd": {
            name: {what: round(dollars(use, ready.prices[name], cache.ttl), 6) for what, use in uses.items()}
            for name in classes
        },
    }


def cache_warnings(ready: ReadyJob, requests: Sequence[Request]) -> Iterator[str]:
    """Yield what is to be said of the prefixes of some rows: too short, or hardly any of them shared."""
    if ready.sampling.cache == NO_CHECKPOINTS or not requests:
        return
    least = least_tokens(ready.card)
    longest = [request.prefixes[-1] if request.prefixes else None for request in requests]
    short = [one for one in longest if one is None or surely_short(one.tokens, least)]
    if short:
        largest = max((one.tokens for one in short if one is not None), default=0)
        yield (
            f"cache: of {len(requests)} sampled rows {len(short)} have no prefix of {least:,} tokens (the longest of "
            f"them about {largest:,}): they are sent, and billed, as without a cache"
        )
    kept = [request for request in requests if _kept(request, least)]
    own = len({request.prefixes[-1].key for request in kept})
    if len(kept) > 1 and own > MANY * len(kept):
        yield (
            f"cache: {own} of {len(kept)} sampled rows have a prefix of their own: most would be written, dearer than "
            "plain input, and never read; keep only what rows share"
        )


def _kept(request: Request, least: int) -> bool:
    return bool(request.prefixes) and not surely_short(request.prefixes[-1].tokens, least)
