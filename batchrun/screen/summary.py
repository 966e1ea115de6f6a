"""The summary of a run: one object for programs, one page for people."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from batchrun.lanes.pool import Pool
from batchrun.screen.answers import Allowed, answers_record, answers_text, misfits_text
from batchrun.screen.caching import cache_text
from batchrun.screen.estimates import InputErrors, estimates_text
from batchrun.screen.printable import in_one_line
from batchrun.screen.tally import Tally
from batchrun.storage.output import Output

# Columns of the table of lanes: what a summary calls them, what people read, and their widths.
_COUNTS = {"calls": ("calls", 9), "ok": ("answered", 10), "throttled": ("throttled", 11), "faults": ("faults", 8)}


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return the page that a person reads at the end of a run."""
    return "\n".join(_lines(summary))


def _lines(summary: Mapping[str, Any]) -> Iterator[str]:
    yield f"{in_one_line(summary['reason'])} (exit {summary['exit_code']})"
    by_status = ", ".join(f"{rows:,} {status}" for status, rows in sorted(summary["by_status"].items()))
    resumed = f"; {summary['resumed']:,} were done before" if summary["resumed"] else ""
    yield f"  rows      {summary['rows']:,}: {by_status or 'none'}{resumed}"
    tokens = summary["tokens"]
    most_usd = summary["usd_unsettled"]
    unsettled = f", and at most ${most_usd:.6f} for calls of unknown end" if most_usd else ""
    yield f"  tokens    {tokens['input']:,} in, {tokens['output']:,} out; ${summary['usd']:.6f}{unsettled}"
    yield f"  time      {summary['wall_s']:.1f} s, bounded by {summary['bounded_by'].replace('_', ' ')}"
    if told := answers_text(summary["max_tokens"]):
        yield f"  answers   {told}"
    if told := misfits_text(summary.get("misfits")):
        yield f"  schema    {told}"
    if told := cache_text(summary["cache"]):
        yield f"  cache     {told}"
    if told := estimates_text(summary["estimates"]):
        yield f"  estimates {told}"
    if told := _plan_text(summary):
        yield f"  plan      {told}"
    if saved := summary.get("dedupe"):
        yield f"  dedupe    {saved['rows']:,} rows had the answer of an equal request, ${saved['usd']:.6f} saved"
    if summary["lanes"]:
        yield from _lane_table(summary["lanes"])
    if summary["faults"]:
        faults = ", ".join(f"{count:,} {code}" for code, count in summary["faults"].items())
        yield f"  faults    {in_one_line(faults)}"
    for example in summary["examples"]:
        told = f": {example['message'][:160]}" if example["message"] else ""
        found = f"{example['rows']:,} × {example['error_code']}, such as row {example['row']}"
        yield f"  {example['status']:<12}{in_one_line(found + told)}"
    for sink in summary.get("sinks", ()):
        behind = f", {sink['outstanding']:,} outstanding" if sink["outstanding"] else ""
        yield f"  sink        {sink['name']}: {sink['delivered']:,} parts delivered{behind}"
    if summary.get("emulated"):
        yield "  note        the answers are an emulator's, made up; no real run will go on with this output"
    for note in summary.get("notes", ()):
        yield f"  note        {in_one_line(note)}"


def _plan_text(summary: Mapping[str, Any]) -> str | None:
    """Say how wrong the plan was, None where the job has not come to its end."""
    plan = summary.get("plan")
    if plan is None:
        return None
    if plan["usd"] is not None:
        dollars = f"${plan['usd']:.4f} foretold, {_off(plan['usd_error'])} the bill"
    else:
        share = _share(summary["usd"], plan)
        dollars = f"${plan['usd_at_most']:.4f} at most for one answer a row, of which the bill is {share}"
    return f"{plan['from']}: {dollars}; input tokens {_off(plan['input_error'])} the count"


def _off(error: float) -> str:
    return f"{100 * abs(error):.1f} % {'above' if error >= 0 else 'below'}"


def _share(usd: float, plan: Mapping[str, Any]) -> str:
    return f"{100 * usd / plan['usd_at_most']:.0f} %" if plan["usd_at_most"] else "all"


def _lane_table(lanes: list[Mapping[str, Any]]) -> Iterator[str]:
    heads = "".join(f"{head:>{width}}" for head, width in _COUNTS.values())
    yield f"  {'lane':<32}{heads}{'quota used':>12}"
    for lane in lanes:
        used = "" if lane["quota_used"] is None else f"{100 * lane['quota_used']:.0f} %"
        counts = "".join(f"{lane[key]:>{width},}" for key, (_, width) in _COUNTS.items())
        yield f"  {lane['name']:<32}{counts}{used:>12}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended."""

    exit_code: int
    reason: str


def run_summary(
    verdict: Verdict, output: Output, tally: Tally, pools: Iterable[Pool], allowed: Allowed
) -> dict[str, Any]:
    """Return what `--json` prints: rows, dollars and tokens over the output's life, the rest of this start."""
    return {
        "exit_code": verdict.exit_code,
        "reason": verdict.reason,
        **_sums(output),
        "wall_s": round(tally.wall_s, 3),
        "lanes": tally.lane_rows(_quota_used(pools, tally.wall_s)),
        "faults": dict(tally.faults.most_common()),
        "examples": [asdict(example) for example in tally.examples()],
        "bounded_by": tally.bounded_by(),
        "max_tokens": answers_record(allowed, tally.lengths, tally.sent_again, tally.input_errors.input_per_row),
        "misfits": {"rows": tally.misfits.rows, "usd": round(tally.misfits.usd, 9)},
        "cache": tally.cache.record() if tally.cache is not None else None,
        "estimates": tally.input_errors.record(),
        "dedupe": {**asdict(tally.saved), "usd": round(tally.saved.usd, 9)} if tally.saved.rows else None,
        "forecast": None,
        "plan": None,
        "resumed": output.found.rows,
        "emulated": output.target.emulated,
        "notes": list(tally.notes),
    }


def _quota_used(pools: Iterable[Pool], wall_s: float) -> dict[str, float | None]:
    """Return each pool's settled tokens as a share of what it could give: a full meter, and what came back since."""
    minutes = 1 + wall_s / 60
    quotas = {pool: pool.quota.tokens_per_minute for pool in pools}
    return {
        pool.name: round(pool.settled_tokens / (quota * minutes), 4) if quota else None
        for pool, quota in quotas.items()
    }


def _sums(output: Output) -> dict[str, Any]:
    totals = output.totals
    return {
        "rows": totals.rows,
        "by_status": dict(totals.by_status),
        "usd": round(totals.spent_usd, 9),
        "usd_unsettled": round(totals.unsettled_usd, 9),
        "tokens": {
            "input": totals.usage.input,
            "output": totals.usage.output,
            "cache_read": totals.usage.cache_read,
            "cache_write": totals.usage.cache_write,
        },
    }


def empty_summary() -> dict[str, Any]:
    """Return the summary of a run that could not start, in the shape of one that did; how it ended is left open."""
    return {
        "exit_code": None,
        "reason": "",
        "rows": 0,
        "by_status": {},
        "usd": 0.0,
        "usd_unsettled": 0.0,
        "tokens": {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0},
        "wall_s": 0.0,
        "lanes": [],
        "faults": {},
        "examples": [],
        "bounded_by": "",
        "max_tokens": None,
        "misfits": {"rows": 0, "usd": 0.0},
        "cache": None,
        "estimates": InputErrors().record(),
        "dedupe": None,
        "forecast": None,
        "plan": None,
        "resumed": 0,
        "emulated": None,
        "notes": [],
    }
