"""What prompt caching saved or lost: for the summary, and early enough to stop a job that pays for nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchrun.records import Usage

FIRST_LOOK = 100  # answers; before that a write for each of 25 lanes may outweigh the reads


@dataclass(slots=True)
class CacheTally:
    """Answers by what they did with the cache, and the dollars it made a difference of, since this start.

    An answer that read is a hit; one that wrote without reading is a miss; one that did neither was ignored.
    """

    hits: int = 0
    misses: int = 0
    ignored: int = 0
    read_tokens: int = 0
    write_tokens: int = 0
    input_tokens: int = 0  # neither
    saved_usd: float = 0.0
    told: bool = False

    def add(self, usage: Usage, saved_usd: float) -> str | None:
        """Count an answer; return a warning if by now it is time for one."""
        self.hits += usage.cache_read > 0
        self.misses += usage.cache_read == 0 and usage.cache_write > 0
        self.ignored += usage.cache_read == 0 and usage.cache_write == 0
        self.read_tokens += usage.cache_read
        self.write_tokens += usage.cache_write
        self.input_tokens += usage.input
        self.saved_usd += saved_usd
        answers = self.hits + self.misses + self.ignored
        if self.told or answers < FIRST_LOOK or self.saved_usd > 0:
            return None
        self.told = True
        if not self.hits and not self.misses:
            return (
                f"cache: Bedrock kept nothing in {answers} answers: the prefix is too short, or not kept for this "
                "model; leave [cache] out, or make the prefix longer"
            )
        return (
            f"cache: it loses money: in {answers} answers {self.hits} read a prefix and {self.misses} wrote one, which "
            f"cost ${-self.saved_usd:.6f} more than no cache; leave [cache] out, or keep only what rows share"
        )

    def record(self) -> dict[str, Any]:
        """Return what programs are told."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "ignored": self.ignored,
            "read_tokens": self.read_tokens,
            "write_tokens": self.write_tokens,
            "saved_usd": round(self.saved_usd, 9),
        }


def cache_text(record: Mapping[str, Any] | None) -> str | None:
    """Return the same for people, None if there is nothing to say."""
    if record is None:
        return None
    usd = record["saved_usd"]
    outcome = f"saved ${usd:.6f}" if usd >= 0 else f"lost ${-usd:.6f}"
    ignored = f", {record['ignored']:,} were ignored" if record["ignored"] else ""
    return (
        f"{outcome}: {record['hits']:,} answers read {record['read_tokens']:,} tokens, {record['misses']:,} only "
        f"wrote; {record['write_tokens']:,} tokens were written{ignored}"
    )
