"""What goes on for days leaves nothing behind in memory: throttles, a service that is away, rows that back off."""

import asyncio
from random import Random

import anyio
import pytest

from batchrun.bedrock.faults import Fault, classify
from batchrun.clock import Clock
from batchrun.dispatch import Dispatch
from batchrun.lanes.gate import Gate
from batchrun.lanes.pool import Quota
from batchrun.lanes.trial import Trial
from batchrun.outcomes import Outcomes
from batchrun.records import Completion, Outcome, Status, Usage
from batchrun.screen.tally import Tally
from tests import virtual
from tests.throttled import CASES, REQUESTS, admissions, left_behind, objects, request
from tests.virtual import run_virtual

AWAY = classify("ServiceUnavailableException", 503, "Bedrock is unable to process your request.")
ANSWER = Completion("Hello.", "end_turn", Usage(input=12, output=2), "1")
TIMES = 20_000
# What comes and goes: the moments of a minute, what the interpreter caches. A leak would be one each time.
SOME = TIMES // 20


@pytest.mark.parametrize(("quota", "fault"), CASES.values(), ids=CASES)
def test_throttles_in_a_row_leave_nothing_behind(quota: Quota, fault: Fault) -> None:
    assert left_behind(quota, fault, TIMES) < SOME


class Failing:
    """Answers after so many faults; counts objects and tasks after a fifth of them and after all."""

    def __init__(self, fault: Fault, times: int) -> None:
        self._fault = fault
        self._times = times
        self._calls = 0
        self.seen: list[tuple[int, int]] = []

    async def send(self, *_call: object) -> Completion | Fault:
        await anyio.sleep(0.02)
        self._calls += 1
        if self._calls in {self._times // 5, self._times}:
            self.seen.append((objects(), len(asyncio.all_tasks())))
        return self._fault if self._calls < self._times else ANSWER

    async def refresh(self) -> None:
        """Nothing to read again."""


class NoJournal:
    """A log that nobody reads."""

    def sent(self, row: int, worst_usd: float) -> None: ...

    def unsettled(self, row: int, worst_usd: float) -> None: ...

    def paid(self, row: int, spent_usd: float) -> None: ...


async def one_row(fault: Fault, times: int) -> tuple[Outcome, list[tuple[int, int]]]:
    """Take a row to its outcome through so many faults."""
    clock = Clock()
    gate = Gate(admissions(Quota(60_000)), clock, lambda *_: None)
    transport = Failing(fault, times)
    dispatch = Dispatch(gate, {"": transport}, Outcomes(clock), NoJournal(), Tally(clock.now_s()), Random(0))
    trial = Trial(request(0))
    async with anyio.create_task_group() as beside:
        beside.start_soon(gate.keep_time)
        outcome = await dispatch.attempt(trial) or await dispatch.until_outcome(trial)
        beside.cancel_scope.cancel()
    return outcome, transport.seen


@pytest.mark.parametrize(("fault", "times"), [(REQUESTS, 2_000), (AWAY, 2_000)], ids=["throttled", "away"])
def test_a_row_that_is_sent_for_weeks_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, times: int
) -> None:
    monkeypatch.setattr(virtual, "LONGEST_S", 1e7)
    outcome, ((objects_before, tasks_before), (objects_after, tasks_after)) = run_virtual(one_row, fault, times)

    assert outcome.status is Status.OK
    assert objects_after - objects_before < times / 10
    assert tasks_after == tasks_before
