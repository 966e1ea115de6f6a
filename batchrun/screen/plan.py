"""The plan as people read it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from batchrun.screen.printable import in_one_line


def plan_text(planned: Mapping[str, Any]) -> str:
    """Return the page of a plan."""
    return "\n".join(_lines(planned))


def _files(planned: Mapping[str, Any]) -> str:
    files: int = planned["input_files"]
    return "1 file" if files == 1 else f"{files:,} files"


def _lines(planned: Mapping[str, Any]) -> Iterator[str]:
    tokens = planned["tokens"]
    longest = "max_tokens_ceiling" if planned["max_tokens"]["set"] == "auto" else "max_tokens"
    sent = "a plan spends nothing" if "probe" not in planned else in_one_line(planned["reason"])
    yield f"{planned['job']}: {planned['rows']:,} rows from {_files(planned)}; {sent}"
    yield ""
    yield f"tokens   about {tokens['input_per_row']:,.0f} in a row ({_sampled(tokens)}),"
    yield f"         {tokens['input']:,} in together, at most {tokens['output_at_most']:,} out"
    yield f"         a call holds about {tokens['hold_per_row']:,.0f} quota tokens: its input and {_allowed(planned)}"
    for name, usd in planned["usd"].items():
        yield (
            f"dollars  {name}: {usd['input']:.4f} for the input, at most {usd['at_most']:.4f} with every answer at "
            f"{longest} (prices of {planned['prices_date']})"
        )
    yield from _cache(planned["cache"])
    yield f"time     {_time(planned)}"
    if expected := planned["expected"]:
        yield from _expected(expected)
    if probe := planned.get("probe"):
        yield from _probe(probe)
    if planned["dedupe"]:
        yield "dedupe   equal requests are sent once; the sums above count every row"
    yield ""
    quotas = {quota["pool"]: quota for quota in planned["quotas"]}
    yield f"{'lane':<28}{'tokens/min':>12}  {'source of the number':<32}may run in"
    for lane in planned["lanes"]:
        quota = quotas[lane["pool"]]
        source = quota["sources"]["tokens_per_minute"].removeprefix("job: ")
        number = "unknown" if quota["tokens_per_minute"] is None else f"{quota['tokens_per_minute']:,.0f}"
        yield f"{lane['name']:<28}{number:>12}  {source:<30}  {', '.join(lane['destination_regions'])}"
    if planned["discovery"]:
        yield f"account  nothing is read from AWS: {planned['discovery']}"
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


def _sampled(tokens: Mapping[str, Any]) -> str:
    """Say what the tokens of a row rest on."""
    rows, counted = tokens["sampled_rows"], tokens["counted_rows"]
    if counted == rows:
        return f"{rows} rows sampled, counted by Bedrock"
    why = in_one_line(f": {tokens['estimated_because']}" if tokens["estimated_because"] else "")
    return f"{rows} rows sampled, {counted} of them counted by Bedrock{why}" if rows else "no row sampled"


def _time(planned: Mapping[str, Any]) -> str:
    """Say how long a job takes at its quotas, without answers and with the longest."""
    minutes = planned["minutes"]
    if minutes["at_most"] is None:
        if any(None in numbers and 0 not in numbers for numbers in map(_numbers, planned["quotas"])):
            return (
                "unknown, as the quota is: a run begins slowly and goes by the refusals; quota.tokens_per_minute\n"
                "         says what is known"
            )
        return "never: every pool is blocked"
    least, most = duration(minutes["at_least"]), duration(minutes["at_most"])
    bound = f", bound by {planned['bound_by']}" if planned["bound_by"] else ""
    return f"{least} at the quotas{bound}" if least == most else f"{least} to {most} at the quotas{bound}"


def _numbers(quota: Mapping[str, Any]) -> list[float | None]:
    return [quota[key] for key in ("tokens_per_minute", "requests_per_minute", "tokens_per_day")]


def _expected(expected: Mapping[str, Any]) -> Iterator[str]:
    """Say what is likely."""
    shares = {name: share for name, share in expected["shares"].items() if share >= 0.005}
    mix = " and ".join(f"{100 * share:.0f} % {name}" for name, share in shares.items())
    yield (
        f"likely   {expected['output_tokens']:,} tokens out ({expected['output_per_row']:,.0f} a row, by "
        f"{expected['from']}), ${expected['usd']:.4f}{f' ({mix})' if len(shares) > 1 else ''}, "
        f"{'unknown time' if expected['minutes'] is None else duration(expected['minutes'])}"
    )


def _probe(probe: Mapping[str, Any]) -> Iterator[str]:
    """Say what a probe found, and how sure that is."""
    forecast = probe["forecast"]
    if forecast is None:
        yield "probe    no row has a result"
        return
    sure = ""
    if forecast["usd_low"] is not None:
        half = (forecast["usd_high"] - forecast["usd"]) / forecast["usd"] if forecast["usd"] else 0.0
        sure = f" ± {100 * half:.1f} % (${forecast['usd_low']:.4f} to ${forecast['usd_high']:.4f} in 95 of 100 cases)"
    yield (
        f"probe    {probe['rows']:,} rows for ${probe['usd']:.4f}, {forecast['output_per_row']:,.0f} tokens out a row; "
        f"the whole job: ${forecast['usd']:.4f}{sure}"
    )
    if forecast["rows_for_goal"] is not None:
        yield f"         to come within 5 %, probe about {forecast['rows_for_goal']:,} rows; those sent already count"


def duration(minutes: float) -> str:
    """Say a time as a person would: 347 days, 33.6 hours, 1.7 minutes, 12 s."""
    for unit, size in (("years", 365 * 1440), ("days", 1440), ("hours", 60)):
        if minutes >= 2 * size:
            number = minutes / size
            return f"{number:,.0f} {unit}" if number >= 100 else f"{number:,.1f} {unit}"
    return f"{minutes:,.1f} minutes" if minutes >= 1 else f"{60 * minutes:,.0f} s"
