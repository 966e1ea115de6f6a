"""Assembly: the output, the gate and the pipeline of one start of a run, built from a job made ready."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import pyarrow as pa

from batchrun.allowance import admissions_of
from batchrun.assessment import Assessment
from batchrun.backlog import Backlog, Columns, Span
from batchrun.bedrock.transport import Transport
from batchrun.clock import Clock
from batchrun.copying import Copying
from batchrun.dedupe import Dedupe
from batchrun.dispatch import Dispatch
from batchrun.lanes.admission import Bound
from batchrun.lanes.gate import Gate
from batchrun.outcomes import Outcomes
from batchrun.pipeline import Pipeline, Stations
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
    ready = ground.ready
    claim = _claim(ground, accept_changes=accept_changes)
    schema = result_schema(list(claim.kept), ready.extras.fields)
    old = read_manifest(store) if store.exists(MANIFEST) else None
    if again:
        refuse_unfinished(store, old, claim)
    if old is not None:
        ready.check_recorded_regions(old.regions)
    manifest = take_over(store, old, claim)
    store.adopt(manifest.run_id)
    store.clear_tmp()
    store.fetch_logs()
    target = Target(store, schema, manifest.run_id, manifest.emulated, ready.extras)
    ranges = Ranges(manifest.stretches, claim.rows_per_part)
    if again:
        rows = reopen_parts(store, ranges, manifest, again)
        ground.tally.note_once(f"{rows} rows are sent again: those that were {', '.join(sorted(again))}")
    output = Output(target, ranges, claim.kept)
    for note in _found(store, output):
        ground.tally.note_once(note)
    return output


def _claim(ground: Ground, *, accept_changes: bool) -> Claim:
    ready, source = ground.ready, ground.source
    return Claim(
        job=ready.spec.name,
        identity=ready.identity(),
        source=source,
        kept=pa.schema([source.schema.field(name) for name in ready.kept if name in source.schema.names]),
        rows=ready.rows_wanted(source),
        rows_per_part=ready.spec.output.rows_per_part,
        regions=ready.regions,
        accept_changes=accept_changes,
        extras=pa.schema(ready.extras.fields) if ready.extras.fields else None,
    )


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
    gate = Gate(admissions_of(ready, output, clock), clock, waiting_for)
    dispatch = Dispatch(gate, transports, Outcomes(clock, _assessment(ready)), output, tally, Random(0))
    dedupe = Dedupe(dispatch, known, gate, clock, tally) if known is not None else None
    stations = Stations(
        backlog=backlog,
        renderer=ready.renderer,
        requests=Requests(ready.sampling, ready.card.request_bytes, ready.largest_day),
        gate=gate,
        dispatch=dedupe or dispatch,
        output=output,
        tally=tally,
        runaway=_runaway(limits.max_failed, output, clock),
        syncing=Syncing(output, clock, ready.spec.output.fsync, gate.close),
        copying=Copying(output, clock, ready.spec.output.flush_s, gate.close, tally.note_once),
        clock=clock,
        drain_s=limits.drain,
        dedupe=dedupe,
    )
    return gate, Pipeline(stations)


def _runaway(max_failed: float, output: Output, clock: Clock) -> RunAway:
    # Rows that are sent again were judged when the job had finished, and what they come to is at the end.
    allowed = MaxFailed(max_failed if not output.found.again else 1.0)
    return RunAway(allowed, output.ranges.rows, clock.now_s(), any_ok=output.totals.rows > output.not_ok)


def _assessment(ready: ReadyJob) -> Assessment:
    generation = ready.spec.generation
    if generation.schema_ is None:
        return Assessment(keep_thinking=generation.keep_thinking)
    from batchrun.structured.judge import SchemaJudge  # jsonschema is an extra, and slow to import

    return Assessment(SchemaJudge(generation.schema_), generation.keep_thinking)
