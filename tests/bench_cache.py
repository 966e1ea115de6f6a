"""`make bench-cache`: a shared system prompt of 6,000 tokens over five lanes, kept by Bedrock and not; virtual time.

The emulator bills; the clock jumps, so what takes hours takes a minute. `read` is the share of all input tokens that
was billed at the read price, by the emulator's books. Rows of the second table share their prefix with few others.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.run.rehearsal import SIX_REGIONS, Rehearsal, job, rehearse

PROMPT_TOKENS = 6_000
SENTENCE = "Rule {}: say so plainly, in one sentence and no more. "
BYTES_PER_TOKEN = 3.7  # the emulator's tokenizer
TPM = 400_000
GROUPS = (2, 5, 20)  # rows that share a prefix


@dataclass(frozen=True, slots=True)
class Bill:
    """What one job came to."""

    name: str
    ended: Rehearsal

    @property
    def read_share(self) -> float:
        """Return the share of input tokens billed at the read price."""
        stats = self.ended.stats
        kinds = ("paid_input_tokens", "paid_cache_write_tokens", "paid_cache_read_tokens")
        return float(stats["paid_cache_read_tokens"] / sum(stats[kind] for kind in kinds))

    def line(self, beside: "Bill") -> str:
        """Return the line of the table, with the dollars as a share of another's."""
        cache = self.ended.summary["cache"] or {"misses": 0}
        usd = self.ended.stats["paid_usd"]
        return (
            f"  {self.name:<34}{self.ended.summary['rows']:>7,}{100 * self.read_share:>8.1f} %{cache['misses']:>8,}"
            f"{usd:>11.4f}{usd / beside.ended.stats['paid_usd']:>8.2f}{self.ended.wall_s:>9.1f} s"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=2_000)
    rows = arguments.parse_args().rows
    text = rules(PROMPT_TOKENS)
    print(f"{rows:,} rows, five lanes of {TPM:,} tokens a minute; a shared system prompt of {len(text):,} bytes")
    print(f"  {'':<34}{'rows':>7}{'read':>10}{'writes':>8}{'dollars':>11}{'÷':>8}{'wall':>11}")
    table = pa.table({"text": [f"Question {row}?" for row in range(rows)]})
    plain = measure("no cache", table, {"system": text}, cache={"system": False})
    five = measure("cache, 5 minutes", table, {"system": text})
    hour = measure("cache, 1 hour", table, {"system": text}, cache={"ttl": "1h"})
    lost = measure("cache, 10 % of calls elsewhere", table, {"system": text}, emulator={"cache_miss": 0.1})
    for bill in (plain, five, hour, lost):
        print(bill.line(plain), flush=True)
    assert five.read_share >= 0.85, "the issue's number"
    for size in GROUPS:
        own = [f"{row // size}: {text}" for row in range(rows // 4)]
        few = table.slice(0, rows // 4).append_column("rules", pa.array(own))
        without = measure("", few, {"system": "{{ rules }}"}, cache={"system": False})
        print(measure(f"{size} rows share a prefix", few, {"system": "{{ rules }}"}).line(without), flush=True)


def rules(tokens: int) -> str:
    """Return a system prompt of about so many tokens."""
    text = "".join(SENTENCE.format(number) for number in range(tokens))
    return text[: int(tokens * BYTES_PER_TOKEN)]


def measure(name: str, table: pa.Table, prompt: Mapping[str, Any], **changes: Mapping[str, Any]) -> Bill:
    """Run a job over `table` on five lanes."""
    tables: dict[str, Any] = {
        "prompt": prompt,
        "cache": {"system": True, **changes.get("cache", {})},
        "generation": {"max_tokens": 256},
        "limits": {"max_failed": 1.0},
        "routing": {"scopes": ["us"], "source_regions": SIX_REGIONS[:5]},
        "quota": {"tokens_per_minute": TPM},
        "emulator": {"tpm": TPM, "latency_s": 0.8, "latency_per_token_s": 0.008, **changes.get("emulator", {})},
    }
    with tempfile.TemporaryDirectory() as folder:
        ended = rehearse(job(Path(folder), table, **tables))
        assert ended.summary["rows"] == len(table), ended.reason
        return Bill(name, ended)


if __name__ == "__main__":
    main()
