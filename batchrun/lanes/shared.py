"""Shared pools: global pools refused together, each far below its number, are booked as one until tests part them."""

from collections.abc import Iterable

from batchrun.lanes.joint import JointPool
from batchrun.lanes.pool import Pool, Reservation
from batchrun.lanes.router import Router

FEWEST = 5  # fewer are refused little more often apart than as one, and may be wrong by chance
TOGETHER_S = 30.0  # pools of their own with wrong numbers find out when their own calls have used them up
SHARE = 0.8  # of the global pools that took calls


class Sharing:
    """Watches for pools that are told once for each source Region, and are one pool of the account."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._joint: JointPool | None = None
        self._parted = False

    def __repr__(self) -> str:
        return f"Sharing({self._joint!r}, parted={self._parted})"

    def refused(self, pool: Pool, reservation: Reservation, now_s: float) -> None:
        """Take a refusal of one of the account's pools: book it and its like as one if they now look like one."""
        if self._joint is not None or self._parted:
            return
        alike = [other for other in self._router.pools.values() if _told_alike(other, pool)]
        if look_shared(alike):
            self._joint = JointPool("global", alike, reservation, now_s)
            self._router.book(alike, self._joint)

    def look(self) -> None:
        """Part the pools again, for good, if they have turned out to be several."""
        if self._joint is not None and self._joint.several:
            for pool in self._joint.members:
                pool.part_with_heir()
            self._router.book_apart(self._joint.members)
            self._joint, self._parted = None, True

    def note(self) -> str | None:
        """Say that pools look shared, None if they do not."""
        if self._joint is None:
            return None
        return (
            f"{len(self._joint.members)} global pools were refused together, each far below its quota: they look "
            'shared, and were used as one pool of the account; set quota.global_pool = "shared" to begin so'
        )


def look_shared(pools: Iterable[Pool]) -> bool:
    """Tell whether pools were refused together, each far below its number."""
    used = [pool for pool in pools if pool.settled_tokens + pool.throttled + pool.in_flight]
    wrong_at_s = [at_s for pool in used if (at_s := pool.told_wrong_at_s()) is not None]
    if len(wrong_at_s) < max(FEWEST, SHARE * len(used)):
        return False
    return max(wrong_at_s) - min(wrong_at_s) <= TOGETHER_S


def _told_alike(one: Pool, other: Pool) -> bool:
    """Tell whether two pools may be one: global ones, told the same numbers."""
    names = one.name.endswith("/global") and other.name.endswith("/global")
    names = names and one.name.rpartition(":")[0] == other.name.rpartition(":")[0]  # of one account
    return names and one.quota.tokens_per_minute is not None and _numbers(one) == _numbers(other)


def _numbers(pool: Pool) -> tuple[float | None, ...]:
    quota = pool.quota
    return quota.tokens_per_minute, quota.requests_per_minute, quota.tokens_per_day
