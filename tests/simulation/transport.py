"""A transport straight onto the emulator's meters and chaos: the same admissions, without bodies to write and read."""

import heapq
import time
from asyncio import get_running_loop, sleep  # not anyio's: two of them a call were a twentieth of a run
from collections import defaultdict
from itertools import count

from batchrun.bedrock.card import Card
from batchrun.bedrock.faults import Fault, classify
from batchrun.emulator.address import resolve
from batchrun.emulator.books import PoolBook
from batchrun.emulator.chaos import Chaos
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.directives import NO_DIRECTIVES
from batchrun.emulator.faults import FAULTS
from batchrun.emulator.faults import Fault as Kind
from batchrun.emulator.pools import Pool, Reservation, charge_tokens, make_pools
from batchrun.records import Completion, Request, Usage
from tests.simulation.load import Load

SLOW = 10  # times the latency, as the emulator's own
_TEXT = "[emulated] " + "word " * 64_000


class SimulatedTransport:
    """Carries calls to the meters of an emulator on the loop's clock, which begins with the first call."""

    def __init__(self, spec: EmulatorSpec, card: Card, load: Load) -> None:
        self.pools = make_pools(spec, card)
        self.books: dict[str, PoolBook] = defaultdict(PoolBook)
        self.calls = 0
        self.faults = 0  # chaos, not throttles
        self._spec = spec
        self._card = card
        self._load = load
        self._chaos = Chaos(spec)
        self._rtt_s = spec.rtt_ms / 1000
        self._started_s: float | None = None
        self._loop_time_s = time.monotonic
        self._lanes: dict[tuple[str, str], Pool] = {}
        self._refusals: dict[tuple[str, str], Fault] = {}
        # What calls will settle at, by time: a meter hears of it when next it is asked, which saves each call a timer.
        self._to_settle: dict[Pool, list[tuple[float, int, Reservation, int]]] = defaultdict(list)
        self._number = count()

    def __repr__(self) -> str:
        return f"SimulatedTransport({self.calls} calls, {self.throttled} throttled, {self.faults} faults)"

    @property
    def throttled(self) -> int:
        """Return how many calls the meters refused."""
        return sum(book.throttled for book in self.books.values())

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion | Fault:
        """Do what `Bedrock.begin` and `finish` do, in the same order and at the same times."""
        self.calls += 1
        now_s = self._now_s()
        outage = self._chaos.outage(source_region, now_s)
        if outage is not None and outage.stage != "wire":
            return await self._faulted(outage)
        pool = self._pool(inference_id, source_region)
        book = self.books[pool.name]
        book.calls += 1
        size = self._load.size(request.row)
        hold = size.input_tokens + request.max_tokens
        self._settle_due(pool, now_s)
        refusal = pool.refusal(hold, now_s)
        if refusal is not None:
            book.throttled += 1
            return await self._refused("ThrottlingException", refusal)
        reservation = pool.admit(hold, now_s)
        fault = outage or self._chaos.fault(request.row, NO_DIRECTIVES)
        if fault is not None and fault.stage == "gate":
            pool.turn_back(reservation, now_s)
            return await self._faulted(fault)
        book.admitted += 1
        output_tokens = min(size.output_tokens, request.max_tokens)
        charge = charge_tokens(self._card, size.input_tokens, output_tokens)
        fails = fault is not None and fault.stage == "model"
        latency_s = self._latency_s(output_tokens, fault)
        settled = (now_s + latency_s, next(self._number), reservation, 0 if fails else charge)
        heapq.heappush(self._to_settle[pool], settled)
        await sleep(latency_s + self._rtt_s)
        self._settle_due(pool, self._now_s())
        if fault is not None and fails:
            return self._fault(fault)
        book.settled(charge, settled[0])
        if fault is not None and fault.kind != "slow":
            raise NotImplementedError(f"a simulated {fault.kind}")
        return Completion(
            text=_TEXT[: 6 * output_tokens],
            stop_reason="end_turn" if output_tokens == size.output_tokens else "max_tokens",
            usage=Usage(size.input_tokens, output_tokens),
            request_id=f"simulated-{request.row}",
        )

    async def refresh(self) -> None:
        """There are no credentials."""

    def _now_s(self) -> float:
        if self._started_s is None:
            self._loop_time_s = get_running_loop().time
            self._started_s = self._loop_time_s()
        return self._loop_time_s() - self._started_s

    def _pool(self, inference_id: str, source_region: str) -> Pool:
        lane = (inference_id, source_region)
        if lane not in self._lanes:
            self._lanes[lane] = self.pools[resolve(inference_id, source_region, "invoke", self._card) or ""]
        return self._lanes[lane]

    def _settle_due(self, pool: Pool, now_s: float) -> None:
        due = self._to_settle[pool]
        while due and due[0][0] <= now_s:
            at_s, _, reservation, charge = heapq.heappop(due)
            pool.settle(reservation, charge, at_s)

    async def _faulted(self, kind: Kind) -> Fault:
        await sleep(self._rtt_s)
        return self._fault(kind)

    def _fault(self, kind: Kind) -> Fault:
        self.faults += 1
        return self._classified(kind.kind, kind.message)

    async def _refused(self, kind: str, message: str) -> Fault:
        await sleep(self._rtt_s)
        return self._classified(kind, message)

    def _classified(self, kind: str, message: str) -> Fault:
        if (kind, message) not in self._refusals:
            self._refusals[kind, message] = classify(FAULTS[kind].error_type or "", FAULTS[kind].status, message)
        return self._refusals[kind, message]

    def _latency_s(self, output_tokens: int, fault: Kind | None) -> float:
        latency_s = self._spec.latency_s + self._spec.latency_per_token_s * output_tokens
        return latency_s * SLOW if fault is not None and fault.kind == "slow" else latency_s
