"""How a run ended: its exit code and the reason, from what is done and what stopped it."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.errors import BatchrunError
from batchrun.readyjob import ReadyJob
from batchrun.runaway import MaxFailed
from batchrun.screen.summary import Verdict
from batchrun.sinks.delivery import Lag
from batchrun.storage.output import Output


def probe_verdict(ready: ReadyJob, probed: Mapping[str, Any]) -> Verdict:
    """Return how a probe ended that nothing stopped."""
    rows, not_ok, most = probed["rows"], probed["not_ok"], ready.spec.limits.max_failed
    if MaxFailed(most).allows(not_ok, rows):
        return Verdict(0, f"probed: {rows:,} rows have their results; a run sends the others")
    return Verdict(1, f"probed: {not_ok:,} of {rows:,} rows are not ok, above limits.max_failed = {most:g}")


def run_verdict(ready: ReadyJob, output: Output, stopped: BatchrunError | None, lags: Sequence[Lag]) -> Verdict:
    """Return how a run ended over `output`, with sinks that are so far behind."""
    if not output.finished:
        if stopped is not None:
            return Verdict(stopped.exit_code, str(stopped))
        limit, taken_on = ready.spec.limits.rows, output.ranges.rows
        if limit is None:
            return Verdict(4, "ranges without a part remain")
        return Verdict(3, f"limits.rows = {limit} is reached; an earlier start took on {taken_on} rows: run without it")
    if behind := [line for lag in lags if (line := lag.line())]:
        why = str(stopped) if stopped is not None else "every row has its result"
        return Verdict(3 if stopped is not None else 4, f"{why}; {'; '.join(behind)}")
    rows, ok = output.totals.rows, output.totals.by_status.get("ok", 0)
    most = ready.spec.limits.max_failed
    if MaxFailed(most).allows(rows - ok, rows):
        return Verdict(0, "finished")
    return Verdict(1, f"finished, but {rows - ok} of {rows} rows are not ok, above limits.max_failed = {most:g}")
