"""What a part says of itself in its footer, and the digest by which it proves its own bytes.

The digest is a SHA-256 of the whole file, taken with the digest's own place filled with zeros and written into that
place afterwards. A flipped byte anywhere shows.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import StorageError
from batchrun.records import Totals, Usage
from batchrun.storage.ranges import Range
from batchrun.storage.store import Store

AGAIN = "move it away and run again to have its rows sent again"
KEY = b"batchrun"  # in the footer's key-value metadata
NOT_A_PART = (OSError, pa.ArrowException, KeyError, TypeError, ValueError)  # what reading anything else raises
_NO_DIGEST = "0" * 64
_BEFORE = b'"digest": "'
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What a part says of itself; the digest stands last."""

    number: int
    first_row: int
    last_row: int
    run_id: str
    emulated: bool
    totals: Totals
    digest: str = _NO_DIGEST

    def to_json(self) -> str:
        """Return the text that goes into the footer."""
        told = asdict(self)
        del told["totals"]["waiting_usd"]  # no row of a part waits for an answer
        return json.dumps(told)

    def strangeness(self, of: Range, run_id: str) -> str | None:
        """Return in which way this is not the part of `of` in the run `run_id`, None if it is."""
        if (self.run_id, self.number, self.first_row, self.last_row) == (run_id, of.number, of.first_row, of.last_row):
            return None
        return (
            f"is not this output's part: it holds rows {self.first_row} to {self.last_row} of run {self.run_id}, "
            f"expected {of.first_row} to {of.last_row} of {run_id}; {AGAIN}"
        )


def read_facts(store: Store, part: str) -> PartFacts:
    """Read what a part says of itself; only its footer is read.

    Raises StorageError if the object is no part.
    """
    try:
        with store.open(part) as file:
            return _facts(_told(file))
    except NOT_A_PART as error:
        raise _no_part(store.where(part), error) from error


def proven_facts(store: Store, part: str) -> PartFacts:
    """Read what a part says of itself, and prove its bytes.

    Raises StorageError if the object is no part, or not the bytes that were written.
    """
    try:
        with store.open(part) as file:
            told = _told(file)
            facts = _facts(told)
            digest = _digest(file, _place(file, told))
    except NOT_A_PART as error:
        raise _no_part(store.where(part), error) from error
    if digest != facts.digest:
        raise StorageError(
            f"{store.where(part)}: damaged: its bytes have digest {digest:.12}…, "
            f"written was {facts.digest:.12}…; {AGAIN}"
        )
    return facts


def sign(path: Path, facts: PartFacts) -> None:
    """Write the digest into a part that holds `facts` without one, and sync the file."""
    with path.open("r+b") as file:
        place = _place(file, facts.to_json().encode())
        digest = _digest(file, place)
        file.seek(place)
        file.write(digest.encode())
        file.flush()
        os.fsync(file.fileno())


def facts_in(file: pq.ParquetFile) -> PartFacts:
    """Read what an open part says of itself; what is no part raises one of NOT_A_PART."""
    return _facts((file.metadata.metadata or {})[KEY])


def _told(file: pa.NativeFile) -> bytes:
    told: bytes = (pq.read_metadata(file).metadata or {})[KEY]
    return told


def _facts(told: bytes) -> PartFacts:
    content = json.loads(told)
    totals = content.pop("totals")
    return PartFacts(**content, totals=Totals(**{**totals, "usage": Usage(**totals["usage"])}))


def _place(file: BinaryIO | pa.NativeFile, told: bytes) -> int:
    """Return where the digest stands [bytes from the start].

    Only the footer is searched, from its end and for the whole text with its run id: Thrift writes the key-value
    metadata after all that stems from rows, so nothing that an answer says can pass for it.
    """
    file.seek(-8, os.SEEK_END)
    footer_bytes = int.from_bytes(file.read(4), "little") + 8
    start = file.seek(-footer_bytes, os.SEEK_END)
    place, inside = file.read().rfind(told), told.rfind(_BEFORE)
    if place < 0 or inside < 0:
        raise ValueError("its footer holds no digest")
    return start + place + inside + len(_BEFORE)


def _digest(file: BinaryIO | pa.NativeFile, place: int) -> str:
    """Hash the file with the digest at `place` read as zeros."""
    digest = hashlib.sha256()
    file.seek(0)
    left = place
    while left and (piece := file.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    digest.update(_NO_DIGEST.encode())
    file.seek(place + len(_NO_DIGEST))
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _no_part(path: str, error: Exception) -> StorageError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StorageError(f"{path}: not a part of a batchrun output: {reason}; {AGAIN}")
