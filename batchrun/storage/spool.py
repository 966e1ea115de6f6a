"""The spool of a range: the input columns that a result carries over, kept on disk as Arrow until the part is written.

The reader passes a range's rows once, long before their outcomes are there; types survive, memory stays flat. A spool
is never trusted across a restart: the reader passes the range again and writes it anew.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from batchrun.storage.files import named


class Spool:
    """Appends batches of carried-over columns, and gives them back in order."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._path = path
        with named(path):
            self._file = pa.OSFile(str(path), mode="wb")
            self._writer = pa.ipc.new_stream(self._file, schema)

    def append(self, batch: pa.RecordBatch) -> None:
        """Add the next rows."""
        with named(self._path):
            self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def finish(self) -> None:
        """End the file; nothing is appended afterwards."""
        with named(self._path):
            self._writer.close()
            self._file.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order."""
        with pa.OSFile(str(self._path), mode="rb") as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)
