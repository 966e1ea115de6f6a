"""Somebody else on a pool: another client of the account, whose calls use up what ours then find gone.

A tenant charges its pool every STEP_S of the time it is there, like many small calls that settle at their holds. It
takes what there is room for and no more; what did not fit is not asked for again. So it gets less while we leave
nothing, and the meter is never driven into debt by it. Steps are made up for, in order, before the pool is next used:
what it takes depends on times alone, not on how often anybody looks. Only tokens are drawn, no requests.
"""

from math import inf

from batchrun.emulator.config import Tenant
from batchrun.emulator.meter import MINUTE_S, Meter

STEP_S = 0.1  # at 25,000 tokens a minute 42 tokens: less than any call of ours, so that it is served first


class Draw:
    """What one tenant takes of a pool's tokens."""

    def __init__(self, tenant: Tenant, quota: float) -> None:
        per_minute = quota * tenant.share if tenant.share is not None else tenant.tokens_per_minute or 0
        self.taken = 0.0  # quota tokens
        self._step = per_minute * STEP_S / MINUTE_S
        self._from_s = tenant.from_s
        self._steps = inf if tenant.to_s is None else round((tenant.to_s - tenant.from_s) / STEP_S)
        self._done = 0

    def __repr__(self) -> str:
        return f"Draw({self.taken:g} tokens in {self._done} steps from {self._from_s:g} s)"

    @property
    def next_at_s(self) -> float:
        """Return when the next step is due [s]; the first is one STEP_S after the tenant came."""
        return self._from_s + (self._done + 1) * STEP_S if self._done < self._steps else inf

    def step(self, meter: Meter) -> None:
        """Take the next step, at its own time."""
        at_s = self.next_at_s
        self._done += 1
        tokens = min(self._step, meter.room(at_s))
        if tokens > 0:
            meter.take(tokens, at_s)
            self.taken += tokens
