"""The load: what each row asks and how long its answer is, by seed; and the input that is made of it on the fly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa

from batchrun.storage.source import RowBatch, Source, SourceFile
from batchrun.storage.source.batches import BATCH_ROWS

# As in the quota study: about 170 input tokens that are known within 5 %, answers lognormal around 60 tokens.
MEDIAN_OUTPUT_TOKENS = 60
SIGMA = 0.6
BYTES_PER_TOKEN = 3.6
UNKNOWN = 0.05
FRAME_TOKENS = 8  # what surrounds the text; the client's own guess is the same, the text is what it has to learn
LENGTHS = 32  # texts of 500 to 655 bytes
CYCLE = 9_973  # rows until sizes repeat, prime so that they do not meet the texts' cycle; a run may have millions
SCHEMA = pa.schema([("text", pa.string())])
_WORDS = "the quick brown fox jumps over the lazy dog and on it goes for a while "
TEXTS = tuple((_WORDS * 10)[: 500 + 5 * length] for length in range(LENGTHS))


@dataclass(frozen=True, slots=True)
class Size:
    """What a row takes when nothing cuts its answer."""

    input_tokens: int
    output_tokens: int


class Load:
    """The sizes of all rows of a seed."""

    def __init__(self, rows: int, seed: int, outputs: Sequence[int] = ()) -> None:
        """Take the number of rows and the seed; `outputs` gives answers' lengths in a cycle instead of lognormal."""
        chance = Random(seed)
        self.rows = rows
        self._sizes = [
            Size(
                round(FRAME_TOKENS + len(_text(row)) / BYTES_PER_TOKEN * chance.uniform(1 - UNKNOWN, 1 + UNKNOWN)),
                outputs[row % len(outputs)]
                if outputs
                else max(1, round(MEDIAN_OUTPUT_TOKENS * chance.lognormvariate(0, SIGMA))),
            )
            for row in range(min(rows, CYCLE))
        ]

    def __repr__(self) -> str:
        return f"Load({self.rows} rows)"

    def size(self, row: int) -> Size:
        """Return what `row` takes."""
        return self._sizes[row % len(self._sizes)]


class SimulatedSource(Source):
    """An input of one column `text` that nobody wrote: rows are made as they are read."""

    def __init__(self, rows: int) -> None:
        super().__init__(Path("/"), [SourceFile("simulated.parquet", "parquet", rows, 0, 0, "", SCHEMA, ())])

    def read(self, columns: Sequence[str], first_row: int, stop_row: int) -> Iterator[RowBatch]:
        """Yield the rows in batches as large as real ones."""
        self.require(columns, "the simulation")
        for first in range(first_row, stop_row, BATCH_ROWS):
            texts = [_text(row) for row in range(first, min(first + BATCH_ROWS, stop_row))]
            yield RowBatch(first, pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=SCHEMA))


def _text(row: int) -> str:
    return TEXTS[row % LENGTHS]
