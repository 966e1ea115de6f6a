"""What was called, refused and paid for: the numbers of `GET /stats`."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchrun.bedrock.card import Prices
from batchrun.emulator.asked import Service
from batchrun.emulator.caches import CacheUse
from batchrun.emulator.faults import Fault

_TRAIL_S = 60
_MOST_TAGS = 1_000  # different ones that are counted


class PoolBook:
    """What went through one pool."""

    def __init__(self) -> None:
        self.calls = 0  # reached the meter
        self.admitted = 0
        self.throttled = 0
        self.answered = 0
        self.settled_tokens = 0
        self.tenant_tokens = 0  # drawn by others, as of the last call
        self.largest_hold_tokens = 0
        self.largest_minute_tokens = 0
        self._seconds: deque[tuple[int, int]] = deque()  # (second, tokens settled in it), the last minute's
        self._minute_tokens = 0

    def __repr__(self) -> str:
        return f"PoolBook(calls={self.calls}, throttled={self.throttled}, settled_tokens={self.settled_tokens})"

    def settled(self, tokens: int, now_s: float) -> None:
        """Book a charge, and the largest sum of 60 consecutive seconds."""
        self.settled_tokens += tokens
        second = int(now_s)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + tokens)
        else:
            self._seconds.append((second, tokens))
        self._minute_tokens += tokens
        while self._seconds[0][0] <= second - _TRAIL_S:
            self._minute_tokens -= self._seconds.popleft()[1]
        self.largest_minute_tokens = max(self.largest_minute_tokens, self._minute_tokens)

    def stats(self) -> dict[str, int]:
        """Return the numbers by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


@dataclass(frozen=True, slots=True)
class Bill:
    """What one call is billed for [tokens]; `input` is what was neither read from a cache nor written to one."""

    input: int
    output: int
    cached: CacheUse

    def usd(self, prices: Prices) -> float:
        """Return its dollars at the card's prices [USD per million tokens]."""
        return (
            self.input * prices.input
            + self.output * prices.output
            + self.cached.read * prices.cache_read
            + self.cached.write_5m * prices.cache_write_5m
            + self.cached.write_1h * prices.cache_write_1h
        ) / 1e6


class Books:
    """What happened to every call, and how often each prompt was paid for."""

    def __init__(self) -> None:
        self.calls = 0
        self.answered = 0  # whole, right answers
        self.begun = 0  # calls that the model works on, or has
        self.finished = 0
        self.counted = 0  # CountTokens
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        self.usd = 0.0
        self.pools: dict[str, PoolBook] = {}
        self.refused: Counter[str] = Counter()  # what the checks turned away, by kind
        self.faults: Counter[str] = Counter()  # what chaos did, by kind
        self.tiers: Counter[str] = Counter()  # calls by the service tier that they asked for
        self.tags: Counter[str] = Counter()  # calls by their request metadata, as JSON
        self.guarded = 0  # calls with a guardrail
        self._paid: dict[int, int] = {}  # prompt digest -> paid calls; about 100 bytes a prompt

    def __repr__(self) -> str:
        return f"Books(calls={self.calls}, answered={self.answered}, prompts={len(self._paid)})"

    def pool(self, name: str) -> PoolBook:
        """Return the book of a pool, a new one at its first call."""
        book = self.pools.get(name)
        if book is None:
            book = self.pools[name] = PoolBook()
        return book

    def paid(self, digest: int, bill: Bill, prices: Prices) -> None:
        """Book a call that AWS would bill."""
        self._paid[digest] = self._paid.get(digest, 0) + 1
        self.input_tokens += bill.input
        self.output_tokens += bill.output
        self.cache_read_tokens += bill.cached.read
        self.cache_write_tokens += bill.cached.write
        self.usd += bill.usd(prices)

    def asked(self, service: Service) -> None:
        """Book what an admitted call asked of the service."""
        self.guarded += service.guardrail
        if service.tier is not None:
            self.tiers[service.tier] += 1
        if service.tags is not None and (service.tags in self.tags or len(self.tags) < _MOST_TAGS):
            self.tags[service.tags] += 1

    def fault(self, fault: Fault) -> None:
        """Book a fault of chaos or of an outage."""
        self.faults[fault.kind] += 1

    def stats(self) -> Mapping[str, Any]:
        """Return everything as JSON would hold it."""
        repeats = Counter(self._paid.values())
        paid_calls = sum(times * prompts for times, prompts in repeats.items())
        pools = {name: book.stats() for name, book in sorted(self.pools.items())}
        return {
            "calls": self.calls,
            "answered": self.answered,
            "in_flight": self.begun - self.finished,
            "throttled": sum(book.throttled for book in self.pools.values()),
            "counted": self.counted,
            "refused": dict(sorted(self.refused.items())),
            "faults": dict(sorted(self.faults.items())),
            "guarded": self.guarded,
            "service_tiers": dict(self.tiers),
            "request_metadata": dict(self.tags),
            "paid_calls": paid_calls,
            "paid_input_tokens": self.input_tokens,
            "paid_output_tokens": self.output_tokens,
            "paid_cache_read_tokens": self.cache_read_tokens,
            "paid_cache_write_tokens": self.cache_write_tokens,
            "paid_usd": round(self.usd, 9),
            "prompts": len(self._paid),
            "repeated_calls": paid_calls - len(self._paid),
            "calls_per_prompt": {str(times): repeats[times] for times in sorted(repeats)},
            "pools": pools,
        }
