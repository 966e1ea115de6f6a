"""What a run of the table is compared with: the oracle over the same rows, pools and latencies."""

from dataclasses import dataclass

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.pools import charge_tokens, make_pools
from batchrun.readyjob import ReadyJob
from tests.simulation.load import Load
from tests.simulation.oracle import Call, Outlet, optimum_a, optimum_b
from tests.simulation.setups import Setup
from tests.simulation.transport import SLOW, SimulatedTransport


@dataclass(frozen=True, slots=True)
class Scene:
    """A job that is ready, what it was made of, and its rows."""

    setup: Setup
    ready: ReadyJob
    load: Load

    @property
    def emulator(self) -> EmulatorSpec:
        """Return how the quotas are metered."""
        return self.ready.spec.emulator or EmulatorSpec()

    def optimum_a_s(self) -> float:
        """Return when the oracle has the last answer [s]."""
        rows = (self._call(row) for row in range(self.load.rows))
        return optimum_a(self._outlets(), rows) + self.emulator.rtt_ms / 1000

    def optimum_b_s(self, transport: SimulatedTransport) -> float:
        """Return the sum over what a run settled, tenants' draws included [s]."""
        drawn = sum(pool.tenant_tokens for pool in set(transport.pools.values()))
        settled = sum(book.settled_tokens for book in transport.books.values())
        last_s = self._call(self.load.rows - 1).latency_s + self.emulator.rtt_ms / 1000
        return optimum_b([outlet.pool for outlet in self._outlets()], settled + drawn, self.load.rows, last_s)

    def _outlets(self) -> list[Outlet]:
        """Return the pools of the lanes that answer, as they are before the first call."""
        pools = make_pools(self.emulator, self.ready.card)
        outlets: dict[str, Outlet] = {}
        for lane in self.ready.lanes:
            if lane.source_region != self.setup.dead:
                pool = pools[f"{lane.source_region}/{self.ready.card.scopes[lane.scope].pool_kind}"]
                factor = SLOW if lane.source_region == self.setup.slow else 1.0
                outlets.setdefault(pool.name, Outlet(pool, factor, self.emulator.edge_s))
        return list(outlets.values())

    def _call(self, row: int) -> Call:
        size, max_tokens = self.load.size(row), self.ready.sampling.max_tokens
        output_tokens = min(size.output_tokens, max_tokens)
        return Call(
            hold=size.input_tokens + max_tokens,
            charge=charge_tokens(self.ready.card, size.input_tokens, output_tokens),
            latency_s=self.emulator.latency_s + self.emulator.latency_per_token_s * output_tokens,
        )
