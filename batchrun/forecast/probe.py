"""A probe: a few rows spread over the whole input are sent before the rest, to know what all of them will cost.

Their answers are results like any other, and stay. What the rows cost on average is told with an interval: stretches of
the input vary, and so do the lengths of answers; where answers' lengths have a deviation of 66 % of their mean, as with
a lognormal sigma of 0.6, 200 rows are within 9 % of it in 95 of 100 cases, and 700 within 5 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from batchrun.backlog import Span
from batchrun.bedrock.card import Prices
from batchrun.forecast.estimates import Estimates, Row
from batchrun.lanes.budget import dollars, price_order
from batchrun.readyjob import ReadyJob
from batchrun.records import Outcome, Status
from batchrun.storage.output import MOST_OPEN_RANGES, Output

STRETCHES = 50  # each opens a range at most, and is read on its own
LEAST_STRETCHES = 5  # for an interval: fewer say nothing of how they vary
GOAL = 0.05  # of the bill: how close a probe should come


def probe_spans(output: Output, stop_row: int, rows: int) -> list[Span]:
    """Return stretches of about `rows` rows in all, spread evenly over what has no part yet, each inside a range.

    The same output gives the same rows, so a probe that was cut short goes on. No more ranges are opened than an output
    may have open: they stay open until a run.
    """
    waiting = [of for of in output.ranges if not output.is_part(of) and of.first_row < stop_row]
    may_open = MOST_OPEN_RANGES - 1 - output.open_ranges
    stretches = STRETCHES
    while stretches:
        spans = _spread([(of.first_row, min(of.stop_row, stop_row)) for of in waiting], rows, stretches)
        if len({output.range_of(first).number for first, _ in spans if output.begins(first)}) <= may_open:
            return spans
        stretches //= 2
    begun = [of for of in waiting if not output.begins(of.first_row)]
    return _spread([(of.first_row, min(of.stop_row, stop_row)) for of in begun], rows, STRETCHES)


def _spread(pieces: Sequence[Span], rows: int, stretches: int) -> list[Span]:
    total = sum(stop - first for first, stop in pieces)
    stretches = min(rows, total, stretches)
    if not stretches:
        return []
    each = -(-min(rows, total) // stretches)
    starts = [int(place * total / stretches + max(0.0, (total / stretches - each) / 2)) for place in range(stretches)]
    return list(_spans(pieces, starts, each))


def _spans(pieces: Sequence[Span], starts: Sequence[int], each: int) -> Iterator[Span]:
    """Turn places among the rows of all pieces together into rows; none overlaps the one before."""
    place = passed = reached = 0
    for start in starts:
        while start - passed >= pieces[place][1] - pieces[place][0]:
            passed += pieces[place][1] - pieces[place][0]
            place += 1
        first_of_piece, stop_of_piece = pieces[place]
        first_row = max(first_of_piece, min(first_of_piece + start - passed, stop_of_piece - each), reached)
        reached = max(first_row, min(first_row + each, stop_of_piece))
        if reached > first_row:
            yield first_row, reached


@dataclass(slots=True)
class _Stretch:
    """Sums over the rows of one stretch; `price` is dollars by the price of their class, so that classes compare."""

    rows: int = 0
    not_ok: int = 0
    usd: float = 0.0
    priced: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, outcome: Outcome, prices: Prices, price: float) -> None:
        """Count a row; one that had the answer of an equal request as if it had been sent, as the others may be."""
        usage = outcome.usage
        self.rows += 1
        self.not_ok += outcome.status is not Status.OK
        self.usd += outcome.cost_usd
        self.priced += (outcome.cost_usd if outcome.attempts else dollars(usage, prices)) / price
        self.input_tokens += usage.input + usage.cache_read + usage.cache_write
        self.output_tokens += usage.output


def probe_record(ready: ReadyJob, output: Output, stop_row: int, spans: Sequence[Span]) -> dict[str, Any]:
    """Return what the rows of `spans` cost, and what all rows will by that; meant for a thread."""
    order = price_order(ready.prices)
    stretches = [_sums(ready, output, span) for span in spans]
    seen = [one for one in stretches if one.rows]
    rows = sum(one.rows for one in seen)
    totals = output.totals
    left = max(0, stop_row - totals.rows)
    told: dict[str, Any] = {
        "rows": rows,
        "not_ok": sum(one.not_ok for one in seen),
        "asked": sum(stop - first for first, stop in spans),
        "usd": round(sum(one.usd for one in seen), 9),
        "rows_left": left,
        "forecast": None,
    }
    if not rows:
        return told
    row = Row(sum(one.input_tokens for one in seen) / rows, sum(one.output_tokens for one in seen) / rows)
    expected = Estimates(ready, left, row).expected("") or {}
    price = sum(share * order[name] for name, share in expected["shares"].items())
    mean = price * sum(one.priced for one in seen) / rows
    half = _half_width(seen, price, left)
    bill = totals.cost_usd + left * mean
    told["forecast"] = {
        "usd": round(bill, 6),
        "usd_low": round(max(totals.cost_usd, bill - half), 6) if half is not None else None,
        "usd_high": round(bill + half, 6) if half is not None else None,
        "rows_for_goal": _rows_for_goal(rows, half, bill, left),
        "input_tokens": totals.usage.input + totals.usage.cache_read + totals.usage.cache_write
        + round(left * row.input),
        "output_tokens": totals.usage.output + round(left * (row.output or 0.0)),
        "output_per_row": round(row.output or 0.0, 1),
        "input_per_row": round(row.input, 1),
        "minutes": expected["minutes"],
    }  # fmt: skip
    return told


def _sums(ready: ReadyJob, output: Output, span: Span) -> _Stretch:
    stretch, (first_row, stop_row) = _Stretch(), span
    class_of = {lane.inference_id: lane.price_class for lane in ready.lanes}
    order = price_order(ready.prices)
    cheapest = min(class_of.values(), key=order.__getitem__)
    for outcome in output.outcomes_in(output.range_of(first_row)):
        if first_row <= outcome.row < stop_row:
            name = class_of.get(outcome.inference_id or "", cheapest)
            stretch.add(outcome, ready.prices[name], order[name])
    return stretch


def _half_width(stretches: Sequence[_Stretch], price: float, left: int) -> float | None:
    """Return how far the rest's dollars may be from their estimate, in 95 of 100 cases; None with too few stretches.

    Rows of one stretch may be alike, so it is the stretches that are compared: the deviation of a ratio of their sums.
    """
    count = len(stretches)
    if count < LEAST_STRETCHES:
        return None
    rows = sum(one.rows for one in stretches)
    mean = sum(one.priced for one in stretches) / rows
    squares = sum((one.priced - mean * one.rows) ** 2 for one in stretches)
    deviation = sqrt(squares * count / (count - 1)) / rows
    student = 1.96 + 2.5 / (count - 1)  # within 3 % of Student's t from 9 degrees of freedom on
    return student * deviation * price * left * sqrt(1 + rows / left) if left else 0.0


def _rows_for_goal(rows: int, half: float | None, bill: float, left: int) -> int | None:
    """Return how many rows a probe needs to come within GOAL; None where this one does, or nobody can tell."""
    if half is None or bill <= 0 or half <= GOAL * bill:
        return None
    return min(rows + left, round(rows * (half / (GOAL * bill)) ** 2))
