"""How wrong a plan was: what a probe foretold, or what a sample would have said, beside what the rows came to."""

import json
from typing import Any

from batchrun.errors import BatchrunError
from batchrun.forecast.estimates import Estimates, Row
from batchrun.forecast.sample import take_sample
from batchrun.readyjob import ReadyJob
from batchrun.records import Totals
from batchrun.storage.source import Source
from batchrun.storage.store import SUMMARY, Store


def earlier_forecast(store: Store) -> dict[str, Any] | None:
    """Return what a probe of this output foretold, as the last summary carries it; None where there was no probe."""
    try:
        forecast = json.loads(store.read(SUMMARY)).get("forecast")
    except (OSError, ValueError, AttributeError, RecursionError, BatchrunError):
        return None  # a summary is nobody's to rely on
    known = isinstance(forecast, dict) and {"usd", "input_tokens", "rows", "of_rows"} <= forecast.keys()
    return forecast if known else None


def hindsight(
    ready: ReadyJob, source: Source, totals: Totals, forecast: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Compare a plan with a job that has come to its end; None where nothing was paid, or the input has gone.

    Errors are plan / outcome - 1. Without a probe a plan knows the input, as it estimates it without CountTokens, and
    bounds the dollars.
    """
    usage = totals.usage
    billed = usage.input + usage.cache_read + usage.cache_write
    if not billed or not totals.cost_usd:
        return None
    if forecast is not None and forecast["of_rows"] == totals.rows:  # else the input has grown since
        told = {"from": f"a probe of {forecast['rows']:,} rows", "usd": forecast["usd"], "usd_at_most": None}
        input_tokens = forecast["input_tokens"]
    else:
        try:
            sample = take_sample(ready, source, totals.rows, count=False)
        except (BatchrunError, OSError):
            return None
        estimates = Estimates(ready, round(totals.rows * sample.sendable), Row(sample.input_per_row))
        at_most = max(usd["at_most"] for usd in estimates.usd().values())
        told = {"from": f"a sample of {sample.rows:,} rows", "usd": None, "usd_at_most": at_most}
        input_tokens = round(sample.input_per_row * estimates.rows)
    return {
        **told,
        "input_tokens": input_tokens,
        "input_error": round(input_tokens / billed - 1, 4),
        "usd_error": round(told["usd"] / totals.cost_usd - 1, 4) if told["usd"] is not None else None,
    }
