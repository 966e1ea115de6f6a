"""plan: what a job would send, where, at what cost and in what time.

It asks AWS for quotas and profiles and has it count the tokens of a sample; none of that costs anything.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from batchrun.account.now import discover_now
from batchrun.api import RunOptions, run
from batchrun.bedrock.body import converse_arguments, messages_body
from batchrun.forecast.answers import Answers
from batchrun.forecast.cache import cache_warnings, expected_cache
from batchrun.forecast.estimates import LONG_DAYS, MINUTES_A_DAY, Estimates, Row, long_time
from batchrun.forecast.sample import Sample, requests_of, take_sample
from batchrun.jobspec import JobSpec
from batchrun.readyjob import ReadyJob, make_ready
from batchrun.records import Request
from batchrun.screen.lanes import lane_record
from batchrun.storage.opening import open_store
from batchrun.storage.schema import result_schema
from batchrun.storage.source import Source, duplicate_ids
from batchrun.storage.store import Store


def plan(
    job: Path | str | JobSpec,
    overrides: Sequence[str] = (),
    show: int = 0,
    *,
    count: bool = True,
    probe: int = 0,
    screen: TextIO | None = None,
) -> dict[str, Any]:
    """Return what `batchrun plan --json` prints: estimates of tokens, dollars and time, and what they rest on.

    With `count`, a sample of the rows goes to Bedrock to have its tokens counted, which is free; otherwise no row does.
    `probe` sends so many rows first, spread over the input, whose answers are kept as results; `screen` shows their
    progress.
    Raises JobError or InputError as a run would, with `probe` all that a run raises.
    """
    probed = run(job, RunOptions(overrides, probe=probe, screen=screen)) if probe else None
    ready = make_ready(job, overrides, discover_now)
    with open_store(ready.spec) as store:
        planned = _plan(ready, store, show, count=count)
    return planned if probed is None else {**planned, **_probe(probed)}


def _probe(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a probe adds to a plan: how it ended as a run ends, and what it found."""
    return {name: summary.get(name) for name in ("exit_code", "reason", "probe")}


def _plan(ready: ReadyJob, store: Store, show: int, *, count: bool) -> dict[str, Any]:
    source = ready.scan_input(store)
    kept = [source.schema.field(name) for name in ready.kept if name in source.schema.names]
    result_schema(kept, ready.extras.fields)
    rows = ready.rows_wanted(source)
    sample = take_sample(ready, source, rows, count=count)
    answers = Answers.expected(ready, store)
    cache = expected_cache(ready, sample.requests, rows)
    charged = cache["charged_tokens_per_row"] if cache is not None else None
    row = Row(sample.input_per_row, answers.mean, charged_input=charged)
    estimates = Estimates(ready, round(rows * sample.sendable), row)
    return {
        "job": ready.spec.name,
        "rows": rows,
        "input_files": len(source.files),
        "lanes": [lane_record(ready.card, lane) for lane in ready.lanes],
        "refused_lanes": [
            {"scope": one.scope, "source_region": one.source_region, "why": one.why} for one in ready.refused
        ],
        "quotas": _quotas(ready),
        "discovery": ready.found.nothing_read if ready.found is not None else None,
        "tokens": _tokens(ready, sample, estimates, answers.first),
        "usd": estimates.usd(),
        "prices_date": str(ready.spec.prices.date) if ready.spec.prices is not None else ready.card.prices_date,
        "minutes": estimates.minutes(),
        "bound_by": estimates.bound_by(),
        "expected": estimates.expected(f"{len(answers.lengths):,} earlier answers"),
        "cache": cache,
        "max_tokens": answers.record(sample.input_per_row),
        "dedupe": ready.spec.dedupe,
        "warnings": [
            *ready.warnings,
            *_warnings(ready, source, sample),
            *cache_warnings(ready, sample.requests),
            *_long(estimates),
        ],
        "requests": [_shown(ready, request) for request in islice(requests_of(ready, source, 0, rows), show)],
    }


def _tokens(ready: ReadyJob, sample: Sample, estimates: Estimates, held: int) -> dict[str, Any]:
    """Return tokens; `held` is the max_tokens of a first call: where it is learnt, less than the longest answer."""
    return {
        "input": round(sample.input_per_row * estimates.rows),
        "input_per_row": round(sample.input_per_row, 1),
        "output_at_most": ready.longest_answer * estimates.rows,
        "hold_per_row": round(sample.input_per_row + held, 1),
        "sampled_rows": sample.rows,
        "counted_rows": sample.counted,
        "estimated_because": sample.why_estimated,
    }


def _long(estimates: Estimates) -> Iterator[str]:
    """Yield a word on a job that takes longer than anybody would wait."""
    minutes = (estimates.expected("") or {}).get("minutes") or estimates.minutes()["at_least"] or 0.0
    if minutes >= LONG_DAYS * MINUTES_A_DAY:
        yield long_time(minutes / MINUTES_A_DAY, estimates.bound_by(), estimates.ready.quotas)


def _shown(ready: ReadyJob, request: Request) -> Any:
    """Return a request as the job's API takes it."""
    if ready.spec.model.api == "converse":
        return _showable({**converse_arguments(request.prompt, ready.sampling), **ready.service.converse_arguments})
    as_sent = request.body
    if ready.spec.model.api == "messages":
        as_sent = messages_body(ready.lanes[0].inference_id, as_sent)
    return _showable(json.loads(as_sent))


def _showable(value: Any) -> Any:
    """Copy a request with images by their size alone."""
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, Mapping):
        hidden = value.get("type") == "base64" and isinstance(value.get("data"), str)
        return {
            key: f"({len(one)} characters of base64)" if hidden and key == "data" else _showable(one)
            for key, one in value.items()
        }
    return [_showable(one) for one in value] if isinstance(value, list | tuple) else value


def _quotas(ready: ReadyJob) -> list[dict[str, Any]]:
    return [
        {
            "pool": name,
            "tokens_per_minute": quota.tokens_per_minute,
            "requests_per_minute": quota.requests_per_minute,
            "tokens_per_day": quota.tokens_per_day,
            "sources": dict(quota.sources),
        }
        for name, quota in ready.quotas.items()
    ]


def _warnings(ready: ReadyJob, source: Source, sample: Sample) -> Iterator[str]:
    if ready.emulated:
        yield "aws.endpoint_url is set: the answers do not come from AWS, and the results say so"
    if sample.unsendable:
        total = sample.unsendable + len(sample.requests)
        yield f"{sample.unsendable} of {total} sampled rows cannot be sent, such as {sample.example}"
    for name, quota in ready.quotas.items():
        if quota.blocked:
            yield f"blocked by a quota of 0: {name}: {quota.blocked_why}"
    largest = ready.largest_quota
    holds = [request.hold for request in sample.requests]
    if holds and max(holds) > largest:
        yield (
            f"a row holds up to {max(holds):,} quota tokens (input + max_tokens), above the largest quota of "
            f"{largest:,.0f} a minute: such rows are tried on idle pools only, and end unsendable if refused there"
        )
    most = ready.output_burndown * max(holds, default=0)
    if ready.spec.quota.share < 1 and largest < most:
        yield (
            f"quota.share: a row may settle at {most:,} quota tokens ({ready.output_burndown} × its hold), above "
            f"the largest share of {largest:,.0f} a minute: such rows go one a minute; lower generation.max_tokens"
        )
    if ready.spec.input.id is not None and source.rows:
        found = duplicate_ids(source, ready.spec.input.id)
        if found:
            yield f"input.id {ready.spec.input.id!r}: {found}"
