"""The delta sink: a Delta Lake table, into which each part goes in one commit with a transaction of its own.

The table's log remembers for every application the version that it wrote last. Here each part is an application of
its own, named by run and number, and its version is the part's: parts may come in any order, a commit holds the rows
and the word that they are there, and the log keeps one entry a part, however often it is replaced.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import TableNotFoundError

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import Delta
from batchrun.sinks.delta_types import delta_batch, delta_schema
from batchrun.sinks.part import Part

OWNER = "batchrun.run_id"  # a property of the table
EMULATED = "batchrun.emulated"
ENDPOINTS = {"endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url"}  # as object_store names it
# The default of a million rows is held in memory as a whole before it is written.
WRITER = WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=2_000)


class DeltaSink:
    """Writes parts to one table, on this machine or in S3."""

    Table = Delta

    def __init__(self, table: Delta) -> None:
        self._uri = table.path
        self._options = _options(table)
        self._table: DeltaTable | None = None

    def __repr__(self) -> str:
        return f"DeltaSink({self._uri})"

    def versions(self, run_id: str, numbers: Iterable[int]) -> Mapping[int, int]:
        """Look the transaction of each part up in the table's log."""
        table = self._opened()
        if table is None:
            return {}
        owner = table.metadata().configuration.get(OWNER)
        if owner != run_id:
            whose = "a table that no run delivered" if owner is None else f"the results of run {owner}"
            raise SinkError(f"{self._uri}: holds {whose}, this output is run {run_id}: name another path")
        found = {number: table.transaction_version(_application(run_id, number)) for number in numbers}
        return {number: version for number, version in found.items() if version is not None}

    def deliver(self, part: Part) -> None:
        """Commit the rows of a part and its transaction, in place of whatever its range of rows held."""
        table = self._opened() or self._created(part)
        schema = delta_schema(part.schema)
        rows = pa.RecordBatchReader.from_batches(schema, (delta_batch(batch, schema) for batch in part.batches()))
        # Without a time, so that delta.setTransactionRetentionDuration never lets it expire.
        transaction = Transaction(_application(part.run_id, part.number), part.version)
        # The same for new parts: an append would be quicker, but no part is ever there twice this way.
        write_deltalake(
            table,
            rows,
            mode="overwrite",
            predicate=f"row >= {part.first_row} AND row <= {part.last_row}",
            writer_properties=WRITER,
            commit_properties=CommitProperties(app_transactions=[transaction]),
        )

    def close(self) -> None:
        """Let go of the table."""
        self._table = None

    def _opened(self) -> DeltaTable | None:
        """Return the table as it is now, None if there is none."""
        if self._table is None:
            with suppress(TableNotFoundError):
                self._table = DeltaTable(self._uri, storage_options=self._options)
        else:
            self._table.update_incremental()
        return self._table

    def _created(self, part: Part) -> DeltaTable:
        self._table = DeltaTable.create(
            self._uri,
            delta_schema(part.schema),
            configuration={OWNER: part.run_id, EMULATED: str(part.emulated).lower()},
            storage_options=self._options,
            raise_if_key_not_exists=False,
        )
        return self._table


def _options(table: Delta) -> dict[str, str]:
    """Return the options of a table's store, with what a store other than Amazon S3 needs besides."""
    given = dict(table.storage_options)
    if not table.path.startswith("s3://"):
        return given
    endpoint = next((value for key, value in given.items() if key.lower() in ENDPOINTS), "")
    # Without the first, keys in shared files are not looked for once an endpoint is named.
    needed = {"AWS_FORCE_CREDENTIAL_LOAD": "true"}
    if endpoint.startswith("http://"):
        needed["AWS_ALLOW_HTTP"] = "true"
    return needed | given


def _application(run_id: str, number: int) -> str:
    return f"batchrun/{run_id}/{number}"
