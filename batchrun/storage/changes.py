"""Input files that changed since an output was begun: which may, and what is said of those that may not."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from batchrun.errors import InputError
from batchrun.storage.manifest import Manifest
from batchrun.storage.source import Source, SourceFile

FILES_SHOWN = 20
FRESH = "start anew with --fresh (it moves the old output aside)"

RowsAre = Callable[[int, int], bool]


def input_changes(old: Manifest, source: Source) -> list[str]:
    """Return a line for each input file of the output that is missing or has changed, the first 20 and how many more.

    New files are no change: their rows come after all others. Files whose absence was accepted are none either.
    """
    return _first([line for _, line in _changes(old, source)])


def check_changes(
    output: str, old: Manifest, source: Source, unfinished: RowsAre, begun: RowsAre, *, accept: bool
) -> list[str]:
    """Return the names of the files whose change is accepted now.

    Accepted changes leave the results that are there as they are, and rows without one are read from what is there
    now. `unfinished` tells whether any of the rows from a first to a stop row lacks its part, `begun` whether any of
    them may have its outcome in a log, where the columns that are carried over would come from another content.
    Raises InputError naming each change that is not accepted, or that cannot be: rows keep their numbers for ever.
    """
    if [file.name for file in source.files[: len(old.files)]] != [file.name for file in old.files]:
        raise InputError(f"{output}: its input files stand in another order by now; run again")
    changes = _changes(old, source)
    if not changes:
        return []
    stops = list(accumulate(file.rows for file in old.files))
    places = {file.name: (stop - file.rows, stop) for file, stop in zip(old.files, stops, strict=True)}
    now = {file.name: file for file in source.files}
    impossible = []
    for file, line in changes:
        first_row, stop_row = places[file.name]
        if file.name in source.missing:
            if unfinished(first_row, stop_row):
                impossible.append(f"{line}, and rows {first_row} to {stop_row - 1} are not all done: put it back")
        elif begun(first_row, stop_row):
            impossible.append(
                f"{line}, and some of rows {first_row} to {stop_row - 1} are answered and have no part yet"
            )
        elif now[file.name].rows != file.rows:
            impossible.append(f"{line}: with another number of rows, all behind it would change their numbers")
    if not accept:
        listed = "\n".join(f"  {line}" for line in _first([line for _, line in changes]))
        way_on = (
            ", or go on with --accept-input-changes: results that are there stay as they are, rows without one are "
            "read from the files of now"
        )
        raise InputError(
            f"{output}: the input is not what it was:\n{listed}\nPut it back, or {FRESH}{'' if impossible else way_on}."
        )
    if impossible:
        listed = "\n".join(f"  {line}" for line in _first(impossible))
        raise InputError(f"{output}: --accept-input-changes cannot accept this:\n{listed}\nPut it back, or {FRESH}.")
    return [file.name for file, _ in changes]


def _changes(old: Manifest, source: Source) -> list[tuple[SourceFile, str]]:
    """Return each file of the output that is not what it was, as it was, and what is said of it."""
    now = {file.name: file for file in source.files}
    changes = []
    for file in old.files:
        found = now.get(file.name)
        if found is None or file.name in source.missing:
            if file.name not in old.gone:
                changes.append((file, f"input file {file.name}: missing"))
        elif not found.is_same_content(file):
            sizes = f"{file.rows} rows, {file.size_bytes} bytes before; {found.rows} rows, {found.size_bytes} bytes now"
            changes.append((file, f"input file {file.name}: changed ({sizes})"))
    return changes


def _first(lines: Sequence[str]) -> list[str]:
    more = len(lines) - FILES_SHOWN
    return [*lines[:FILES_SHOWN], *([f"and {more} further input files"] if more > 0 else [])]
