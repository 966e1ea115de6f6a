"""Finished parts as sinks see them: who they are, and their rows in small batches."""

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import StorageError
from batchrun.sinks.text import with_valid_text
from batchrun.storage.part_facts import PartFacts, facts_in, read_facts
from batchrun.storage.ranges import DATA
from batchrun.storage.store import Store

NAME = re.compile(r"part-[0-9]{6,}\.parquet")  # what else stands in data/ is for `verify` to tell
ROWS_AT_A_TIME = 256
DIGITS = 15  # of the digest in hex: 60 bits fit the signed 64-bit integers that ledgers have


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part of an output: rows `first_row` to `last_row`, one below the first where it is empty.

    `number` is its place in the output and stays; `version` is taken from the digest of its bytes, so it is another
    one once `batchrun retry` has written the part anew. `emulated` says that the answers are an emulator's.
    """

    run_id: str
    number: int
    first_row: int
    last_row: int
    version: int
    emulated: bool
    schema: pa.Schema
    open: Callable[[], AbstractContextManager[pq.ParquetFile]] = field(repr=False)

    @property
    def rows(self) -> int:
        """Return how many rows the part has."""
        return self.last_row - self.first_row + 1

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most 256 and about 4 MB at a time; all text in them is valid UTF-8.

        Raises StorageError if the part was replaced since it was looked at, OSError if its bytes are damaged.
        """
        with self.open() as file:
            if version_of(facts_in(file)) != self.version:
                raise StorageError(f"part {self.number} was replaced while it was delivered")
            for group in range(file.num_row_groups):  # one by one: a batch over several would hold more than one
                for batch in file.iter_batches(ROWS_AT_A_TIME, row_groups=[group], use_threads=False):
                    yield with_valid_text(batch.replace_schema_metadata(None))

    def reader(self) -> pa.RecordBatchReader:
        """Return the same rows as one stream, for libraries that take Arrow."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())


def version_of(facts: PartFacts) -> int:
    """Return the version of the part that says these facts of itself."""
    return int(facts.digest[:DIGITS], 16)


class FinishedParts:
    """The finished parts of one run; a part's footer is read once for every version of it."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.run_id = run_id
        self._store = store
        self._known: dict[str, tuple[Hashable, Part]] = {}
        self._one_at_a_time = Lock()  # the sinks of a job look from threads of their own

    def __repr__(self) -> str:
        return f"FinishedParts({self._store.name}, {len(self._known)} known)"

    def parts(self) -> Mapping[int, Part]:
        """Return the parts that are there now, by number, in order.

        Raises StorageError if an object is no part of this run.
        """
        with self._one_at_a_time:
            found = sorted((name, stamp) for name, stamp in self._store.names(DATA).items() if NAME.fullmatch(name))
            self._known = {name: self._looked(name, stamp) for name, stamp in found}
            return {part.number: part for _, part in self._known.values()}

    def _looked(self, name: str, stamp: Hashable) -> tuple[Hashable, Part]:
        known = self._known.get(name)
        return known if known is not None and known[0] == stamp else (stamp, self._read(f"{DATA}/{name}"))

    def _read(self, name: str) -> Part:
        facts = read_facts(self._store, name)
        if facts.run_id != self.run_id:
            raise StorageError(
                f"{self._store.where(name)}: is of run {facts.run_id}, not of this output's run {self.run_id}"
            )
        opened = partial(_opened, self._store, name)
        with opened() as file:
            schema = file.schema_arrow.remove_metadata()
        return Part(
            facts.run_id,
            facts.number,
            facts.first_row,
            facts.last_row,
            version_of(facts),
            facts.emulated,
            schema,
            opened,
        )


@contextmanager
def _opened(store: Store, name: str) -> Iterator[pq.ParquetFile]:
    with (
        store.open(name) as raw,
        pq.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 16, page_checksum_verification=True) as file,
    ):
        yield file
