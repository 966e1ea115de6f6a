"""`make ablation`: what each part of the quota controller buys: every part is left out in turn.

For every variant and group of meters: the mean makespan ÷ optimum, and the mean share of rows throttled, over cases of
`make simulate` (a, b, b', c and d), seeds and round trips as given. Read a line against the first. Two variants
matter where there are many pools: `--case f --only as-it-is many-after-turn own-tests`; three where pools may be one:
`--case g g0 g1 g2 g3 --only as-it-is never-joined no-parting-at-once no-parting-by-tests`.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from math import inf
from multiprocessing import get_context
from statistics import mean
from typing import Any

from batchrun.lanes.doubt import Doubt, Doubts
from batchrun.lanes.meter import TrailingMinute
from tests.simulate import spare_collector, use_memory
from tests.simulation.cases import CASES, RTTS_MS, Cell
from tests.simulation.run import Result, simulate


@dataclass(frozen=True, slots=True)
class Variant:
    """The controller without one of its parts: names in batchrun.lanes that get another value."""

    name: str
    changes: Sequence[tuple[str, object]] = ()


def _nothing(*_: object, **__: object) -> None:
    """Stand for a method that is left out."""


def _never(*_: object) -> float:
    return inf


def _yes(*_: object) -> bool:
    return True


def _at_once(_: object, *times: float) -> float:
    return times[-1]


_FIRST_INIT = Doubt.__init__


def _apart(doubt: Doubt, common: Doubts) -> None:
    """Give a pool's doubt a plan of its own."""
    _FIRST_INIT(doubt, Doubts(common.full_minute_at_s))


VARIANTS = {
    "as-it-is": Variant("as it is"),
    "no-level": Variant("no level: the minute alone", (("level.Level.ready_at", _at_once),)),
    "no-minute": Variant("no minute: the level alone", (("minute.Minute.fits", _yes),)),
    "no-tests": Variant("the minute is never tested", (("doubt.Doubt.at", _never),)),
    "no-turn": Variant(
        "no window is ever seen to turn",
        (("window.Window.hold", TrailingMinute.hold), ("doubt.ALIGNED_ABOVE_S", inf)),
    ),
    "no-first-turn": Variant("no window begins at the first call", (("window.Window.hold", TrailingMinute.hold),)),
    "no-calendar": Variant("tests not at full minutes", (("doubt.ALIGNED_ABOVE_S", inf),)),
    "no-rarer-tests": Variant("tests do not grow rarer", (("doubt.LONGEST_WAIT_S", 30.0),)),
    "any-unconfirmed": Variant("any number unconfirmed", (("unconfirmed.GROWTH", 1e9),)),
    "doubling": Variant("unconfirmed: doubling (1 for 1)", (("unconfirmed.GROWTH", 1.0),)),
    "no-pin": Variant(
        "a refusal does not lower the level", (("level.Level.pin", _nothing), ("level.Level.repin", _nothing))
    ),
    "no-measured-rate": Variant("rates are not measured", (("level.Level._measure", _nothing),)),
    "no-raise": Variant("rates are not raised again", (("level.Level._raise_rate", _nothing),)),
    "no-reserve": Variant("no reserve below nothing, no slack", (("level.RESERVE", 0.0), ("minute.MOST_SLACK", 0.0))),
    "early-is-wrong": Variant("full early is taken for wrong", (("minute.NEARLY", inf),)),
    "early-for-good": Variant("full early counts for good", (("minute.EARLY_S", inf),)),
    "no-repin": Variant("refusals of one flight do not pin again", (("mirror.Mirror._refused_in_flight", _nothing),)),
    "many-after-turn": Variant("many calls after the first turn", (("mirror.Mirror._try_turn", _nothing),)),
    "own-tests": Variant("each pool tests for itself", (("doubt.Doubt.__init__", _apart),)),
    "never-joined": Variant("pools are never booked as one", (("shared.SHARE", inf),)),
    "no-parting-at-once": Variant(
        "joint pools are not parted at once", (("joint.SPARE_CALLS", inf), ("joint.TOO_MUCH", inf))
    ),
    "no-parting-by-tests": Variant("joint pools are not parted by tests", (("joint.SURPLUS_S", inf),)),
}
FOR_MANY_POOLS = {"many-after-turn", "own-tests", "never-joined", "no-parting-at-once", "no-parting-by-tests"}
GROUPS = {
    "bucket 60 s": "buckets",
    "bucket 10 s": "buckets",
    "bucket 5 s": "buckets",
    "fixed": "fixed",
    "fixed, edge": "fixed",
    "fixed, odd": "odd edge",
    "sliding": "sliding",
}
MEASURED = ("a", "b", "b'", "c", "d")


def main() -> None:
    variants = "\n".join(f"  {key:<20} {variant.name}" for key, variant in VARIANTS.items())
    description = f"{__doc__}\nThe variants:\n{variants}"
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="per case, meter and round trip")
    parser.add_argument("--case", nargs="*", default=MEASURED, choices=list(CASES))
    parser.add_argument("--rtt", nargs="*", type=int, default=[50], choices=RTTS_MS)
    of_one_pool = [key for key in VARIANTS if key not in FOR_MANY_POOLS]
    parser.add_argument(
        "--only", nargs="+", metavar="KEY", default=of_one_pool, help="of variants; default: those of one pool"
    )
    given = parser.parse_args()
    if unknown := [key for key in given.only if key not in VARIANTS]:
        parser.error(f"--only: no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    for variant in VARIANTS.values():
        for path, _ in variant.changes:
            part(path)  # now, and of all: after minutes, in a process of a pool, it would be told as a broken pool
    use_memory()
    wanted = [
        Cell(case.name, meter, rtt_ms, 1_000 * number + rtt_ms)
        for case in (CASES[name] for name in given.case)
        for meter in case.meters
        for rtt_ms in given.rtt
        for number in range(given.seeds)
    ]
    columns = sorted({(cell.case, GROUPS[cell.meter]) for cell in wanted})
    print(f"{'':<60}" + "".join(f"{f'{case} {group}':>18}" for case, group in columns))
    for key in given.only:
        texts = _texts(_run(key, wanted), columns)
        print(f"{key:<20} {VARIANTS[key].name:<39}" + "".join(f"{text:>18}" for text in texts), flush=True)


def _run(key: str, wanted: Sequence[Cell]) -> list[Result]:
    context = get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_leave_out, initargs=(key,)) as pool:
        return list(pool.map(simulate, wanted))


def _leave_out(key: str) -> None:
    """Change what the variant changes, in a process of its own."""
    spare_collector()
    for path, value in VARIANTS[key].changes:
        place, name = part(path)
        setattr(place, name, value)


def part(path: str) -> tuple[Any, str]:
    """Return the module or class that a name of batchrun.lanes stands in, and the name in it.

    Raises AttributeError if it does not stand there itself: with a name that is gone or inherited nothing is left out.
    """
    module, *owners, name = path.split(".")
    place: Any = import_module(f"batchrun.lanes.{module}")
    for owner in owners:
        place = getattr(place, owner)
    if name not in vars(place):
        raise AttributeError(f"{path}: there is no such part to leave out")
    return place, name


def _texts(results: Sequence[Result], columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    grouped: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        grouped[result.cell.case, GROUPS[result.cell.meter]].append(result)
    for column in columns:
        ratio = mean(result.ratio for result in grouped[column])
        throttled = mean(result.throttled / result.rows for result in grouped[column])
        yield f"{ratio:.3f} {100 * throttled:5.1f} %"


if __name__ == "__main__":
    main()
