"""Leftovers: what earlier starts left of an output, its parts and the logs of ranges that are none yet."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from batchrun.errors import StorageError
from batchrun.records import Totals
from batchrun.storage.part_facts import PartFacts, read_facts
from batchrun.storage.parts import Target, write_part
from batchrun.storage.ranges import DATA, SPOOL_SUFFIX, Range, Ranges
from batchrun.storage.replay import made_from

READERS = 16  # of parts at once, over a network


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Which ranges are parts, with their sums, which have a log, and the spools, which are written anew."""

    done: Mapping[int, Totals]  # by the number of the range
    begun: Sequence[Range]
    spools: Sequence[Path]


def find_leftovers(target: Target, ranges: Ranges) -> Leftovers:
    """List parts and logs, remove the log of a range that is a part, and write the parts of ranges without rows.

    Raises StorageError if a part is not of this run.
    """
    done: dict[int, Totals] = {}
    begun: list[Range] = []
    parts = target.store.names(DATA)
    left = {path.name: path for path in target.store.wal.iterdir()}
    facts_of = _read_parts(target, [of for of in ranges if of.part_name in parts and of.rows])
    for of in ranges:
        log = left.get(of.log_name)
        if facts := facts_of.get(of.number):
            if log is not None and made_from(log) == facts.digest:
                begun.append(of)  # some of its rows are sent again
                continue
            done[of.number] = facts.totals
            if log is not None:  # a kill between rename and removal left it
                target.store.remove_log(of.log_name)
        elif not of.rows:
            # Anew at every start: an input that had no columns either may have got some since.
            write_part(target, of, Totals(), (), ())
            done[of.number] = Totals()
        elif log is not None:
            begun.append(of)
    return Leftovers(done, begun, [path for name, path in left.items() if name.endswith(SPOOL_SUFFIX)])


def _read_parts(target: Target, some: Sequence[Range]) -> dict[int, PartFacts]:
    """Return what parts say of themselves, by number; over a network many are asked at once."""

    def own_part(of: Range) -> PartFacts:
        facts = read_facts(target.store, of.part)
        strangeness = facts.strangeness(of, target.run_id)
        if strangeness is not None:
            raise StorageError(f"{target.store.where(of.part)}: {strangeness}")
        return facts

    with ThreadPoolExecutor(READERS if target.store.remote else 1) as pool:
        return {facts.number: facts for facts in pool.map(own_part, some)}
