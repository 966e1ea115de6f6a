"""`make simulate`: what the scheduler makes of a quota, on a virtual clock, over loads × meters × lanes.

Every run is the real pipeline, from source to parts; only the clock, the transport and the source stand in. Optimum is
the larger of an oracle's run and of a sum: see tests/simulation/oracle.py. Printed are mean / worst over seeds and
round trips; a line is ok only if its worst run is. The same seeds give the same table.

A line is "ok", "known" or "MISSED". Known are the misses in tests/simulation/known_misses.txt, each with the worst that
was reviewed: whoever adds one has a reason, and it is told in docs/quota.md. The exit code is 1 only if a line misses
what is not known, or by more; at the end stand the known ones that were met this time, which may leave the list.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from tempfile import gettempdir

from tqdm import tqdm

from tests.simulation.cases import CASES, DAY, METERS, RTTS_MS, Cell
from tests.simulation.known import Known, Miss, known_misses
from tests.simulation.report import HEADER, Line, lines
from tests.simulation.run import Result, refusal, simulate

MEMORY = Path("/dev/shm")  # what a run writes is real; on a disk, replacing status.json every second is half its time


def main() -> None:
    given = arguments().parse_args()
    known = known_misses()
    folder = use_memory()
    skipped = {case: why for case in given.case if (why := refusal(case)) is not None}
    given.case = [case for case in given.case if case not in skipped]
    began_s = time.monotonic()
    results = run_all(cells(given), given.jobs)
    wall_s = time.monotonic() - began_s
    table = list(lines(results, by_rtt=given.by_rtt))
    missed = sum(1 for line in table if line.new(known))
    as_known = sum(1 for line in table if line.missed) - missed
    rows = sum(result.rows for result in results)
    if given.json:
        print(json.dumps([{**asdict(result), "optimum_s": result.optimum_s} for result in results], indent=1))
    else:
        for case in CASES.values():
            if case.name in skipped:
                print("", f"{case.name}: {case.title}", f"  skipped: {skipped[case.name]}", sep="\n")
            if own := [line.text(known) for line in table if line.case is case]:
                print("", f"{case.name}: {case.title}", HEADER, *own, sep="\n")
        cpu_us = 1e6 * sum(result.cpu_s for result in results) / rows
        print(
            f"\n{missed} of {len(table)} lines missed, {as_known} as known; {rows:,} requests in {wall_s:.0f} s, "
            f"{rows / wall_s:,.0f} a second, {cpu_us:.0f} µs of CPU each; "
            f"written to {folder}"
        )
        if met := met_now(table, known):
            print("known to miss, but met this time:", *met, sep="\n  ")
    sys.exit(1 if missed else 0)


def met_now(table: Sequence[Line], known: Known) -> list[Miss]:
    """Return the known misses of lines that were run, and did not miss."""
    run = {(line.case.name, line.meter) for line in table}
    missed = {miss for line in table for miss in line.misses}
    return [miss for miss in known if (miss.case, miss.meter) in run and miss not in missed]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    table = [name for name in CASES if name != DAY]
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=table)
    parser.add_argument("--meter", nargs="*", choices=list(METERS), default=list(METERS))
    parser.add_argument("--rtt", nargs="*", type=int, default=RTTS_MS, help="round trips of a refusal [ms]")
    parser.add_argument("--seeds", type=int, help="per case, meter and round trip; default: the case's own number")
    parser.add_argument("--rows", type=int, help="per run, instead of the case's own number")
    parser.add_argument("--by-rtt", action="store_true", help="a line for every round trip")
    parser.add_argument("--json", action="store_true", help="every run instead of the table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return parser


def use_memory() -> str:
    """Write to memory where the system offers it and TMPDIR does not say otherwise; return where runs write."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir():
        os.environ["TMPDIR"] = str(MEMORY)
    return gettempdir()


def cells(given: argparse.Namespace) -> list[Cell]:
    """Return the runs that were asked for; seeds differ between round trips, so that few runs see many."""
    return [
        Cell(case.name, meter, rtt_ms, 1_000 * number + rtt_ms, given.rows)
        for case in (CASES[name] for name in given.case)
        for meter in case.meters
        if meter in given.meter
        for rtt_ms in given.rtt
        for number in range(given.seeds or case.seeds)
    ]


def run_all(wanted: Sequence[Cell], jobs: int) -> list[Result]:
    """Return the results of all cells; the longest runs start first, so that no process is left alone with one."""
    rows = {cell: cell.rows or CASES[cell.case].setup(cell.seed).rows for cell in wanted}
    longest_first = sorted(wanted, key=lambda cell: -rows[cell])
    context = get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(wanted)), mp_context=context, initializer=spare_collector) as processes:
        ended = processes.map(simulate, longest_first)
        return list(tqdm(ended, total=len(wanted), unit="run", leave=False, disable=None))  # on a terminal only


def spare_collector() -> None:
    """Look for cyclic garbage less often, and not in what was imported: a tenth of a run."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


if __name__ == "__main__":
    main()
