"""Text that is what it says: strings that are no UTF-8, which Parquet files of other writers hold, made readable."""

import pyarrow as pa
import pyarrow.compute as pc


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
    kind = array.type
    if is_text(kind):
        cells = array.cast(pa.large_binary(), safe=False).to_pylist()
        return pa.array([None if cell is None else cell.decode("utf-8", "replace") for cell in cells], kind)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices, _valid(array.dictionary))
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays(
            [_valid(child) for child in array.flatten()], fields=list(kind), mask=array.is_null()
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        # The offsets of a slice begin where the slice does, and so must the values.
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        offsets = pc.subtract(array.offsets, array.offsets[0])
        values = _valid(array.values.slice(first, last - first))
        return type(array).from_arrays(offsets, values, type=kind, mask=array.is_null())
    return array
