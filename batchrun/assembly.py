"""Assembly: the real parts of one start of a run, built from a job made ready."""

import json
import resource
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pyarrow as pa

from batchrun.account.access import accesses
from batchrun.backlog import Backlog, Columns, Span
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.doors import door_of
from batchrun.bedrock.http import HttpTransport
from batchrun.bedrock.sdk import SdkTransport
from batchrun.bedrock.shut import ShutTransport
from batchrun.bedrock.transport import Transport
from batchrun.bedrock.wire import Wire
from batchrun.caching import least_tokens
from batchrun.clock import Clock
from batchrun.copying import Copying
from batchrun.dedupe import Dedupe
from batchrun.dispatch import Dispatch
from batchrun.emulator.config import EmulatorSpec
from batchrun.errors import AccessError
from batchrun.jobspec.endpoint import EMULATOR
from batchrun.lanes.admission import Admissions, Bound, Budgets
from batchrun.lanes.budget import DollarBudget, RetryBudget, price_order
from batchrun.lanes.doubt import Doubts
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.gate import Gate
from batchrun.lanes.max_tokens import MaxTokens
from batchrun.lanes.metering import Metering
from batchrun.lanes.pool import Pool
from batchrun.lanes.router import Router
from batchrun.lanes.warmth import Warmth
from batchrun.pipeline import Pipeline, Stations
from batchrun.reading import Reading
from batchrun.readyjob import ReadyJob
from batchrun.records import Status
from batchrun.requesting import Requests
from batchrun.runaway import MaxFailed, RunAway
from batchrun.screen.caching import CacheTally
from batchrun.screen.tally import Tally
from batchrun.storage.again import refuse_unfinished, reopen_parts
from batchrun.storage.known_answers import KnownAnswers
from batchrun.storage.manifest import read_manifest
from batchrun.storage.output import Output
from batchrun.storage.parts import Target
from batchrun.storage.ranges import Ranges
from batchrun.storage.schema import result_schema
from batchrun.storage.source import RowBatch, Source
from batchrun.storage.store import MANIFEST, STATUS, Store
from batchrun.storage.takeover import Claim, take_over
from batchrun.syncing import Syncing

# How much longer than a minute a mirror keeps a charge: calls take unequal times to arrive. A guess; a charge that is
# kept too short costs a refusal a minute, one that is kept too long 0.17 % of a sliding minute for each 0.1 s.
SKEW_S = 0.1
MOST_FILES = 16_384  # far more than MOST calls in flight over all Regions; some systems allow a million
OTHER_FILES = 200  # file descriptors left to logs, input, imports and the loop


@dataclass(frozen=True, slots=True)
class Ground:
    """What a start of a run stands on: its job, its input, and the clock and the counts that all parts share."""

    ready: ReadyJob
    source: Source
    clock: Clock
    tally: Tally


def open_output(
    ground: Ground, store: Store, again: Collection[Status] = (), *, accept_changes: bool = False
) -> Output:
    """Open the job's output, new or where an earlier run left it; its lock must be held.

    Rows of a finished output whose status is in `again` lose their results: they are to be sent again.
    Raises InputError if the output belongs to another job, StorageError if it does not read back.
    """
    ready, source = ground.ready, ground.source
    kept = pa.schema([source.schema.field(name) for name in ready.kept if name in source.schema.names])
    extras = ready.extras
    schema = result_schema(list(kept), extras.fields)
    claim = Claim(
        job=ready.spec.name,
        identity=ready.identity(),
        source=source,
        kept=kept,
        rows=ready.rows_wanted(source),
        rows_per_part=ready.spec.output.rows_per_part,
        regions=ready.regions,
        accept_changes=accept_changes,
        extras=pa.schema(extras.fields) if extras.fields else None,
    )
    old = read_manifest(store) if store.exists(MANIFEST) else None
    if again:
        refuse_unfinished(store, old, claim)
    if old is not None:
        ready.check_recorded_regions(old.regions)
    manifest = take_over(store, old, claim)
    store.adopt(manifest.run_id)
    store.clear_tmp()
    store.fetch_logs()
    target = Target(store, schema, manifest.run_id, manifest.emulated, extras)
    ranges = Ranges(manifest.stretches, claim.rows_per_part)
    if again:
        rows = reopen_parts(store, ranges, manifest, again)
        ground.tally.note_once(f"{rows} rows are sent again: those that were {', '.join(sorted(again))}")
    output = Output(target, ranges, kept)
    for note in _found(store, output):
        ground.tally.note_once(note)
    return output


def _found(store: Store, output: Output) -> Iterator[str]:
    """Yield what a person should know of what an earlier run left."""
    found = output.found
    if found.torn_lines:
        yield f"{found.torn_lines} torn lines of the log were dropped"
    if found.in_flight:
        yield f"{found.in_flight} rows were in flight when the last run was killed: they may be paid twice"
    gone = _rows_before(store, output.target.run_id) - found.rows - found.again
    if gone > 0:
        yield (
            f"{gone:,} results that an earlier run had are gone, by a power cut or because files of {store.name} were "
            "removed: their rows are sent again and paid for twice"
        )


def _rows_before(store: Store, run_id: str) -> int:
    """Return how many rows the last run said it had; 0 where it said nothing."""
    try:
        told = json.loads(store.read(STATUS))
        return int(told["rows"]) if told["run_id"] == run_id else 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0


def assemble(
    ground: Ground,
    output: Output,
    transports: Mapping[str, Transport],
    known: KnownAnswers | None = None,
    only: Sequence[Span] | None = None,
) -> tuple[Gate, Pipeline]:
    """Return the gate and the pipeline of a run over `output`; `transports` carry the calls of each access.

    With `known` answers, equal requests are sent once. `only` are the spans of rows that are wanted, None for all.
    """
    ready, clock, tally = ground.ready, ground.clock, ground.tally
    limits = ready.spec.limits
    columns = Columns(ready.renderer.columns, ready.kept)

    def read(first_row: int, stop_row: int) -> Iterator[RowBatch]:
        return ground.source.read(columns.all, first_row, stop_row)

    backlog = Backlog(read, columns, output, only if only is not None else [(0, ready.rows_wanted(ground.source))])

    def waiting_for(bound: Bound | None, now_s: float) -> None:
        idle = "input" if backlog.waiting else None
        tally.waiting_for(bound.value if bound is not None else idle, now_s)

    if ready.spec.cache.asked:
        tally.cache = CacheTally()
    gate = Gate(_admissions(ready, output, clock), clock, waiting_for)
    dispatch = Dispatch(gate, transports, clock, output, tally, Random(0), _reading(ready))
    dedupe = Dedupe(dispatch, known, gate, clock, tally) if known is not None else None
    stations = Stations(
        backlog=backlog,
        renderer=ready.renderer,
        requests=Requests(ready.sampling, ready.card.request_bytes),
        gate=gate,
        dispatch=dedupe or dispatch,
        output=output,
        tally=tally,
        runaway=RunAway(
            MaxFailed(limits.max_failed),
            output.ranges.rows,
            clock.now_s(),
            any_ok=output.totals.rows > output.not_ok,
        ),
        syncing=Syncing(output, clock, ready.spec.output.fsync, gate.close),
        copying=Copying(output, clock, ready.spec.output.flush_s, gate.close, tally.note_once),
        clock=clock,
        drain_s=limits.drain,
        dedupe=dedupe,
    )
    return gate, Pipeline(stations)


@asynccontextmanager
async def open_transports(ready: ReadyJob) -> AsyncIterator[Mapping[str, Transport]]:
    """Open what carries the calls of each access, and the emulator inside the run where the job asks for one.

    Raises AccessError if there are no credentials for any of them; the lanes of one that has none close at once.
    """
    names = {lane.access for lane in ready.lanes}
    regions = {(lane.access, lane.source_region) for lane in ready.lanes}
    largest = replace(ready.sampling, max_tokens=ready.longest_answer)
    connections = max(1, _connections(ready) // len(regions))
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


def _admissions(ready: ReadyJob, output: Output, clock: Clock) -> Admissions:
    spec, totals = ready.spec, output.totals
    metering = Metering(
        day_ends_at_s=clock.now_s() + clock.seconds_to_midnight(), skew_s=SKEW_S, burndown=ready.output_burndown
    )
    doubts = Doubts(metering.day_ends_at_s)
    pools = {name: Pool(name, quota, metering, doubts) for name, quota in ready.quotas.items()}
    fixed = spec.limits.max_in_flight
    budgets = Budgets(
        in_flight=InFlightLimit(
            None if isinstance(fixed, str) else fixed,
            connections=_connections(ready) // 2,
            first_cost=ready.sampling.max_tokens,
        ),
        dollars=DollarBudget(spec.limits.max_cost_usd, totals.cost_usd + totals.unsettled_usd),
        retries=RetryBudget(spec.retry.budget),
        max_attempts=spec.retry.max_attempts,
        max_tokens=_max_tokens(ready, output),
    )
    router = Router(ready.lanes, pools, price_order(ready.prices))
    warmth = Warmth(spec.cache.ttl, least_tokens(ready.card)) if spec.cache.asked else None
    return Admissions(router, budgets, ready.prices, ready.output_burndown, clock.seconds_to_midnight, warmth)


def _reading(ready: ReadyJob) -> Reading:
    generation = ready.spec.generation
    if generation.schema_ is None:
        return Reading(keep_thinking=generation.keep_thinking)
    from batchrun.structured.judge import SchemaJudge  # jsonschema is an extra, and slow to import

    return Reading(SchemaJudge(generation.schema_), generation.keep_thinking)


def _max_tokens(ready: ReadyJob, output: Output) -> MaxTokens | None:
    """Return what learns max_tokens where the job asks for it, with what earlier starts have seen."""
    if not ready.learns_max_tokens:
        return None
    return MaxTokens(
        ready.longest_answer,
        ready.output_burndown,
        ready.largest_quota,
        output.latest_lengths(),
        reasoning=ready.spec.generation.thinking_budget_tokens or 0,
    )


def _connections(ready: ReadyJob) -> int:
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
