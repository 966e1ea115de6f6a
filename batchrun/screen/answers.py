"""What answers used of their max_tokens: what was learnt, what it cost, and what a smaller number would hold less."""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from batchrun.lanes.lengths import Lengths

ENOUGH = 20  # answers: fewer say little about the others
SPARE = 1.25  # above the longest answer seen; up to the next power of two comes on top
LEAST = 32
WORTH = 0.25  # of the quota held: what is less is not worth a change


@dataclass(frozen=True, slots=True)
class Allowed:
    """A job's max_tokens: the longest answer there may be, what a token of it settles at, and what was learnt.

    `learnt` is None where max_tokens is fixed, or nothing was sent.
    """

    longest: int
    burndown: int
    fixed: bool = True
    learnt: int | None = None


@dataclass(slots=True)
class SentAgain:
    """Rows sent again because max_tokens cut their answers, or these did not fit the schema, and what they cost."""

    rows: int = 0
    usd: float = 0.0

    def add(self, usd: float, *, first: bool) -> None:
        """Count an answer that is not its row's last; `first` if it is its row's first."""
        self.rows += first
        self.usd += usd


def answers_record(allowed: Allowed, lengths: Lengths, again: SentAgain, input_per_row: float) -> dict[str, Any]:
    """Return what programs are told; `input_per_row` is what a call holds besides its max_tokens [tokens]."""
    return {
        "set": allowed.longest if allowed.fixed else "auto",
        "ceiling": allowed.longest,
        "learnt": allowed.learnt,
        "answers": lengths.answers,
        "longest_answer": lengths.longest,
        "p99_answer": lengths.within(0.99),
        "sent_again": {
            **asdict(again),
            "usd": round(again.usd, 9),
            "share": round(again.rows / max(lengths.answers, again.rows, 1), 4),
        },
        "advice": advice(allowed, lengths, input_per_row) if allowed.fixed else None,
    }


def advice(allowed: Allowed, lengths: Lengths, input_per_row: float) -> str | None:
    """Say what a smaller max_tokens would save, None if it would not be worth saying.

    A hold below what a call settles at saves nothing: the pool would only run into debt.
    """
    max_tokens = allowed.longest
    wanted = max(LEAST, SPARE * lengths.longest, allowed.burndown * lengths.mean)
    smaller = 1 << (ceil(wanted) - 1).bit_length()
    less = (max_tokens - smaller) / (input_per_row + max_tokens)
    if lengths.answers < ENOUGH or less < WORTH:
        return None
    return (
        f"answers used at most {lengths.longest:,} of {max_tokens:,} max_tokens (99 % of them ≤ "
        f"{lengths.within(0.99):,}): max_tokens = {smaller} would hold {100 * less:.0f} % less of the quota for a call "
        f'in flight; max_tokens = "auto" with max_tokens_ceiling = {max_tokens} learns it, and may go on with this '
        "output"
    )


def answers_text(record: dict[str, Any]) -> str | None:
    """Return the same for people, None if there is nothing to say."""
    if record["learnt"] is None:
        told: str | None = record["advice"]
        return told
    again = record["sent_again"]
    return (
        f"at most {record['longest_answer']:,} tokens, 99 % of them ≤ {record['p99_answer']:,}; max_tokens learnt: "
        f"{record['learnt']:,}, at most {record['ceiling']:,}; {again['rows']:,} rows ({100 * again['share']:.1f} %) "
        f"sent again, ${again['usd']:.6f} for their cut answers"
    )


def misfits_text(record: dict[str, Any] | None) -> str | None:
    """Say for people what answers cost that did not fit, None without any; an older summary has no record."""
    if not record or not record["rows"]:
        return None
    return f"{record['rows']:,} rows sent again as their answers did not fit, ${record['usd']:.6f} for those"
