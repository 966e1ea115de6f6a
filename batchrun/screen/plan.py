"""The plan as people read it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from batchrun.screen.printable import in_one_line


def plan_text(planned: Mapping[str, Any]) -> str:
    """Return the page of a plan."""
    return "\n".join(_lines(planned))


def _lines(planned: Mapping[str, Any]) -> Iterator[str]:
    tokens = planned["tokens"]
    longest = "max_tokens_ceiling" if planned["max_tokens"]["set"] == "auto" else "max_tokens"
    yield f"{planned['job']}: {planned['rows']:,} rows from {planned['input_files']:,} files; nothing is sent by a plan"
    yield ""
    yield f"tokens   about {tokens['input_per_row']:,.0f} in a row ({tokens['sampled_rows']} rows sampled),"
    yield f"         {tokens['input']:,} in together, at most {tokens['output_at_most']:,} out"
    yield f"         a call holds about {tokens['hold_per_row']:,.0f} quota tokens: its input and {_allowed(planned)}"
    for name, usd in planned["usd"].items():
        yield (
            f"dollars  {name}: {usd['input']:.4f} for the input, at most {usd['at_most']:.4f} with every answer at "
            f"{longest} (prices of {planned['prices_date']})"
        )
    yield from _cache(planned["cache"])
    minutes = planned["minutes"]
    if minutes["at_most"] is not None:
        yield f"time     {_duration(minutes['at_least'])} to {_duration(minutes['at_most'])} at the quotas"
    elif any(None in numbers and 0 not in numbers for numbers in map(_numbers, planned["quotas"])):
        yield "time     unknown, as the quota is: a run begins slowly and goes by the refusals; quota.tokens_per_minute"
        yield "         says what is known"
    else:
        yield "time     never: every pool is blocked"
    yield ""
    quotas = {quota["pool"]: quota for quota in planned["quotas"]}
    yield f"{'lane':<28}{'tokens/min':>12}  {'source of the number':<32}may run in"
    for lane in planned["lanes"]:
        quota = quotas[lane["pool"]]
        name = f"{lane['scope']} from {lane['source_region']}"
        source = quota["sources"]["tokens_per_minute"].removeprefix("job: ")
        number = "unknown" if quota["tokens_per_minute"] is None else f"{quota['tokens_per_minute']:,.0f}"
        yield f"{name:<28}{number:>12}  {source:<32}{', '.join(lane['destination_regions'])}"
    for refused in planned["refused_lanes"]:
        yield f"refused: {refused['scope']} from {refused['source_region']}: {refused['why']}"
    for warning in planned["warnings"]:
        yield f"warning: {in_one_line(warning)}"
    if planned["max_tokens"]["advice"]:
        yield f"advice:  {planned['max_tokens']['advice']}"
    for request in planned["requests"]:
        yield ""
        yield json.dumps(request, indent=2, ensure_ascii=False)


def _cache(cache: Mapping[str, Any] | None) -> Iterator[str]:
    if cache is None:
        return
    found = f"{cache['prefixes']:,} prefixes in {cache['kept_rows']:,} of {cache['sampled_rows']:,} rows sampled"
    yield (
        f"cache    about {cache['prefix_tokens_per_row']:,.0f} tokens of a row are kept: {found}; "
        f"quota is charged for {cache['charged_tokens_per_row']:,.0f} of its input"
    )
    for name, usd in cache["usd"].items():
        yield (
            f"         {name}: about {usd['with']:.4f} for the input instead of {usd['without']:.4f}; "
            f"at most {usd['at_most']:.4f}, were every prefix written and none read"
        )


def _allowed(planned: Mapping[str, Any]) -> str:
    """Say which max_tokens a call holds."""
    max_tokens = planned["max_tokens"]
    if max_tokens["set"] != "auto":
        return "max_tokens"
    if max_tokens["answers"]:
        return f"the {max_tokens['first']:,} max_tokens learnt from {max_tokens['answers']:,} earlier answers"
    return f"max_tokens, which begins at {max_tokens['first']:,} and is learnt"


def _numbers(quota: Mapping[str, Any]) -> list[float | None]:
    return [quota[key] for key in ("tokens_per_minute", "requests_per_minute", "tokens_per_day")]


def _duration(minutes: float) -> str:
    for unit, size in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * size:
            return f"{minutes / size:,.1f} {unit}"
    return f"{minutes:,.1f} minutes" if minutes >= 1 else f"{60 * minutes:,.0f} s"
