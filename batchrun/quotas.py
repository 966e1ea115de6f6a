"""Quotas: what a job may use of each pool, and where each of its numbers comes from."""

import re
from collections.abc import Sequence

from batchrun.account.facts import Found, QuotaValue
from batchrun.bedrock.card import MANTLE, Card
from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.lanes.lane import Lane
from batchrun.lanes.pool import Quota

PER_MINUTE = ("tokens_per_minute", "requests_per_minute")
QUOTA_KEYS = (*PER_MINUTE, "tokens_per_day")
CARD_DEFAULT = "card default"


def quotas_of(spec: JobSpec, card: Card, lanes: list[Lane], found: Found) -> tuple[dict[str, Quota], list[str]]:
    """Return each pool's quota: its own key, then the job's, then Service Quotas, then the card's with a warning.

    Raises JobError if the job names a pool that the card has not.
    """
    by_pool: dict[str, list[Lane]] = {}
    for lane in lanes:
        by_pool.setdefault(lane.pool, []).append(lane)
    on_mantle = spec.model.endpoint == MANTLE
    known = {name for name in card.pool_names() if name.endswith(f"/{MANTLE}") == on_mantle} | by_pool.keys()
    for name in spec.quota.pools:
        if name not in known:
            raise JobError(f"quota.pools.{name!r}: {card.name} has no such pool; it has {', '.join(sorted(known))}")
    quotas = {name: _quota(spec, card, by_pool[name], found) for name in sorted(by_pool)}
    defaulted = [name for name, quota in quotas.items() if quota.sources["tokens_per_minute"].startswith(CARD_DEFAULT)]
    if not defaulted:
        return quotas, []
    return quotas, [
        f"quota.tokens_per_minute is not set for {len(defaulted)} of {len(quotas)} pools: the card's default of "
        f"{card.tokens_per_minute:,} is taken, an account's real quota may be far lower ({', '.join(defaulted[:3])}"
        f"{', …' if len(defaulted) > 3 else ''})"
    ]


def _quota(spec: JobSpec, card: Card, lanes: Sequence[Lane], found: Found) -> Quota:
    """Return what this job may use of the pool of these lanes: its numbers, the minute's ones times quota.share."""
    pool = lanes[0].pool
    own = spec.quota.pools.get(pool)
    numbers: dict[str, float | None] = {}
    sources = {}
    for key in QUOTA_KEYS:
        if own is not None and getattr(own, key) is not None:
            numbers[key], sources[key] = getattr(own, key), f'job: quota.pools."{pool}".{key}'
        elif getattr(spec.quota, key) is not None:
            numbers[key], sources[key] = getattr(spec.quota, key), f"job: quota.{key}"
        elif told := _told(found, lanes, key):
            numbers[key], sources[key] = told.value, told.source
        elif key == "tokens_per_minute" and spec.model.endpoint != MANTLE:  # mantle's is in no document
            numbers[key], sources[key] = card.tokens_per_minute, CARD_DEFAULT
        else:
            numbers[key], sources[key] = None, "unknown: not limited until a throttle says otherwise"
    share = spec.quota.share
    if share < 1:
        for key in PER_MINUTE:
            if (number := numbers[key]) is not None:
                numbers[key], sources[key] = share * number, f"{sources[key]} × quota.share {share:g}"
    return Quota(
        tokens_per_minute=numbers["tokens_per_minute"],
        requests_per_minute=numbers["requests_per_minute"],
        tokens_per_day=numbers["tokens_per_day"],
        sources=sources,
        promised=share < 1,
    )


def _told(found: Found, lanes: Sequence[Lane], key: str) -> QuotaValue | None:
    """Return what Service Quotas say of a pool; the least, where several Regions share it and say different things."""
    kind = re.split("[/:]", lanes[0].pool)[-1]
    told = [found.quota(lane.access, lane.source_region, f"{kind}_{key}") for lane in lanes]
    return min((one for one in told if one is not None), key=lambda one: one.value, default=None)
