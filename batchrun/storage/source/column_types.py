"""One type for each column over all files, where no value is lost by it; where there is none, both files are named."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as kind

PLAIN_OF_VIEW = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
NOT_MERGED = (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError)


@dataclass(frozen=True, slots=True)
class Clash:
    """A column whose types in two files have no type in common."""

    first_file: str
    first_type: pa.DataType
    other_file: str
    other_type: pa.DataType


def unified(schemas: Iterable[tuple[str, pa.Schema]]) -> tuple[pa.Schema, dict[str, Clash]]:
    """Return the columns of all files in order of first appearance, and those that clash (they have no type).

    `schemas` are pairs of file and schema. Wider integers, decimals, text sizes and time units win; null gives way
    to any type, structs gain each other's fields, and integers beside floats become floats (a value that a float
    cannot hold is an error when it is read).
    """
    types: dict[str, pa.DataType] = {}
    origin: dict[str, str] = {}
    clashes: dict[str, Clash] = {}
    for file, schema in schemas:
        for field in schema:
            name = field.name
            origin.setdefault(name, file)
            before = types.setdefault(name, field.type)
            try:
                types[name] = common_type(before, field.type)
            except TypeError:
                clashes.setdefault(name, Clash(origin[name], before, file, field.type))
    return pa.schema([(name, types[name]) for name in types if name not in clashes]), clashes


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds the values of both; raises TypeError if there is none."""
    if one == other:
        return one
    pair = [pa.schema([("value", one)]), pa.schema([("value", other)])]
    try:
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except NOT_MERGED as error:
        raise TypeError(f"{one} and {other} have no type in common") from error


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return `schema` without metadata, dictionaries, views and extensions: what rows are compared by."""
    return pa.schema([(field.name, plain_type(field.type)) for field in schema])


def plain_type(given: pa.DataType) -> pa.DataType:
    """Return the type of the values themselves, however they are encoded."""
    if isinstance(given, pa.BaseExtensionType):
        return plain_type(given.storage_type)
    if kind.is_dictionary(given) or kind.is_run_end_encoded(given):
        return plain_type(given.value_type)
    if kind.is_struct(given):
        return pa.struct([(field.name, plain_type(field.type)) for field in given])
    if kind.is_list(given):
        return pa.list_(plain_type(given.value_type))
    if kind.is_large_list(given):
        return pa.large_list(plain_type(given.value_type))
    return PLAIN_OF_VIEW.get(given, given)


def as_type(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return `values` as `wanted`; raises ArrowInvalid if one of them does not fit."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    return values if values.type == wanted else values.cast(wanted)


def repeated_names(schema: pa.Schema) -> Iterator[str]:
    """Yield each column name that occurs more than once."""
    seen: set[str] = set()
    for name in schema.names:
        if name in seen:
            yield name
        seen.add(name)
