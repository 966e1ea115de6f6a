"""plan: what a job would send, where, at what cost and in what time, worked out without a call."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from batchrun.bedrock.body import converse_arguments, messages_body
from batchrun.cells import rows_of
from batchrun.expected import Answers
from batchrun.expected_cache import cache_warnings, expected_cache
from batchrun.jobspec import JobSpec
from batchrun.lanes.budget import dollars
from batchrun.lanes.pool import Quota
from batchrun.readyjob import ReadyJob, make_ready
from batchrun.records import Request, Usage
from batchrun.render import RowError
from batchrun.requesting import Requests
from batchrun.screen.lanes import lane_record
from batchrun.storage.opening import open_store
from batchrun.storage.schema import result_schema
from batchrun.storage.source import Source, duplicate_ids
from batchrun.storage.store import Store

SAMPLE_ROWS = 500  # rendered to estimate tokens: evenly spread stretches of the input
STRETCHES = 10
MINUTES_A_DAY = 1_440


def plan(job: Path | str | JobSpec, overrides: Sequence[str] = (), show: int = 0) -> dict[str, Any]:
    """Return what `batchrun plan --json` prints: estimates of tokens, dollars and time, and what they rest on.

    Raises JobError or InputError as a run would.
    """
    ready = make_ready(job, overrides)
    with open_store(ready.spec) as store:
        return _plan(ready, store, show)


def _plan(ready: ReadyJob, store: Store, show: int) -> dict[str, Any]:
    source = ready.scan_input(store)
    kept = [source.schema.field(name) for name in ready.kept if name in source.schema.names]
    result_schema(kept, ready.extras.fields)
    rows = ready.rows_wanted(source)
    sample = _sample(ready, source, rows)
    answers = Answers.expected(ready, store)
    cache = expected_cache(ready, sample.requests, rows)
    charged = cache["charged_tokens_per_row"] if cache is not None else sample.input_per_row
    return {
        "job": ready.spec.name,
        "rows": rows,
        "input_files": len(source.files),
        "lanes": [lane_record(ready.card, lane) for lane in ready.lanes],
        "refused_lanes": [
            {"scope": one.scope, "source_region": one.source_region, "why": one.why} for one in ready.refused
        ],
        "quotas": _quotas(ready),
        **_estimates(ready, sample, round(rows * sample.sendable), answers.first, charged),
        "cache": cache,
        "max_tokens": answers.record(sample.input_per_row),
        "warnings": [
            *ready.warnings,
            *_warnings(ready, source, sample),
            *cache_warnings(ready, sample.requests),
        ],
        "requests": [_shown(ready, request) for request in islice(_requests(ready, source, 0, rows), show)],
    }


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


@dataclass(frozen=True, slots=True)
class _Sample:
    requests: Sequence[Request]
    unsendable: int
    example: str | None

    @property
    def sendable(self) -> float:
        """Return the share of the sampled rows that become requests."""
        rows = len(self.requests) + self.unsendable
        return len(self.requests) / rows if rows else 1.0

    @property
    def input_per_row(self) -> float:
        """Return the mean estimate of a request's input [tokens]."""
        return fmean(request.input_tokens for request in self.requests) if self.requests else 0.0


def _sample(ready: ReadyJob, source: Source, rows: int) -> _Sample:
    """Render rows from evenly spread stretches: the head of a dataset is seldom like the rest."""
    requests: list[Request] = []
    errors: list[str] = []
    each = max(1, SAMPLE_ROWS // STRETCHES)
    firsts = range(0, rows, max(each, rows // STRETCHES)) if rows else ()
    for first_row in firsts:
        for made in _rendered(ready, source, first_row, min(first_row + each, rows)):
            if isinstance(made, Request):
                requests.append(made)
            else:
                errors.append(made)
    return _Sample(requests, len(errors), errors[0] if errors else None)


def _requests(ready: ReadyJob, source: Source, first_row: int, stop_row: int) -> Iterator[Request]:
    made = _rendered(ready, source, first_row, stop_row)
    return (request for request in made if isinstance(request, Request))


def _rendered(ready: ReadyJob, source: Source, first_row: int, stop_row: int) -> Iterator[Request | str]:
    """Yield each row's request, or why it has none."""
    requests = Requests(ready.sampling, ready.card.request_bytes)
    for batch in source.read(ready.renderer.columns, first_row, stop_row):
        for row, cells in enumerate(rows_of(batch.batch), batch.first_row):
            try:
                if isinstance(cells, str):
                    raise RowError(cells)
                yield requests.request(row, ready.renderer.prompt(cells, ready.renderer.images(cells)))
            except RowError as error:
                yield f"row {row}: {error}"


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


def _estimates(ready: ReadyJob, sample: _Sample, rows: int, held: int, charged: float) -> dict[str, Any]:
    """Bound tokens, dollars and time: the input is estimated, the output lies between nothing and max_tokens.

    `held` is the max_tokens of a first call: where it is learnt, less than the longest answer. `charged` is what quota
    is charged for a row's input: less than all of it where prefixes are read from a cache.
    """
    mean_input = sample.input_per_row
    max_tokens = ready.longest_answer
    input_tokens, most_output = round(mean_input * rows), max_tokens * rows
    classes = sorted({lane.price_class for lane in ready.lanes})
    usd = {
        name: {
            "input": round(dollars(Usage(input=input_tokens), ready.prices[name]), 6),
            "at_most": round(dollars(Usage(input=input_tokens, output=most_output), ready.prices[name]), 6),
        }
        for name in classes
    }
    return {
        "tokens": {
            "input": input_tokens,
            "input_per_row": round(mean_input, 1),
            "output_at_most": most_output,
            "hold_per_row": round(mean_input + held, 1),
            "sampled_rows": len(sample.requests) + sample.unsendable,
        },
        "usd": usd,
        "prices_date": str(ready.spec.prices.date) if ready.spec.prices is not None else ready.card.prices_date,
        "minutes": {
            "at_least": _minutes(ready, rows, charged),
            "at_most": _minutes(ready, rows, mean_input + ready.output_burndown * max_tokens),
        },
    }


def _minutes(ready: ReadyJob, rows: int, charge: float) -> float | None:
    """Return how long `rows` calls of `charge` quota tokens take at the quotas.

    None if every pool is blocked, or if one has no number that is known.
    """
    open_quotas = [quota for quota in ready.quotas.values() if not quota.blocked]
    if not rows or not charge:
        return 0.0 if open_quotas else None
    rates = [_rows_per_minute(quota, charge) for quota in open_quotas]
    known = [rate for rate in rates if rate is not None]
    return round(rows / sum(known), 2) if known and len(known) == len(rates) else None


def _rows_per_minute(quota: Quota, charge: float) -> float | None:
    """Return what the tightest of a pool's numbers lets through, the day's spread over its minutes; None if unknown."""
    rates = [quota.requests_per_minute]
    rates += [tokens and tokens / charge for tokens in (quota.tokens_per_minute, _over_a_day(quota.tokens_per_day))]
    return min((rate for rate in rates if rate is not None), default=None)


def _over_a_day(tokens_per_day: float | None) -> float | None:
    return tokens_per_day and tokens_per_day / MINUTES_A_DAY


def _warnings(ready: ReadyJob, source: Source, sample: _Sample) -> Iterator[str]:
    if ready.emulated:
        yield "aws.endpoint_url is set: the answers do not come from AWS, and the results say so"
    if sample.unsendable:
        total = sample.unsendable + len(sample.requests)
        yield f"{sample.unsendable} of {total} sampled rows cannot be sent, such as {sample.example}"
    blocked = [name for name, quota in ready.quotas.items() if quota.blocked]
    if blocked:
        yield f"blocked by a quota of 0: {', '.join(blocked)}"
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
