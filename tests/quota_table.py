"""`python -m tests.quota_table FILE`: the table of docs/quota.md, from what `make simulate` says with --json."""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from tests.simulation.cases import Cell, Target
from tests.simulation.report import Line, lines
from tests.simulation.run import Result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what `python -m tests.simulate --json` printed")
    records = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    print("| case | meter | makespan ÷ optimum, mean / worst | asked | throttled calls of rows, mean / worst | asked |")
    print("|---|---|---|---|---|---|")
    table = list(lines(map(_result, records), by_rtt=False))
    for line in table:
        print("| " + " | ".join(_columns(line)) + " |")
    rows, cpu_s = sum(one["rows"] for one in records), sum(one["cpu_s"] for one in records)
    print(f"\n{sum(not line.missed for line in table)} of {len(table)} lines are ok in their worst run; ", end="")
    print(f"{rows:,} requests, {1e6 * cpu_s / rows:.0f} µs of CPU each")


def _result(record: dict[str, Any]) -> Result:
    known = {name: value for name, value in record.items() if name != "optimum_s"}  # a sum of the others
    return Result(**{**known, "cell": Cell(**record["cell"]), "notes": tuple(record["notes"])})


def _columns(line: Line) -> list[str]:
    target, rows = line.target, mean(one.rows for one in line.results)
    calls = [one.throttled for one in line.results]
    shares = [100 * one.throttled / one.rows for one in line.results]
    throttled = f"{mean(calls):.0f} / {max(calls)} of {rows:,.0f} ({mean(shares):.2f} / {max(shares):.2f} %)"
    allowed = target.throttled_text(round(rows)).removeprefix("≤ ") or "–"
    return [line.case.name, line.meter, *_makespan(line, target), throttled, allowed]


def _makespan(line: Line, target: Target) -> tuple[str, str]:
    if target.plus_s is not None:
        above_s = [one.makespan_s - one.optimum_s for one in line.results]
        return f"{mean(above_s):+.1f} / {max(above_s):+.1f} s", f"+{target.plus_s:g} s"
    if target.calls_per_row is not None:
        each = [one.calls / one.rows for one in line.results]
        return f"{mean(each):.2f} / {max(each):.2f} calls a row", f"{target.calls_per_row:g}"
    ratios = [one.ratio for one in line.results]
    text, asked = f"{mean(ratios):.3f} / {max(ratios):.3f}", f"{target.ratio:g}"
    if target.times_faster is not None:
        least = min((one.fixed_s or 0.0) / one.makespan_s for one in line.results)
        return f"{text}, {least:.1f} × faster than fixed", f"{asked}, {target.times_faster:g} ×"
    return text, asked


if __name__ == "__main__":
    main()
