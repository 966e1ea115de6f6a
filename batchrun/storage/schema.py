"""The schema of a result: one and the same for all parts of an output."""

from collections.abc import Sequence

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.records import Outcome

ROW = pa.field("row", pa.int64(), nullable=False)
RESULT = (
    pa.field("status", pa.string(), nullable=False),
    pa.field("text", pa.string()),
    pa.field("stop_reason", pa.string()),
    pa.field("input_tokens", pa.int64()),
    pa.field("output_tokens", pa.int64()),
    pa.field("cache_read_tokens", pa.int64()),
    pa.field("cache_write_tokens", pa.int64()),
    pa.field("cost_usd", pa.float64()),
    pa.field("endpoint", pa.string()),
    pa.field("inference_id", pa.string()),
    pa.field("source_region", pa.string()),
    pa.field("service_tier", pa.string()),
    pa.field("attempts", pa.int32()),
    pa.field("latency_s", pa.float64()),
    pa.field("request_id", pa.string()),
    pa.field("error_code", pa.string()),
    pa.field("error_message", pa.string()),
    pa.field("finished_at", pa.timestamp("ms", tz="UTC")),
)
FEW_VALUES = ["status", "stop_reason", "endpoint", "inference_id", "source_region", "service_tier", "error_code"]


def result_schema(kept: Sequence[pa.Field]) -> pa.Schema:
    """Return the schema of parts that carry the input columns `kept`, the id column first among them.

    Raises InputError if one of them has a result column's name.
    """
    names = {ROW.name, "answer", *(field.name for field in RESULT)}
    for field in kept:
        if field.name in names:
            raise InputError(f"input column {field.name!r} has the name of a result column; leave it out or rename it")
    # A column carried over may hold nulls whatever its file said of it.
    return pa.schema([ROW, *(pa.field(field.name, field.type) for field in kept), *RESULT])


def result_columns(outcomes: Sequence[Outcome]) -> dict[str, list[object]]:
    """Return the result columns of some rows, by name; tokens of rows that were never answered are null."""
    answered = [one if one.stop_reason is not None else None for one in outcomes]
    return {
        "row": [one.row for one in outcomes],
        "status": [one.status.value for one in outcomes],
        "text": [one.text for one in outcomes],
        "stop_reason": [one.stop_reason for one in outcomes],
        "input_tokens": [one and one.usage.input for one in answered],
        "output_tokens": [one and one.usage.output for one in answered],
        "cache_read_tokens": [one and one.usage.cache_read for one in answered],
        "cache_write_tokens": [one and one.usage.cache_write for one in answered],
        "cost_usd": [one.cost_usd for one in outcomes],
        "endpoint": [one.endpoint for one in outcomes],
        "inference_id": [one.inference_id for one in outcomes],
        "source_region": [one.source_region for one in outcomes],
        "service_tier": [one.service_tier for one in outcomes],
        "attempts": [one.attempts for one in outcomes],
        "latency_s": [one.latency_s for one in outcomes],
        "request_id": [one.request_id for one in outcomes],
        "error_code": [one.error_code for one in outcomes],
        "error_message": [one.error_message for one in outcomes],
        "finished_at": [_milliseconds(one.finished_at) for one in outcomes],
    }


def _milliseconds(moment: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(moment).timestamp() * 1000)
