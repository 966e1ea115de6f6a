"""A file that `input.path` led to: its name, its format by its ending, and what its folders say."""

from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import splitext
from urllib.parse import unquote

from batchrun.errors import InputError
from batchrun.storage.source.input_file import InputFile

FORMATS = {".parquet": "parquet", ".parq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
SUPPORTED = ", ".join(FORMATS)
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"  # the folder value that Hive, Spark, DuckDB and Polars write for null

Partitions = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that exists; nothing of it has been read."""

    name: str
    format: str
    at: InputFile

    @property
    def partitions(self) -> Partitions:
        """Return the `key=value` folders of the name, outermost first; the values are text or null."""
        if "=" not in self.name:  # a hundred thousand names need not be taken apart
            return ()
        pairs = (folder.partition("=") for folder in self.name.split("/")[:-1])
        return tuple((unquote(key), _hive_value(value)) for key, equals, value in pairs if key and equals)


def format_of(where: str) -> str:
    """Return the format that the ending of a path or URL stands for.

    Raises InputError if there is none.
    """
    ending = splitext(where)[1]
    if ending.lower() not in FORMATS:
        raise InputError(
            f"{where}: cannot read files that end in {ending!r}; supported are {SUPPORTED}. "
            f"To leave a file out, name a glob such as *.parquet, or begin its name with _"
        )
    return FORMATS[ending.lower()]


def of_one_format(files: Sequence[FoundFile], where: str) -> Sequence[FoundFile]:
    """Return the files of one folder or glob; raises InputError if there is none, or two formats."""
    if not files:
        raise InputError(f"{where}: no files")
    first_of = {file.format: file.name for file in reversed(files)}
    if len(first_of) > 1:
        raise InputError(
            f"{where}: holds more than one format ({', '.join(sorted(first_of.values()))}), "
            f"which may be the same rows twice; name a glob for each that is wanted"
        )
    return files


def _hive_value(text: str) -> str | None:
    return None if text == HIVE_NULL else unquote(text)
