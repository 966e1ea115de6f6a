"""The schema of a result: one and the same for all parts of an output."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.records import Outcome, Status
from batchrun.structured.column import AnswerColumn

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


BEHIND = "text"  # the column that a job's own result columns follow


@dataclass(frozen=True, slots=True)
class Extras:
    """Result columns that only some jobs have, behind `text`: the structured answer, the reasoning, tool calls."""

    answer: AnswerColumn | None = None
    thinking: bool = False
    tool_calls: bool = False

    @property
    def fields(self) -> list[pa.Field]:
        """Return the columns in the order of the result."""
        answer = [pa.field("answer", self.answer.type)] if self.answer is not None else []
        wanted = [name for name, has in (("thinking", self.thinking), ("tool_calls", self.tool_calls)) if has]
        return [*answer, *(pa.field(name, pa.string()) for name in wanted)]

    def columns(self, outcomes: Sequence[Outcome]) -> dict[str, pa.Array]:
        """Return the columns of some rows; only an answer that fits is one."""
        columns = {}
        if self.answer is not None:
            columns["answer"] = self.answer.array([one.text if one.status is Status.OK else None for one in outcomes])
        if self.thinking:
            columns["thinking"] = _array([one.thinking for one in outcomes], pa.string())
        if self.tool_calls:
            columns["tool_calls"] = _array([one.tool_calls for one in outcomes], pa.string())
        return columns


NO_EXTRAS = Extras()


def result_schema(kept: Sequence[pa.Field], extras: Sequence[pa.Field] = ()) -> pa.Schema:
    """Return the schema of parts that carry the input columns `kept`, the id first, and a job's own result columns.

    Raises InputError if one of them has a result column's name, comes twice, or is of a type that Parquet cannot hold.
    """
    names = {ROW.name, "answer", *(field.name for field in (*RESULT, *extras))}
    carried: list[pa.Field] = []
    for field in kept:
        if field.name in names:
            raise InputError(f"input column {field.name!r} has the name of a result column; leave it out or rename it")
        if any(field.name == other.name for other in carried):
            raise InputError(f"input column {field.name!r} is named twice in input.id and input.keep")
        # A column carried over may hold nulls whatever its file said of it.
        carried.append(pa.field(field.name, field.type))
        try:
            stored_schema(pa.schema(carried[-1:]))
        except pa.ArrowException as error:
            raise InputError(f"input column {field.name!r}: Parquet cannot hold {field.type}: {error}") from error
    result = list(RESULT)
    place = 1 + [field.name for field in result].index(BEHIND)
    return pa.schema([ROW, *carried, *result[:place], *extras, *result[place:]])


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema that a Parquet file with this one reads back: seconds, say, become milliseconds."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    return pq.read_schema(pa.BufferReader(sink.getvalue()))


def result_columns(outcomes: Sequence[Outcome]) -> dict[str, pa.Array]:
    """Return the result columns of some rows, by name; tokens of rows that were never answered are null."""
    answered = [one.usage if one.stop_reason is not None else None for one in outcomes]
    columns: dict[str, list[object]] = {
        "row": [one.row for one in outcomes],
        "status": [one.status.value for one in outcomes],
        "text": [one.text for one in outcomes],
        "stop_reason": [one.stop_reason for one in outcomes],
        "input_tokens": [usage and usage.input for usage in answered],
        "output_tokens": [usage and usage.output for usage in answered],
        "cache_read_tokens": [usage and usage.cache_read for usage in answered],
        "cache_write_tokens": [usage and usage.cache_write for usage in answered],
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
        "finished_at": [one.finished_at or None for one in outcomes],
    }
    return {field.name: _array(columns[field.name], field.type) for field in (ROW, *RESULT)}


def _array(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.string()).cast(kind)  # ISO 8601; Arrow parses it faster than Python
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_sayable(value) for value in values], kind)


def _sayable(value: object) -> object:
    """Return text without lone surrogates: JSON can spell them, and so can a model, but no Parquet file."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
