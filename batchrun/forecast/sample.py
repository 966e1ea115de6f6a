"""A sample of a job's rows as requests: what a plan knows of the input without reading all of it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import fmean

import anyio

from batchrun.account.access import accesses
from batchrun.bedrock.card import ANYWHERE
from batchrun.bedrock.counting import Counted, Counting, count_tokens
from batchrun.bedrock.credentials import Access
from batchrun.cells import rows_of
from batchrun.emulator.config import EmulatorSpec
from batchrun.jobspec.endpoint import EMULATOR
from batchrun.lanes.lane import Lane
from batchrun.readyjob import ReadyJob
from batchrun.records import Request
from batchrun.render import RowError
from batchrun.requesting import FRAME_TOKENS, Requests
from batchrun.storage.source import Source

SAMPLE_ROWS = 500  # rendered to estimate tokens: evenly spread stretches of the input
STRETCHES = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """Sampled rows that can be sent, with their tokens as far as they were counted, and how many cannot."""

    requests: Sequence[Request]
    unsendable: int
    example: str | None
    counted: int = 0
    why_estimated: str | None = None

    @property
    def rows(self) -> int:
        """Return how many rows were rendered."""
        return len(self.requests) + self.unsendable

    @property
    def sendable(self) -> float:
        """Return the share of the sampled rows that become requests."""
        return len(self.requests) / self.rows if self.rows else 1.0

    @property
    def input_per_row(self) -> float:
        """Return the mean of a request's input [tokens]."""
        return fmean(request.input_tokens for request in self.requests) if self.requests else 0.0


def take_sample(ready: ReadyJob, source: Source, rows: int, *, count: bool) -> Sample:
    """Render rows from evenly spread stretches: the head of a dataset is seldom like the rest.

    With `count`, Bedrock counts their input, which is free; else, and where it does not, bytes are the measure.
    """
    sample = _rendered_sample(ready, source, rows)
    if not count:
        return replace(sample, why_estimated="asked not to count")
    if not sample.requests:
        return sample
    counted = _counted(ready, [request.body for request in sample.requests])
    return replace(
        sample,
        requests=_corrected(sample.requests, counted),
        counted=len(counted.tokens),
        why_estimated=counted.why_not,
    )


def requests_of(ready: ReadyJob, source: Source, first_row: int, stop_row: int) -> Iterator[Request]:
    """Yield the requests of those rows that become one."""
    made = _rendered(ready, source, first_row, stop_row)
    return (request for request in made if isinstance(request, Request))


def _rendered_sample(ready: ReadyJob, source: Source, rows: int) -> Sample:
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
    return Sample(requests, len(errors), errors[0] if errors else None)


def _rendered(ready: ReadyJob, source: Source, first_row: int, stop_row: int) -> Iterator[Request | str]:
    """Yield each row's request, or why it has none."""
    requests = Requests(ready.sampling, ready.card.request_bytes, ready.largest_day)
    for batch in source.read(ready.renderer.columns, first_row, stop_row):
        for row, cells in enumerate(rows_of(batch.batch), batch.first_row):
            try:
                if isinstance(cells, str):
                    raise RowError(cells)
                yield requests.request(row, ready.renderer.prompt(cells, ready.renderer.images(cells)))
            except RowError as error:
                yield f"row {row}: {error}"


def _corrected(requests: Sequence[Request], counted: Counted) -> list[Request]:
    """Return the requests with what was counted; the others' estimates go by the ratio that was found."""
    if not counted.tokens:
        return list(requests)
    estimated = sum(requests[place].input_tokens - FRAME_TOKENS for place in counted.tokens)
    ratio = sum(tokens - FRAME_TOKENS for tokens in counted.tokens.values()) / max(estimated, 1)
    return [
        replace(
            request,
            input_tokens=counted.tokens.get(place, FRAME_TOKENS + round(ratio * (request.input_tokens - FRAME_TOKENS))),
        )
        for place, request in enumerate(requests)
    ]


def _counted(ready: ReadyJob, bodies: Sequence[bytes]) -> Counted:
    lane = _counting_lane(ready)
    if lane is None:
        return Counted(why_not="CountTokens is not offered in any Region that this job may run in")

    async def count() -> Counted:
        given = ready.spec.aws.endpoint_url
        if given != EMULATOR:
            access = accesses(ready.spec, given)[lane.access]
            return await count_tokens(Counting(access, lane.source_region, ready.card.base_model_id), bodies)
        from batchrun.emulator.server import serve  # only a job on the emulator needs an HTTP server

        async with serve(ready.spec.emulator or EmulatorSpec(), card=ready.card) as emulator:
            access = Access(endpoint_url=f"{emulator.url}/{{region}}")
            return await count_tokens(Counting(access, lane.source_region, ready.card.base_model_id), bodies)

    with ThreadPoolExecutor(1) as thread:  # a loop of its own, also where the caller has one running
        return thread.submit(anyio.run, count).result()


def _counting_lane(ready: ReadyJob) -> Lane | None:
    """Return the lane whose credentials and source Region count: prompts must not go where the job's calls may not."""
    offered = ready.card.facts.get("counting", {}).get("regions")
    legal = set(ready.regions)
    for lane in ready.lanes:
        inside = lane.source_region in legal or any(region in ANYWHERE for region in legal)
        if inside and (offered is None or lane.source_region in offered):
            return lane
    return None
