"""Shared pools: global pools refused together, each far below its number, look like one pool of the account."""

from collections.abc import Iterable

from batchrun.lanes.pool import Pool

FEWEST = 3  # two may be wrong by chance
TOGETHER_S = 30.0  # pools of their own with wrong numbers find out when their own calls have used them up
SHARE = 0.8  # of the global pools that took calls


def look_shared(pools: Iterable[Pool]) -> str | None:
    """Say that the global pools of several source Regions look like one, None if they do not."""
    used = [pool for pool in pools if pool.name.endswith("/global") and pool.settled_tokens + pool.throttled]
    wrong_at_s = sorted(at_s for pool in used if (at_s := pool.told_wrong_at_s()) is not None)
    if len(wrong_at_s) < max(FEWEST, SHARE * len(used)) or wrong_at_s[-1] - wrong_at_s[0] > TOGETHER_S:
        return None
    apart_s = wrong_at_s[-1] - wrong_at_s[0]
    return (
        f"{len(wrong_at_s)} of {len(used)} global pools were refused within {apart_s:.0f} s, each "
        'far below its quota: they look shared, one pool of the account; if so, set quota.global_pool = "shared"'
    )
