"""Which prefixes Bedrock keeps for which lanes, as far as our own calls tell: warm, being warmed, or cold.

An entry can be read once the answer to the call that wrote it has begun; without streaming we see that at its end. It
lasts for its TTL from the last call that used it. Entries belong to a lane: another Region has its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from batchrun.bedrock.checkpoints import surely_short
from batchrun.lanes.lane import Lane
from batchrun.records import Prefix, Request, Usage

TTL_S = {"5m": 300.0, "1h": 3_600.0}
SAFETY_S = 5.0  # of a TTL: a call takes a while to arrive, and a read that comes too late is a write
# Rows from which a lane's own entry pays for itself, the first of them writing at 1.25 or 2 times the input's price and
# the rest reading at a tenth: 1.25 + 0.1 < 2, and 2 + 2 x 0.1 < 3. List prices; docs/caching.md has the sums.
PAYS_FROM = {"5m": 2, "1h": 3}
MANY = 32  # rows that pay for any further lane: as many wait wherever a run of like rows has more quota than calls
SPREAD_S = 1.0  # that rows are kept back before they warm a further lane: about an answer, in which others may come
LEAD_S = 30.0  # what hangs for longer is not waited for: another call leads. No answer of usual length takes so long.
MOST_KNOWN = 100_000  # entries remembered, about 30 MB: rows may have a prefix of their own


class Heat(Enum):
    """How a lane stands to a request's prefixes."""

    WARM = auto()
    LED = auto()  # cold, and a call that writes is under way
    COLD = auto()


@dataclass(frozen=True, slots=True)
class Kept:
    """What Bedrock is to keep of a request: the keys of its prefixes, the longest last, and how warm lanes are."""

    keys: tuple[bytes, ...]
    warmth: "Warmth"

    def heat(self, lane: Lane, now_s: float) -> Heat:
        """Tell how a lane stands to them."""
        return self.warmth.heat(lane, self.keys, now_s)

    @property
    def many(self) -> bool:
        """Tell whether so many rows wait for them as if the run's rows were all alike."""
        return self.warmth.waiting(self.keys[-1]) >= MANY

    def pays(self, lanes: Sequence[Lane], now_s: float) -> bool:
        """Tell whether so many rows wait for them, shared out, that one more of `lanes` pays for its own entry.

        Not at once: rows with other prefixes may come, and take what lanes have room.
        """
        if now_s < self.spreads_at(now_s):
            return False
        if self.many:
            return True
        serving = sum(self.heat(lane, now_s) is not Heat.COLD for lane in lanes)
        return self.warmth.waiting(self.keys[-1]) >= PAYS_FROM[self.warmth.ttl] * (serving + 1)

    def spreads_at(self, now_s: float) -> float:
        """Return when rows that wait for them may warm further lanes [s]."""
        return self.warmth.waits_since(self.keys[-1], now_s) + SPREAD_S

    def led_until(self, lanes: Sequence[Lane], now_s: float) -> float:
        """Return when the first of the calls that warm one of `lanes` is given up [s]; inf if there is none."""
        return self.warmth.led_until(lanes, self.keys, now_s)


@dataclass(slots=True)
class _Entry:
    warm_until_s: float = -inf
    leaders: int = 0  # calls under way that write it
    led_since_s: float = -inf

    def led(self, now_s: float) -> bool:
        return self.leaders > 0 and now_s < self.led_since_s + LEAD_S


class Warmth:
    """The entries of all lanes; pure but for the times and answers it is told."""

    def __init__(self, ttl: str, least_tokens: int, most_known: int = MOST_KNOWN) -> None:
        """Take how long an entry lasts, how long a prefix must be to have one [tokens], and how many to remember."""
        self.ttl = ttl
        self._least_tokens = least_tokens
        self._most_known = most_known
        self._entries: dict[tuple[Lane, bytes], _Entry] = {}
        self._ignored: set[bytes] = set()  # prefixes of which Bedrock said that it neither read nor wrote them
        self._waiting: Counter[bytes] = Counter()
        self._since: dict[bytes, float] = {}  # when the first of those who wait was kept back
        self._changed: set[bytes] = set()

    def __repr__(self) -> str:
        return f"Warmth({len(self._entries)} entries, {self._waiting.total()} rows wait)"

    def kept(self, request: Request) -> Kept | None:
        """Return what of a request there is a point in waiting for, None without any."""
        keys = tuple(prefix.key for prefix in request.prefixes if self._counts(prefix))
        return Kept(keys, self) if keys else None

    def heat(self, lane: Lane, keys: Iterable[bytes], now_s: float) -> Heat:
        """Tell how a lane stands to these prefixes: as to the worst of them."""
        cold = False
        for key in keys:
            entry = self._entries.get((lane, key))
            if entry is None or entry.warm_until_s <= now_s:
                if entry is not None and entry.led(now_s):
                    return Heat.LED
                cold = True
        return Heat.COLD if cold else Heat.WARM

    def led_until(self, lanes: Iterable[Lane], keys: Iterable[bytes], now_s: float) -> float:
        """Return when the first of the calls that write one of these is given up [s]; inf if there is none."""
        entries = [self._entries.get((lane, key)) for key in keys for lane in lanes]
        return min([one.led_since_s + LEAD_S for one in entries if one is not None and one.led(now_s)], default=inf)

    def waiting(self, key: bytes) -> int:
        """Return how many rows wait for a call with this longest prefix."""
        return self._waiting[key]

    def waits_since(self, key: bytes, now_s: float) -> float:
        """Return since when rows with this longest prefix have been kept back [s]: from now on, if none was before."""
        return self._since.setdefault(key, now_s)

    def arrived(self, request: Request) -> None:
        """Note a row that waits for its call."""
        for prefix in request.prefixes[-1:]:
            self._waiting[prefix.key] += 1

    def left(self, request: Request) -> None:
        """Note that it does not wait any more."""
        for prefix in request.prefixes[-1:]:
            self._waiting[prefix.key] -= 1
            if self._waiting[prefix.key] <= 0:
                del self._waiting[prefix.key]
                self._since.pop(prefix.key, None)

    def sent(self, lane: Lane, keys: Iterable[bytes], now_s: float) -> tuple[bytes, ...]:
        """Note a call that goes out; return the prefixes that it is the one to write."""
        leads = []
        for key in keys:
            entry = self._entries.get((lane, key))
            if entry is None:
                entry = self._entries[lane, key] = _Entry()
            if entry.warm_until_s <= now_s:
                entry.leaders += 1
                entry.led_since_s = now_s
                leads.append(key)
        if len(self._entries) > self._most_known:
            self._forget(now_s)
        return tuple(leads)

    def ended(self, lane: Lane, leads: Iterable[bytes]) -> None:
        """Note that a call has ended, however: the next may lead."""
        for key in leads:
            entry = self._entries.get((lane, key))
            if entry is not None:
                entry.leaders = max(0, entry.leaders - 1)
            self._changed.add(key)

    def answered(self, lane: Lane, keys: Iterable[bytes], usage: Usage, sent_at_s: float) -> None:
        """Learn from an answer; an entry's time runs from when its call went out, at the latest."""
        used = usage.cache_read + usage.cache_write > 0
        for key in keys:
            if not used:
                if len(self._ignored) >= self._most_known:
                    self._ignored.clear()
                self._ignored.add(key)
                self._changed.add(key)
            elif (entry := self._entries.get((lane, key))) is not None:
                entry.warm_until_s = max(entry.warm_until_s, sent_at_s + TTL_S[self.ttl] - SAFETY_S)

    def changed(self) -> set[bytes]:
        """Return the prefixes for which something has changed since the last time that this was asked."""
        changed, self._changed = self._changed, set()
        return changed

    def _counts(self, prefix: Prefix) -> bool:
        return prefix.key not in self._ignored and not surely_short(prefix.tokens, self._least_tokens)

    def _forget(self, now_s: float) -> None:
        """Forget what is cold, and then what is oldest; a lane that was forgotten is warmed once more."""
        kept = {at: entry for at, entry in self._entries.items() if entry.leaders or entry.warm_until_s > now_s}
        for at in list(kept)[: max(0, len(kept) - self._most_known // 2)]:
            if not kept[at].leaders:
                del kept[at]
        self._entries = kept
