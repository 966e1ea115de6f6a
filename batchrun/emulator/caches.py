"""Prompt caches: which prefixes are there to be read, lane by lane.

An entry belongs to one inference ID called from one source Region, as if each of those had one destination of its own.
AWS may run a call in another destination, which has no such entry: `cache_miss` of the emulator's table is the share of
calls that do. An entry can be read once the answer to the call that wrote it has begun, and lasts for its TTL from the
last time it was used. Only prefixes that end at a checkpoint of the reading call are looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from batchrun.emulator.checkpoints import TTL_S, Checkpoint

_LOOK_EVERY = 1_000  # calls between two looks for entries that have gone


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What one call took from the cache and put into it [tokens]; a write costs by its TTL."""

    read: int = 0
    write_5m: int = 0
    write_1h: int = 0

    @property
    def write(self) -> int:
        """Return all that was written."""
        return self.write_5m + self.write_1h


NO_USE = CacheUse()


@dataclass(slots=True)
class _Entry:
    usable_at_s: float
    expires_at_s: float
    ttl_s: float


class Caches:
    """The entries of all lanes of one account."""

    def __init__(self, least_tokens: int, missing: float = 0.0, seed: int = 0) -> None:
        """Take how long a prefix must be [tokens], and the share of calls that run where no entry is."""
        self._least_tokens = least_tokens
        self._missing = missing
        self._chance = Random(seed)
        self._entries: dict[tuple[str, int], _Entry] = {}
        self._calls = 0

    def __repr__(self) -> str:
        return f"Caches({len(self._entries)} entries)"

    def use(self, lane: str, checkpoints: Sequence[Checkpoint], now_s: float, begins_at_s: float) -> CacheUse:
        """Return what a call reads and writes; its answer begins at `begins_at_s`, inf if it never does.

        The longest prefix that is there is read, and what the checkpoints hold behind it is written. A prefix that is
        too short is neither, and nothing says so.
        """
        self._forget(now_s)
        long = [one for one in checkpoints if one.tokens >= self._least_tokens]
        if not long:
            return NO_USE
        elsewhere = self._missing > 0 and self._chance.random() < self._missing
        read = 0
        for place, one in enumerate(long):
            if not elsewhere and self._usable(lane, one, now_s):
                read = place + 1
        for one in long[:read]:
            self._refresh(lane, one, now_s)
        if begins_at_s < float("inf") and not elsewhere:
            for one in long[read:]:
                self._write(lane, one, begins_at_s)
        return _use(long, read)

    def _usable(self, lane: str, one: Checkpoint, now_s: float) -> bool:
        entry = self._entries.get((lane, one.digest))
        return entry is not None and entry.usable_at_s <= now_s < entry.expires_at_s

    def _refresh(self, lane: str, one: Checkpoint, now_s: float) -> None:
        entry = self._entries.get((lane, one.digest))
        if entry is not None:
            entry.expires_at_s = max(entry.expires_at_s, now_s + entry.ttl_s)

    def _write(self, lane: str, one: Checkpoint, begins_at_s: float) -> None:
        entry = self._entries.get((lane, one.digest))
        ttl_s = TTL_S[one.ttl]
        if entry is None or entry.expires_at_s <= begins_at_s:
            self._entries[lane, one.digest] = _Entry(begins_at_s, begins_at_s + ttl_s, ttl_s)
            return
        entry.usable_at_s = min(entry.usable_at_s, begins_at_s)
        entry.expires_at_s = max(entry.expires_at_s, begins_at_s + ttl_s)

    def _forget(self, now_s: float) -> None:
        self._calls += 1
        if self._calls % _LOOK_EVERY == 0:
            self._entries = {key: entry for key, entry in self._entries.items() if entry.expires_at_s > now_s}


def _use(long: Sequence[Checkpoint], read: int) -> CacheUse:
    """Return the tokens: each checkpoint behind those that were read is written at the price of its TTL."""
    ends = [0, *(one.tokens for one in long)]
    written = dict.fromkeys(TTL_S, 0)
    for place in range(read, len(long)):
        written[long[place].ttl] += ends[place + 1] - ends[place]
    return CacheUse(ends[read], written["5m"], written["1h"])
