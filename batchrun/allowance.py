"""Allowance: what a run may send, from its quotas, its dollars and what the answers of earlier starts took."""

from datetime import datetime
from math import inf

from batchrun.caching import least_tokens
from batchrun.clock import Clock
from batchrun.errors import BatchrunError
from batchrun.lanes.admission import Admissions, Budgets
from batchrun.lanes.budget import DollarBudget, RetryBudget, price_order
from batchrun.lanes.doubt import Doubts
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.max_tokens import MaxTokens
from batchrun.lanes.metering import Metering
from batchrun.lanes.pool import Pool
from batchrun.lanes.router import Router
from batchrun.lanes.warmth import Warmth
from batchrun.readyjob import ReadyJob
from batchrun.records import Totals
from batchrun.screen.status import read_status
from batchrun.storage.output import Output
from batchrun.transports import connections_of

# How much longer than a minute a mirror keeps a charge: calls take unequal times to arrive. A guess; a charge that is
# kept too short costs a refusal a minute, one that is kept too long 0.17 % of a sliding minute for each 0.1 s.
SKEW_S = 0.1
MINUTE_S = 60.0
FAR_LARGER = 4.0  # times the mean hold; rows differ, and this one is not to be lost for being above the middle. A guess


def admissions_of(ready: ReadyJob, output: Output, clock: Clock) -> Admissions:
    """Return the admissions of a start over `output`, whose dollars and lengths of answers count."""
    spec, totals = ready.spec, output.totals
    metering = Metering(
        day_ends_at_s=clock.now_s() + clock.seconds_to_midnight(), skew_s=SKEW_S, burndown=ready.output_burndown
    )
    doubts = Doubts(metering.day_ends_at_s)
    pools = {name: Pool(name, quota, metering, doubts) for name, quota in ready.quotas.items()}
    if spec.quota.share < 1 and _ended_before_s(output, clock) < MINUTE_S:
        for pool in pools.values():
            pool.share_is_used(clock.now_s())
    fixed = spec.limits.max_in_flight
    budgets = Budgets(
        in_flight=InFlightLimit(
            None if isinstance(fixed, str) else fixed,
            connections=connections_of(ready) // 2,
            first_cost=ready.sampling.max_tokens,
        ),
        dollars=DollarBudget(spec.limits.max_cost_usd, totals.most_usd),
        retries=RetryBudget(spec.retry.budget),
        max_attempts=spec.retry.max_attempts,
        far_larger=_far_larger(ready, totals),
        max_tokens=_max_tokens(ready, output),
    )
    router = Router(ready.lanes, pools, price_order(ready.prices))
    warmth = Warmth(spec.cache.ttl, least_tokens(ready.card)) if spec.cache.asked else None
    return Admissions(router, budgets, ready.prices, ready.output_burndown, clock.seconds_to_midnight, warmth)


def _ended_before_s(output: Output, clock: Clock) -> float:
    """Return how long ago an earlier start of this output was last seen at work [s]; inf if there was none."""
    try:
        told = read_status(output.target.store)
        return (clock.today() - datetime.fromisoformat(told["updated_at"])).total_seconds()
    except (BatchrunError, ValueError, TypeError):
        return inf


def _far_larger(ready: ReadyJob, totals: Totals) -> float:
    """Return the hold above which a row is of another size than those that earlier starts got through, inf if none."""
    sent = totals.usage.input + totals.usage.cache_read + totals.usage.cache_write
    return FAR_LARGER * (sent / totals.rows + ready.longest_answer) if sent else inf


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
