"""Answers as a plan expects them: their max_tokens, by what an earlier start of the same job has seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from batchrun.lanes.lengths import Lengths
from batchrun.lanes.max_tokens import MaxTokens
from batchrun.readyjob import ReadyJob
from batchrun.screen.answers import Allowed, advice
from batchrun.storage.lengths import latest_lengths
from batchrun.storage.manifest import read_manifest
from batchrun.storage.ranges import Range, Ranges
from batchrun.storage.replay import Replay, read_log
from batchrun.storage.store import MANIFEST, Store

LARGE, LARGE_SHARE = 1_024, 0.75  # max_tokens from which, and its share of a hold from which, "auto" is worth naming


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of an earlier start, and the max_tokens that a first call will have."""

    ready: ReadyJob
    lengths: Sequence[int]
    first: int

    @classmethod
    def expected(cls, ready: ReadyJob, store: Store) -> "Answers":
        """Look into the job's output, if there is one and it is this job's."""
        lengths = _earlier(ready, store)
        if not ready.learns_max_tokens:
            return cls(ready, lengths, ready.longest_answer)
        return cls(
            ready,
            lengths,
            MaxTokens(ready.longest_answer, ready.output_burndown, ready.largest_quota, lengths).learnt,
        )

    @property
    def mean(self) -> float | None:
        """Return the mean length of the earlier answers [tokens], None without any."""
        return fmean(self.lengths) if self.lengths else None

    def record(self, input_per_row: float) -> dict[str, Any]:
        """Return what a plan says of max_tokens; a call holds `input_per_row` tokens besides."""
        seen = Lengths(self.lengths)
        return {
            "set": self.ready.spec.generation.max_tokens,
            "ceiling": self.ready.longest_answer,
            "first": self.first,
            "answers": seen.answers,
            "longest_answer": seen.longest,
            "p99_answer": seen.within(0.99),
            "advice": None if self.ready.learns_max_tokens else self._advice(seen, input_per_row),
        }

    def _advice(self, seen: Lengths, input_per_row: float) -> str | None:
        max_tokens = self.ready.longest_answer
        if seen.answers:
            return advice(Allowed(max_tokens, self.ready.output_burndown), seen, input_per_row)
        share = max_tokens / (input_per_row + max_tokens)
        if max_tokens < LARGE or share < LARGE_SHARE:
            return None
        return (
            f"{100 * share:.0f} % of what a call holds of the quota is max_tokens = {max_tokens}: where most answers "
            f'are far shorter, max_tokens = "auto" with max_tokens_ceiling = {max_tokens} holds what they need'
        )


def _earlier(ready: ReadyJob, store: Store) -> list[int]:
    if not store.exists(MANIFEST):
        return []
    manifest = read_manifest(store)
    store.adopt(manifest.run_id)
    if manifest.identity != ready.identity():
        return []

    def log_of(of: Range) -> Replay | None:
        try:
            return read_log(store.wal / of.log_name, of)
        except OSError:
            return None  # it has become a part, or was never begun

    return list(latest_lengths(store, Ranges(manifest.stretches, ready.spec.output.rows_per_part), log_of))
