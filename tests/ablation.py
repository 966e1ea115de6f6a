"""`make ablation`: what each part of the quota controller buys: every part is left out in turn.

For every variant and group of meters: the mean makespan ÷ optimum, and the mean share of rows throttled, over cases of
`make simulate` (a, b, b', c and d), seeds and round trips as given. Read a line against the first. Variants 18 and 19
matter where there are many pools: `--case f --only 0 17 18 19`; the last three where pools may be one:
`--case g g0 g1 g2 g3 --only 0 20 21 22`.
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


VARIANTS = (
    Variant("as it is"),
    Variant("no level: the minute alone", (("level.Level.ready_at", _at_once),)),
    Variant("no minute: the level alone", (("minute.Minute.fits", _yes),)),
    Variant("the minute is never tested", (("doubt.Doubt.at", _never),)),
    Variant(
        "no window is ever seen to turn",
        (("window.Window.hold", TrailingMinute.hold), ("doubt.ALIGNED_ABOVE_S", inf)),
    ),
    Variant("no window begins at the first call", (("window.Window.hold", TrailingMinute.hold),)),
    Variant("tests not at full minutes", (("doubt.ALIGNED_ABOVE_S", inf),)),
    Variant("tests do not grow rarer", (("doubt.LONGEST_WAIT_S", 30.0),)),
    Variant("any number unconfirmed", (("unconfirmed.GROWTH", 1e9),)),
    Variant("unconfirmed: doubling (1 for 1)", (("unconfirmed.GROWTH", 1.0),)),
    Variant("a refusal does not lower the level", (("level.Level.pin", _nothing), ("level.Level.repin", _nothing))),
    Variant("rates are not measured", (("level.Level._measure", _nothing),)),
    Variant("rates are not raised again", (("level.Level._raise_rate", _nothing),)),
    Variant("no reserve below nothing, no slack", (("level.RESERVE", 0.0), ("minute.MOST_SLACK", 0.0))),
    Variant("full early is taken for wrong", (("minute.NEARLY", inf),)),
    Variant("full early counts for good", (("minute.EARLY_S", inf),)),
    Variant("refusals of one flight do not pin again", (("mirror.Mirror._refused_in_flight", _nothing),)),
    Variant("many calls after the first turn", (("mirror.Mirror._try_turn", _nothing),)),
    Variant("each pool tests for itself", (("doubt.Doubt.__init__", _apart),)),
    Variant("no first window is given up for another's", (("window.Window.slide", _nothing),)),
    Variant("pools are never booked as one", (("shared.SHARE", inf),)),
    Variant("joint pools are not parted at once", (("joint.SPARE_CALLS", inf), ("joint.TOO_MUCH", inf))),
    Variant("joint pools are not parted by tests", (("joint.SURPLUS_S", inf),)),
)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="per case, meter and round trip")
    parser.add_argument("--case", nargs="*", default=MEASURED, choices=list(CASES))
    parser.add_argument("--rtt", nargs="*", type=int, default=[50], choices=RTTS_MS)
    parser.add_argument("--only", type=int, nargs="*", default=range(len(VARIANTS) - 5), help="numbers of variants")
    given = parser.parse_args()
    use_memory()
    wanted = [
        Cell(case.name, meter, rtt_ms, 1_000 * number + rtt_ms)
        for case in (CASES[name] for name in given.case)
        for meter in case.meters
        for rtt_ms in given.rtt
        for number in range(given.seeds)
    ]
    columns = sorted({(cell.case, GROUPS[cell.meter]) for cell in wanted})
    print(f"{'':<40}" + "".join(f"{f'{case} {group}':>18}" for case, group in columns))
    for number in given.only:
        variant = VARIANTS[number]
        results = _run(variant, wanted)
        print(
            f"{number:>2} {variant.name:<37}" + "".join(f"{text:>18}" for text in _texts(results, columns)), flush=True
        )


def _run(variant: Variant, wanted: Sequence[Cell]) -> list[Result]:
    context = get_context("spawn")
    number = VARIANTS.index(variant)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_leave_out, initargs=(number,)) as pool:
        return list(pool.map(simulate, wanted))


def _leave_out(number: int) -> None:
    """Change what the variant changes, in a process of its own."""
    spare_collector()
    for path, value in VARIANTS[number].changes:
        module, *owners, name = path.split(".")
        place = import_module(f"batchrun.lanes.{module}")
        for owner in owners:
            place = getattr(place, owner)
        if not hasattr(place, name):
            raise AttributeError(f"{path}: there is no such part to leave out")
        setattr(place, name, value)


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
