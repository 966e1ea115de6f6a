"""The gate: rows wait here for their next call, the lowest row number first, and hold nothing while they wait.

By row number, because that is one rule for three wishes: what was sent before goes before what is new, the oldest
range closes first, and no large row is overtaken for ever. Rows that only a rested pool may take stand aside: they go
in when a pool has been idle for a minute, or back into the line when one that is large enough opens.
"""

import asyncio
import heapq
from collections.abc import Callable
from math import inf

import anyio

from batchrun.clock import Alarm, Clock
from batchrun.errors import AccessError, BatchrunError, RunStopped
from batchrun.lanes.admission import Admission, Admissions, Bound, Refused
from batchrun.lanes.kept_back import KeptBack
from batchrun.lanes.trial import Trial

PATIENCE_S = 900.0  # a run that can send nothing for longer stops resumably; a scheduler can wait cheaper
LOOK_S = 0.25  # between looks at those who stand aside: they wait for minutes, and there may be many


class GateClosedError(Exception):
    """Admission has ended; the row was not sent."""


class _Waiter:
    __slots__ = ("admission", "opened", "trial")

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        # An event of anyio's costs five times as much, and a row that waits takes one.
        self.opened = asyncio.get_running_loop().create_future()
        self.admission: Admission | None = None

    def open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)


class Gate:
    """A line of rows before the lanes."""

    def __init__(
        self, admissions: Admissions, clock: Clock, waiting_for: Callable[[Bound | None, float], None]
    ) -> None:
        """Take the books, the clock, and whom to tell what the front of the line waits for, with the time [s]."""
        self.admissions = admissions
        self.clock = clock
        self._waiting_for = waiting_for
        self._line: list[tuple[int, _Waiter]] = []
        self._resting: list[_Waiter] = []
        self._kept_back: KeptBack[_Waiter] = KeptBack()
        self._look_at_s = -inf
        self._alarm = Alarm(clock)
        self.closed = anyio.Event()
        self.closed_by: BatchrunError | None = None

    def __repr__(self) -> str:
        waiting, resting, kept = len(self._line), len(self._resting), len(self._kept_back)
        return f"Gate({waiting} waiting, {resting} resting, {kept} kept back, closed_by={self.closed_by!r})"

    def __len__(self) -> int:
        return len(self._line) + len(self._resting) + len(self._kept_back)

    async def wait_until_admitted(self, trial: Trial) -> Admission:
        """Wait for the row's turn, a lane and room in every budget.

        Raises GateClosedError if admission ends first.
        """
        if self.closed.is_set():
            raise GateClosedError
        waiter = _Waiter(trial)
        if self.admissions.warmth is not None:
            self.admissions.warmth.arrived(trial.request)
        self._stand(waiter)
        # A new row behind others changes nothing: the first is let in when a call ends, or in time.
        if trial.attempts or self._line[0][1] is waiter:
            self.admit_ready()
        if waiter.admission is None:
            try:
                await waiter.opened
            except BaseException:
                self._leave(waiter)
                raise
        if waiter.admission is None:
            raise GateClosedError
        if self.closed.is_set():  # between its being let in and its turn: no call goes out after the end
            self.admissions.withdrawn(waiter.admission, self.clock.now_s())
            raise GateClosedError
        return waiter.admission

    def admit_ready(self) -> None:
        """Let in whoever fits now; call it whenever a call has ended."""
        now_s = self.clock.now_s()
        if self.closed.is_set():
            self._waiting_for(None, now_s)
            return
        looking = now_s >= self._look_at_s
        if self._resting and looking:
            self._call_back(now_s)
        if self.admissions.warmth is not None:
            for waiter in self._kept_back.call_back(self.admissions.warmth.changed(), now_s):
                self._stand(waiter)
        blocked = self._admit_line(now_s)
        aside = self._look_aside(now_s, looking=looking) if self._resting else None
        kept_back = Refused(Bound.CACHE, self._kept_back.first_at_s()) if self._kept_back else None
        self._waiting_for(_told(blocked, aside, kept_back), now_s)
        stopped = [one for one in (blocked, aside, kept_back) if one is not None]
        first = min(stopped, key=lambda one: one.at_s) if stopped else None
        if first is not None and self.admissions.in_flight == 0:
            self._give_up_if_hopeless(first, now_s)
        self._alarm.set(first.at_s if first is not None else inf)

    async def keep_time(self) -> None:
        """Let rows in when time alone opens a lane; runs until cancelled."""
        while True:
            await self._alarm.wait()
            self.admit_ready()

    def limit(self) -> int:
        """Return how many calls may be in flight now."""
        return self.admissions.limit(self.clock.now_s())

    def close(self, why: BatchrunError | None = None) -> None:
        """End admission; those who wait leave with GateClosedError. The first reason stands."""
        if self.closed.is_set():
            return
        self.closed_by = why
        self.closed.set()
        for waiter in self._all():
            waiter.open()
        self._line.clear()
        self._resting.clear()
        self._kept_back.clear()

    def _stand(self, waiter: _Waiter) -> None:
        heapq.heappush(self._line, (waiter.trial.request.row, waiter))

    def _leave(self, waiter: _Waiter) -> None:
        """Take a cancelled waiter out; if it was let in meanwhile, its call never went out."""
        if waiter.admission is not None:
            self.admissions.withdrawn(waiter.admission, self.clock.now_s())
        elif self.admissions.warmth is not None:
            self.admissions.warmth.left(waiter.trial.request)
        self._kept_back.discard(waiter)
        self._line = [entry for entry in self._line if entry[1] is not waiter]
        heapq.heapify(self._line)
        self._resting = [other for other in self._resting if other is not waiter]
        self.admit_ready()  # what it took, or stood before, may be for another

    def _try(self, waiter: _Waiter, now_s: float) -> Refused | None:
        admitted = self.admissions.admit(waiter.trial, now_s)
        if isinstance(admitted, Refused):
            return admitted
        waiter.admission = admitted
        if self.admissions.warmth is not None:
            self.admissions.warmth.left(waiter.trial.request)
        waiter.open()
        return None

    def _admit_line(self, now_s: float) -> Refused | None:
        """Let in the line from its front; return what stops the first that stays."""
        refused_now: dict[tuple[bytes, ...], float] = {}  # one answer for all that share a prefix: a full line is long
        while self._line:
            waiter = self._line[0][1]
            if refused_now and (at_s := refused_now.get(_prefixes(waiter))) is not None:
                self._kept_back.add(waiter, _prefixes(waiter), at_s)
            elif (refused := self._try(waiter, now_s)) is not None:
                if refused.at_s > now_s + LOOK_S and self.admissions.stands_aside(waiter.trial, now_s):
                    self._resting.append(waiter)
                elif refused.bound is Bound.CACHE:
                    self._kept_back.add(waiter, _prefixes(waiter), refused.at_s)
                    refused_now[_prefixes(waiter)] = refused.at_s
                else:
                    return refused
            heapq.heappop(self._line)
        return None

    def _all(self) -> list[_Waiter]:
        return [*(entry[1] for entry in self._line), *self._resting, *self._kept_back]

    def _call_back(self, now_s: float) -> None:
        """Put those who hold up nobody any more back into the line."""
        standing = self._resting
        self._resting = [waiter for waiter in standing if self.admissions.stands_aside(waiter.trial, now_s)]
        for waiter in set(standing).difference(self._resting):
            self._stand(waiter)

    def _look_aside(self, now_s: float, *, looking: bool) -> Refused | None:
        """Let in those aside whose pool is rested; return what stops the one that may go next."""
        if not looking:
            return Refused(Bound.QUOTA, self._look_at_s)
        first: Refused | None = None
        still: list[_Waiter] = []
        for waiter in self._resting:
            refused = self._try(waiter, now_s)
            if refused is not None:
                still.append(waiter)
                first = refused if first is None or refused.at_s < first.at_s else first
        self._resting = still
        self._look_at_s = now_s + LOOK_S if still else -inf
        return first

    def _give_up_if_hopeless(self, first: Refused, now_s: float) -> None:
        """End the run if the first to go would wait too long, and no row of another size could go meanwhile."""
        if first.bound is Bound.DOLLARS:
            budget = self.admissions.budgets.dollars
            self.close(
                RunStopped(
                    f"limits.max_cost_usd = {budget.cap_usd:g}: ${budget.spent_usd:.6f} are spent or may be, "
                    f"and the next call, which may cost up to ${first.usd:.6f}, could exceed the cap"
                )
            )
            return
        if first.at_s - now_s <= PATIENCE_S:
            return
        router = self.admissions.router
        waiting = self._all()
        if not router.open_to_smaller(min(waiter.trial.request.hold for waiter in waiting), now_s):
            reason = f"no lane is open: {'; '.join(router.obstacles(now_s))}"
            self.close(AccessError(reason) if router.all_closed() else RunStopped(reason))


def _prefixes(waiter: _Waiter) -> tuple[bytes, ...]:
    return tuple([prefix.key for prefix in waiter.trial.request.prefixes])


def _told(blocked: Refused | None, aside: Refused | None, kept_back: Refused | None) -> Bound | None:
    """Return what a run waits for, by the first of the line, those aside and those who wait for a prefix."""
    if blocked is not None:
        return blocked.bound
    if kept_back is not None:
        return Bound.CACHE
    return Bound.QUOTA if aside is not None else None
