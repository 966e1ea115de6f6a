"""The lengths of the latest answers that an output holds, for a start that learns from them."""

from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.storage.ranges import Range, Ranges
from batchrun.storage.replay import LATEST, Replay
from batchrun.storage.store import Store


def latest_lengths(store: Store, ranges: Ranges, log_of: Callable[[Range], Replay | None]) -> Iterator[int]:
    """Yield the lengths of at least the LATEST answers [tokens], the oldest first, or of all where there are fewer.

    The last ranges count as the latest; of their parts one column is read, and few row groups.
    """
    pieces: list[list[int]] = []
    wanted = LATEST
    for of in reversed(list(ranges)):
        if wanted <= 0:
            break
        log = log_of(of)
        piece = list(log.lengths) if log is not None else _of_part(store, of, wanted)
        pieces.append(piece)
        wanted -= len(piece)
    return chain.from_iterable(reversed(pieces))


def _of_part(store: Store, of: Range, wanted: int) -> list[int]:
    """Return the lengths of a part's last answers, none if it cannot be read: what is learnt is no result."""
    if not of.rows or not store.exists(of.part):
        return []
    pieces: list[list[int]] = []
    try:
        with store.open(of.part) as opened, pq.ParquetFile(opened, pre_buffer=False) as file:
            for group in reversed(range(file.num_row_groups)):
                if wanted <= 0:
                    break
                column = file.read_row_group(group, columns=["output_tokens"]).column(0).drop_null()
                pieces.append(column.to_pylist())
                wanted -= len(column)
    except (OSError, pa.ArrowException):
        return []
    return list(chain.from_iterable(reversed(pieces)))
