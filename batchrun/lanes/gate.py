"""The gate: rows wait here for their next call, the lowest row number first, and hold nothing while they wait.

By row number, because that is one rule for three wishes: what was sent before goes before what is new, the oldest
range closes first, and no large row is overtaken for ever. Rows that only a rested pool may take stand aside.
"""

import heapq
from collections.abc import Callable
from math import inf

import anyio

from batchrun.clock import Clock
from batchrun.errors import AccessError, BatchrunError, RunStopped
from batchrun.lanes.admission import Admission, Admissions, Bound, Refused
from batchrun.lanes.trial import Trial

PATIENCE_S = 900.0  # a run that can send nothing for longer stops resumably; a scheduler can wait cheaper


class GateClosedError(Exception):
    """Admission has ended; the row was not sent."""


class _Waiter:
    __slots__ = ("admission", "opened", "trial")

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.opened = anyio.Event()
        self.admission: Admission | None = None


class Gate:
    """A line of rows before the lanes."""

    def __init__(
        self, admissions: Admissions, clock: Clock, waiting_for: Callable[[Bound | None, float], None]
    ) -> None:
        """Take the books, the clock, and whom to tell what the front of the line waits for, with the time [s]."""
        self.admissions = admissions
        self._clock = clock
        self._waiting_for = waiting_for
        self._line: list[tuple[int, _Waiter]] = []
        self._resting: list[_Waiter] = []
        self._wake_at_s = inf
        self._earlier = anyio.Event()
        self.closed = anyio.Event()
        self.closed_by: BatchrunError | None = None

    def __repr__(self) -> str:
        return f"Gate({len(self._line)} waiting, {len(self._resting)} resting, closed_by={self.closed_by!r})"

    def __len__(self) -> int:
        return len(self._line) + len(self._resting)

    async def wait_until_admitted(self, trial: Trial) -> Admission:
        """Wait for the row's turn, a lane and room in every budget.

        Raises GateClosedError if admission ends first.
        """
        if self.closed.is_set():
            raise GateClosedError
        waiter = _Waiter(trial)
        self._stand(waiter)
        self.admit_ready()
        if waiter.admission is None:
            try:
                await waiter.opened.wait()
            except BaseException:
                self._leave(waiter)
                raise
        if waiter.admission is None:
            raise GateClosedError
        return waiter.admission

    def admit_ready(self) -> None:
        """Let in whoever fits now; call it whenever a call has ended."""
        now_s = self._clock.now_s()
        blocked: Refused | None = None
        while self._line and not self.closed.is_set():
            waiter = self._line[0][1]
            if self.admissions.needs_rest(waiter.trial):
                heapq.heappop(self._line)
                self._resting.append(waiter)
                continue
            blocked = self._try(waiter, now_s)
            if blocked is not None:
                break
            heapq.heappop(self._line)
        wake_at_s = blocked.at_s if blocked else inf
        if self._resting and not self.closed.is_set():
            wake_at_s = min(wake_at_s, self._admit_resting(now_s))
        self._waiting_for(blocked.bound if blocked else Bound.QUOTA if self._resting else None, now_s)
        if (blocked or self._resting) and self.admissions.in_flight == 0:
            self._give_up_if_hopeless(blocked, wake_at_s, now_s)
        if wake_at_s < self._wake_at_s:
            self._earlier.set()
        self._wake_at_s = wake_at_s

    async def keep_time(self) -> None:
        """Let rows in when time alone opens a lane; runs until cancelled."""
        while True:
            self._earlier = anyio.Event()
            with anyio.CancelScope(deadline=self._wake_at_s):
                await self._earlier.wait()
            if self._clock.now_s() >= self._wake_at_s:
                self._wake_at_s = inf
                self.admit_ready()

    def limit(self) -> int:
        """Return how many calls may be in flight now."""
        return self.admissions.limit(self._clock.now_s())

    def close(self, why: BatchrunError | None = None) -> None:
        """End admission; those who wait leave with GateClosedError. The first reason stands."""
        if self.closed.is_set():
            return
        self.closed_by = why
        self.closed.set()
        for waiter in [entry[1] for entry in self._line] + self._resting:
            waiter.opened.set()
        self._line.clear()
        self._resting.clear()

    def _stand(self, waiter: _Waiter) -> None:
        if self.admissions.needs_rest(waiter.trial):
            self._resting.append(waiter)
        else:
            heapq.heappush(self._line, (waiter.trial.request.row, waiter))

    def _leave(self, waiter: _Waiter) -> None:
        """Take a cancelled waiter out; if it was let in meanwhile, its call never went out."""
        if waiter.admission is not None:
            self.admissions.withdrawn(waiter.admission, self._clock.now_s())
        self._line = [entry for entry in self._line if entry[1] is not waiter]
        heapq.heapify(self._line)
        self._resting = [other for other in self._resting if other is not waiter]

    def _try(self, waiter: _Waiter, now_s: float) -> Refused | None:
        admitted = self.admissions.admit(waiter.trial, now_s)
        if isinstance(admitted, Refused):
            return admitted
        waiter.admission = admitted
        waiter.opened.set()
        return None

    def _admit_resting(self, now_s: float) -> float:
        """Let in resting rows whose pool is rested; return when to look again [s]."""
        wake_at_s = inf
        for waiter in list(self._resting):
            refused = self._try(waiter, now_s)
            if refused is None:
                self._resting.remove(waiter)
            else:
                wake_at_s = min(wake_at_s, refused.at_s)
        return wake_at_s

    def _give_up_if_hopeless(self, blocked: Refused | None, wake_at_s: float, now_s: float) -> None:
        if blocked is not None and blocked.bound is Bound.DOLLARS:
            budget = self.admissions.budgets.dollars
            self.close(
                RunStopped(
                    f"limits.max_cost_usd = {budget.cap_usd:g}: ${budget.spent_usd:.6f} are spent or may be, "
                    "and the next call could exceed the cap"
                )
            )
        elif wake_at_s - now_s > PATIENCE_S:
            router = self.admissions.router
            shut = "\n".join(f"  {line}" for line in router.obstacles(now_s))
            reason = f"no lane is open:\n{shut}"
            self.close(AccessError(reason) if router.without_access() else RunStopped(reason))
