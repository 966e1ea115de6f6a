"""Arrow's types as Delta Lake has them: what it lacks becomes the next wider type, or text."""

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.sinks.nested import is_list, with_leaves
from batchrun.sinks.plain import PER_SECOND, iso, seconds
from batchrun.sinks.text import is_text

SIGNED = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20),
    pa.float16(): pa.float32(),
    pa.null(): pa.string(),
}
MOST_DIGITS = 38
PER_DAY = {unit: 86_400 * per_second for unit, per_second in PER_SECOND.items()}
MOST_DAYS = 365 * 262_000  # either side of 1970; what delta-rs counts days with ends at 262,142 years


def delta_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema that a table for rows of `schema` has; every column may hold nulls."""
    return pa.schema([pa.field(field.name, delta_type(field.type)) for field in schema])


def delta_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the types of `schema`, which is `delta_schema` of its own."""
    return pa.record_batch([with_leaves(column, _array) for column in batch.columns], schema=schema)


def delta_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that Delta Lake has for one of Arrow's: whole numbers with a sign, moments in µs and UTC."""
    if kind in SIGNED:
        return SIGNED[kind]
    if is_text(kind) or pa.types.is_time(kind):
        return pa.string()
    if pa.types.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if _fits(kind) else pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_duration(kind):
        return pa.float64()
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind):
        return delta_type(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, delta_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(delta_type(kind.key_type), delta_type(kind.item_type))
    if is_list(kind):
        return pa.list_(delta_type(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        return delta_type(kind.storage_type)
    return kind


def _array(array: pa.Array) -> pa.Array:
    """Return a column that is not nested with its `delta_type`; ns are cut to µs."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return with_leaves(array.dictionary_decode(), _array)
    if pa.types.is_time(kind):
        return iso(array)
    if pa.types.is_duration(kind):
        return seconds(array)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = _within_reach(array)
    return pc.cast(array, options=pc.CastOptions(target_type=delta_type(kind), allow_time_truncate=True))


def _within_reach(array: pa.Array) -> pa.Array:
    """Return moments or days, with null for those that the table's statistics have no calendar for."""
    kind = array.type
    per_day = 1 if kind == pa.date32() else PER_DAY["ms" if kind == pa.date64() else kind.unit]
    ticks = array.cast(pa.int32()).cast(pa.int64()) if kind == pa.date32() else array.cast(pa.int64())
    most = min(MOST_DAYS * per_day, 2**63 - 1)
    return pc.if_else(pc.and_(pc.greater_equal(ticks, -most), pc.less_equal(ticks, most)), array, None)


def _fits(kind: pa.DataType) -> bool:
    return bool(kind.precision <= MOST_DIGITS and 0 <= kind.scale <= kind.precision)
