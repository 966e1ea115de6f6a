"""What the manifest keeps of one input file: enough to know it again, and to plan without opening it."""

import base64
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import pyarrow as pa

from batchrun.storage.source.facts import Marks
from batchrun.storage.source.found_file import Partitions
from batchrun.storage.source.input_file import Version


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One input file as it was when it was scanned."""

    name: str  # relative to the job's folder with /, or absolute, or an s3:// URL
    format: str
    rows: int
    size_bytes: int
    mtime_ns: int
    digest: str  # sha256: of a Parquet file's size and footer, of a text file's content
    schema: pa.Schema  # the file's own columns, dictionaries and views as plain types
    partitions: Partitions  # columns given by key=value folders; they hide columns of the same name in the file
    etag: str = ""  # of an object in a store
    marks: Marks = ()  # where reading can begin in a large text file

    @property
    def version(self) -> Version:
        """Return the version that was scanned."""
        return Version(self.size_bytes, self.mtime_ns, self.etag)

    @property
    def columns(self) -> pa.Schema:
        """Return the columns that a reader sees: the file's own, then those of its folders (text)."""
        given = dict(self.partitions)
        own = [field for field in self.schema if field.name not in given]
        return pa.schema([*own, *(pa.field(key, pa.string()) for key in given)])

    def is_same_content(self, other: "SourceFile") -> bool:
        """Tell whether both hold the same rows under the same name; a new time of change alone is no difference."""
        return (self.name, self.size_bytes, self.digest) == (other.name, other.size_bytes, other.digest)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values; the schema is packed, since ten thousand files repeat it."""
        told = {
            "name": self.name,
            "format": self.format,
            "rows": self.rows,
            "size_bytes": self.size_bytes,
            "mtime_ns": self.mtime_ns,
            "digest": self.digest,
            "schema": packed(self.schema),
            "partitions": dict(self.partitions),
        }
        if self.etag:
            told["etag"] = self.etag
        if self.marks:
            told["marks"] = [list(mark) for mark in self.marks]
        return told

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """Return the record that `to_json` wrote."""
        return cls(
            name=kept["name"],
            format=kept["format"],
            rows=kept["rows"],
            size_bytes=kept["size_bytes"],
            mtime_ns=kept["mtime_ns"],
            digest=kept["digest"],
            schema=unpacked(kept["schema"]),
            partitions=tuple(kept["partitions"].items()),
            etag=kept.get("etag", ""),
            marks=tuple((row, first_byte) for row, first_byte in kept["marks"]) if "marks" in kept else (),
        )


@lru_cache(maxsize=256)
def packed(schema: pa.Schema) -> str:
    """Return a schema as text for JSON."""
    return base64.b64encode(zlib.compress(schema.serialize().to_pybytes())).decode()


@lru_cache(maxsize=256)
def unpacked(text: str) -> pa.Schema:
    """Return the schema that `packed` wrote."""
    return pa.ipc.read_schema(pa.py_buffer(zlib.decompress(base64.b64decode(text))))
