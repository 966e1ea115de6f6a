"""Nested columns taken apart and put together again: lists, structs and maps around leaves that were changed."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

Convert = Callable[[pa.Array], pa.Array]


def is_list(kind: pa.DataType) -> bool:
    """Tell whether cells of this type are lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def with_leaves(array: pa.Array, convert: Convert) -> pa.Array:
    """Return the column with every column in it that is not nested put through `convert`.

    Lists of all kinds come back as plain lists, extension types as what they are stored as.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return with_leaves(array.storage, convert)
    if pa.types.is_struct(kind):
        children = [with_leaves(child, convert) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, names=[field.name for field in kind], mask=array.is_null())
    if pa.types.is_map(kind):
        pairs = pairs_of(array)
        keys, values = (with_leaves(child, convert) for child in pairs.flatten().flatten())
        return pa.MapArray.from_arrays(_offsets(pairs), keys, values, mask=array.is_null())
    if is_list(kind):
        return pa.ListArray.from_arrays(_offsets(array), with_leaves(array.flatten(), convert), mask=array.is_null())
    return convert(array)


def pairs_of(array: pa.Array) -> pa.Array:
    """Return a column of maps as lists of structs with a key and a value."""
    kind = array.type
    pair = pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)])
    return array.cast(pa.list_(pair))


def _offsets(lists: pa.Array) -> pa.Array:
    """Return where each list begins among the cells of those that are not null."""
    lengths = pc.if_else(lists.is_valid(), pc.list_value_length(lists).cast(pa.int32()), 0)
    ends = pc.cumulative_sum(lengths).cast(pa.int32())
    return pa.concat_arrays([pa.array([0], pa.int32()), ends])
