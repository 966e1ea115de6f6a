"""The jobs under torture: small inputs whose answers, calls and dollars are known beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_job import emulator_at, job_text
from tests.torture.points import LONG, MIXED, PLAIN, TRUNCATED

IN_FLIGHT = 8
LONG_TOKENS = 1_230  # of the emulator: some 16 KB of answer

EMULATOR = """
[emulator]
tpm = 1_000_000_000
latency_s = 0.01
latency_per_token_s = 0
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job: what its rows ask for, how many calls each takes, and which `batchrun retry` sends again."""

    name: str
    rows: int
    rows_per_part: int
    generation: Mapping[str, Any]
    asks: Callable[[int], str]
    calls: Callable[[int], int]
    sent_again: Callable[[int], bool] = lambda _: False


def _mixed(row: int) -> str:
    if row % 6 == 1:
        return "[[output_tokens=700]]"  # cut at the 512 that "auto" begins with, and sent again
    return "[[fault=cut*1]] [[output_tokens=2]]" if row % 6 == 4 else "[[output_tokens=2]]"  # paid, without an answer


def _cut(row: int) -> bool:
    return row % 5 == 2


KINDS = {
    kind.name: kind
    for kind in (
        Kind(PLAIN, 48, 12, {"max_tokens": 64}, lambda _: "[[output_tokens=2]]", lambda _: 1),
        Kind(LONG, 24, 8, {"max_tokens": 4096}, lambda _: f"[[output_tokens={LONG_TOKENS}]]", lambda _: 1),
        Kind(
            MIXED, 18, 6, {"max_tokens": "auto", "max_tokens_ceiling": 2048}, _mixed,
            lambda row: 2 if row % 3 == 1 else 1,
        ),
        Kind(
            TRUNCATED, 48, 12, {"max_tokens": 64}, lambda row: f"[[output_tokens={100 if _cut(row) else 2}]]",
            lambda _: 1, _cut,
        ),
    )
}  # fmt: skip


def write_job(folder: Path, kind: Kind, url: str, tag: str) -> Path:
    """Write input and job file; the prompts of another `tag` are others, so that the books tell them apart."""
    numbers = range(kind.rows)
    table = {
        "id": [f"{tag}-{row}" for row in numbers],
        "label": [row % 7 for row in numbers],
        "text": [f"{prompt_of(tag, row)} says its number. {kind.asks(row)}" for row in numbers],
    }
    pq.write_table(pa.table(table), folder / "rows.parquet")
    job = folder / "job.toml"
    job.write_text(
        job_text(
            "torture",
            input={"id": "id", "keep": ["label"]},
            generation=kind.generation,
            limits={"max_in_flight": IN_FLIGHT, "max_failed": sum(kind.sent_again(row) for row in numbers)},
            output={"rows_per_part": kind.rows_per_part},
            aws=emulator_at(url),
        )
    )
    return job


def prompt_of(tag: str, row: int) -> str:
    """Return the words that a row's prompt and answer begin with; an answer repeats the prompt's words."""
    return f"{tag}:{row}:"
