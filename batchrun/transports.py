"""Transports: what carries the calls of each access, and an emulator inside the run where the job asks for one."""

import resource
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from batchrun.account.access import accesses
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.doors import door_of
from batchrun.bedrock.http import HttpTransport
from batchrun.bedrock.sdk import SdkTransport
from batchrun.bedrock.shut import ShutTransport
from batchrun.bedrock.transport import Transport
from batchrun.bedrock.wire import Wire
from batchrun.emulator.config import EmulatorSpec
from batchrun.errors import AccessError
from batchrun.jobspec.endpoint import EMULATOR
from batchrun.readyjob import ReadyJob

MOST_FILES = 16_384  # far more than calls may be in flight over all Regions; some systems allow a million
OTHER_FILES = 200  # file descriptors left to logs, input, imports and the loop


@asynccontextmanager
async def open_transports(ready: ReadyJob) -> AsyncIterator[Mapping[str, Transport]]:
    """Open what carries the calls of each access, and the emulator inside the run where the job asks for one.

    Raises AccessError if there are no credentials for any of them; the lanes of one that has none close at once.
    """
    names = {lane.access for lane in ready.lanes}
    regions = {(lane.access, lane.source_region) for lane in ready.lanes}
    largest = replace(ready.sampling, max_tokens=ready.longest_answer)
    connections = max(1, connections_of(ready) // len(regions))
    wire = Wire(ready.spec.model.api, largest, connections, service=ready.service)
    transports: dict[str, Transport] = {}
    shut: dict[str, AccessError] = {}
    async with _endpoint(ready) as url, AsyncExitStack() as stack:
        for name, access in accesses(ready.spec, url).items():
            if name not in names:
                continue
            try:
                transports[name] = await stack.enter_async_context(_carrier(ready, access, wire))
            except AccessError as error:
                shut[name] = error
        if not transports:
            raise next(iter(shut.values()))
        yield transports | {name: ShutTransport(error) for name, error in shut.items()}


@asynccontextmanager
async def _endpoint(ready: ReadyJob) -> AsyncIterator[str | None]:
    """Yield where calls go, None for AWS; an emulator that the job asks for runs meanwhile."""
    if ready.spec.aws.endpoint_url != EMULATOR:
        yield ready.spec.aws.endpoint_url
        return
    from batchrun.emulator.server import serve  # only a run on the emulator needs an HTTP server

    async with serve(ready.spec.emulator or EmulatorSpec(), card=ready.card) as emulator:
        yield f"{emulator.url}/{{region}}"


def _carrier(ready: ReadyJob, access: Access, wire: Wire) -> SdkTransport | HttpTransport:
    model = ready.spec.model
    if model.carrier == "sdk":
        return SdkTransport(access, wire)
    return HttpTransport(access, wire, door_of(ready.card, model.api, model.endpoint))


def connections_of(ready: ReadyJob) -> int:
    """Return how many connections file descriptors allow in all, after asking the system for more of them.

    An idle connection stays open for minutes, so each of them may stand beside one in use: half is for calls. An
    emulator inside the run holds the other end of each.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    ends = 2 if ready.spec.aws.endpoint_url == EMULATOR else 1
    return max(8, (soft - OTHER_FILES) // ends)
