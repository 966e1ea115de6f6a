"""The tally of one start of a run: calls by lane, faults by code, outcomes by status, and what the rows waited for."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from batchrun.bedrock.faults import THROTTLES, Fault
from batchrun.lanes.lane import Lane
from batchrun.lanes.lengths import Lengths
from batchrun.records import Outcome, Status, Usage
from batchrun.screen.answers import SentAgain
from batchrun.screen.caching import CacheTally
from batchrun.screen.estimates import InputErrors

MOST_EXAMPLES = 10  # distinct errors that a summary shows with a row each
MOST_CODE_CHARACTERS = 64
MOST_CODES, OTHER = 100, "other"  # distinct faults that are counted apart: their names come from outside
LEAST_WAIT_S = 1.0  # a run begins with a call at a time, whatever its quota
CPU_BOUND = 0.85  # of a core: the event loop has no time left


@dataclass(slots=True)
class LaneTally:
    """Calls of one lane."""

    calls: int = 0
    ok: int = 0
    throttled: int = 0
    faults: int = 0


@dataclass(slots=True)
class Example:
    """An error, how often rows ended with it, and the first of them."""

    status: str
    error_code: str
    row: int
    message: str
    rows: int = 0


@dataclass(slots=True)
class Saved:
    """Rows that were given the answer of an equal request, and what a call for each would have cost and used."""

    rows: int = 0
    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, known: Outcome) -> None:
        """Count a row that was not sent."""
        usage = known.usage
        self.rows += 1
        self.usd += known.cost_usd
        self.input_tokens += usage.input + usage.cache_read + usage.cache_write
        self.output_tokens += usage.output


@dataclass(slots=True)
class Tally:
    """Counts since this start; sums over the output's life are the output's own."""

    started_s: float
    lanes: dict[Lane, LaneTally] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    last_fault: Fault | None = None
    throttled: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    waited_s: dict[str, float] = field(default_factory=dict)
    lengths: Lengths = field(default_factory=Lengths)
    input_errors: InputErrors = field(default_factory=InputErrors)
    sent_again: SentAgain = field(default_factory=SentAgain)  # cut by max_tokens
    misfits: SentAgain = field(default_factory=SentAgain)  # against the schema
    saved: Saved = field(default_factory=Saved)  # by answers of equal requests
    cache: CacheTally | None = None  # where a job has prefixes kept
    warnings: list[str] = field(default_factory=list)  # notes that must be seen while the run goes on
    _examples: dict[tuple[str, str], Example] = field(default_factory=dict)
    _waiting_for: str | None = None
    _since_s: float = 0.0

    def answered(self, lane: Lane) -> None:
        """Count a call that was answered."""
        one = self._lane(lane)
        one.calls += 1
        one.ok += 1

    def faulted(self, lane: Lane, fault: Fault) -> None:
        """Count a call that was not."""
        one = self._lane(lane)
        one.calls += 1
        known = fault.code in self.faults or len(self.faults) < MOST_CODES
        self.faults[fault.code if known else OTHER] += 1
        self.last_fault = fault
        if fault.action in THROTTLES:
            one.throttled += 1
            self.throttled += 1
        else:
            one.faults += 1

    def cached(self, usage: Usage, saved_usd: float) -> None:
        """Count what an answer read from a cache and wrote to it; warn in time where that loses money."""
        warning = self.cache.add(usage, saved_usd) if self.cache is not None else None
        if warning is not None:
            self.warnings.append(warning)
            self.note_once(warning)

    def recorded(self, outcome: Outcome) -> None:
        """Count the length of a row's answer; keep its end if it is an error."""
        if outcome.stop_reason is not None:
            self.lengths.add(outcome.usage.output)
        if outcome.status is not Status.OK:
            self._keep_example(outcome)

    def examples(self) -> list[Example]:
        """Return the commonest errors, each with its first row."""
        return sorted(self._examples.values(), key=lambda one: -one.rows)[:MOST_EXAMPLES]

    def waiting_for(self, what: str | None, now_s: float) -> None:
        """Note what the rows wait for from now on; None while nothing waits."""
        if self._waiting_for is not None:
            self.waited_s[self._waiting_for] = self.waited_s.get(self._waiting_for, 0.0) + now_s - self._since_s
        self._waiting_for = what
        self._since_s = now_s

    def end(self, now_s: float, cpu_s: float) -> None:
        """Close the books; `cpu_s` is what the process used meanwhile."""
        self.waiting_for(None, now_s)
        self.wall_s = now_s - self.started_s
        self.cpu_s = cpu_s

    def bounded_by(self) -> str:
        """Say what kept the run from being faster: quota, in_flight, lanes, dollars, cpu, input, or only latency."""
        if not self.lanes:
            return "nothing"
        if self.cpu_s >= CPU_BOUND * self.wall_s:
            return "cpu"
        if not self.waited_s:
            return "latency"
        longest, waited_s = max(self.waited_s.items(), key=lambda entry: entry[1])
        return longest if waited_s >= max(0.1 * self.wall_s, LEAST_WAIT_S) else "latency"

    def note_once(self, note: str) -> None:
        """Keep a remark for the summary."""
        if note not in self.notes:
            self.notes.append(note)

    def lane_rows(self, quota_used: dict[str, float | None]) -> list[dict[str, Any]]:
        """Return the table of lanes; `quota_used` is each pool's share of its quota over the run."""
        return [
            {
                "name": lane.name,
                "pool": lane.pool,
                "inference_id": lane.inference_id,
                "source_region": lane.source_region,
                "calls": one.calls,
                "ok": one.ok,
                "throttled": one.throttled,
                "faults": one.faults,
                "quota_used": quota_used.get(lane.pool),
            }
            for lane, one in self.lanes.items()
        ]

    def _lane(self, lane: Lane) -> LaneTally:
        one = self.lanes.get(lane)
        if one is None:
            one = self.lanes[lane] = LaneTally()
        return one

    def _keep_example(self, outcome: Outcome) -> None:
        code = (outcome.error_code or outcome.stop_reason or "")[:MOST_CODE_CHARACTERS]
        key = (outcome.status.value, code)
        if key not in self._examples:
            if len(self._examples) >= 10 * MOST_EXAMPLES:
                return  # an unbounded variety of codes must not grow memory
            self._examples[key] = Example(key[0], code, outcome.row, outcome.error_message or "")
        self._examples[key].rows += 1
