"""Text that is what it says: strings that are no UTF-8, which Parquet files of other writers hold, made readable."""

import pyarrow as pa

from batchrun.sinks.nested import with_leaves


def with_valid_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with U+FFFD where its text is not UTF-8; nearly always that is the batch itself."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return pa.record_batch([_valid(column) for column in batch.columns], schema=batch.schema)
    return batch


def is_text(kind: pa.DataType) -> bool:
    """Tell whether cells of this type are text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _valid(array: pa.Array) -> pa.Array:
    return with_leaves(array, _valid_leaf).cast(array.type)


def _valid_leaf(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices, _valid(array.dictionary))
    if not is_text(kind):
        return array
    cells = array.cast(pa.large_binary(), safe=False).to_pylist()
    return pa.array([None if cell is None else cell.decode("utf-8", "replace") for cell in cells], kind)
