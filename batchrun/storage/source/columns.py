"""Which columns the input has, and what is wrong with one that somebody wants to use."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.storage.source.column_types import unified
from batchrun.storage.source.input_file import where
from batchrun.storage.source.source_file import SourceFile

NAMES_SHOWN = 30


class Columns:
    """The columns of all files that have rows; if none has, of all files."""

    def __init__(self, base: Path, files: Sequence[SourceFile]) -> None:
        with_rows = [file for file in files if file.rows]
        self._has_rows = bool(with_rows)
        # Ten thousand files have one schema between them, or a few: the first file of each speaks for the others.
        first_of: dict[pa.Schema, str] = {}
        seen: set[tuple[int, tuple[str, ...]]] = set()
        for file in with_rows or files:
            alike = id(file.schema), tuple(key for key, _ in file.partitions)
            if alike not in seen:
                seen.add(alike)
                first_of.setdefault(file.columns, where(file.name, base))
        self._kinds = [(path, schema) for schema, path in first_of.items()]
        self.schema, self._clashes = unified(self._kinds)

    def __repr__(self) -> str:
        return f"Columns({', '.join(self.schema.names)}; {len(self._clashes)} clash)"

    def require(self, names: Sequence[str], what: str) -> None:
        """Raise InputError if rows lack one of `names`, have it twice, or have it in types that clash."""
        if not self._has_rows:
            return
        for name in names:
            for path, schema in self._kinds:
                found = len(schema.get_all_field_indices(name))
                if found == 0:
                    raise InputError(f"{what}: no column {name!r} in {path}; {_instead(name, schema.names)}")
                if found > 1:
                    raise InputError(f"{what}: {found} columns are called {name!r} in {path}")
            if clash := self._clashes.get(name):
                raise InputError(
                    f"{what}: column {name!r} is {clash.first_type} in {clash.first_file} "
                    f"but {clash.other_type} in {clash.other_file}"
                )

    def only(self, names: Sequence[str]) -> pa.Schema:
        """Return `names` with their types, in that order."""
        known = set(self.schema.names)
        return pa.schema([(name, self.schema.field(name).type if name in known else pa.null()) for name in names])


def _instead(name: str, names: Sequence[str]) -> str:
    """Return what the file has, the nearest name first."""
    if not names:
        return "it has no columns"
    near = get_close_matches(name, names, n=1) or [other for other in names if other.lower() == name.lower()]
    shown = ", ".join(names[:NAMES_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > NAMES_SHOWN else "")
    return (f"the nearest is {near[0]!r}; " if near else "") + f"it has {shown}"
