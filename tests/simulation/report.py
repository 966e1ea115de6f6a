"""The table: a line for every case and meter, with what was reached, what is asked, and whether the worst run does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from tests.simulation.cases import CASES, Case, Target
from tests.simulation.known import Known, Miss
from tests.simulation.run import Result

HEADER = (
    f"  {'meter':<12}{'rtt':>8}{'runs':>6}{'rows':>11}  {'makespan ÷ optimum':<30}{'asked':>10}  "
    f"{'throttled calls':<30}{'asked':>10}  {'lost':>4}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """The runs of one case on one meter, over seeds and perhaps round trips."""

    case: Case
    results: Sequence[Result]

    @property
    def meter(self) -> str:
        """Return the meter that all of them met."""
        return self.results[0].cell.meter

    @property
    def target(self) -> Target:
        """Return the numbers to reach."""
        return self.case.targets.get(self.meter, self.case.target)

    @property
    def missed(self) -> list[str]:
        """Name what the worst run misses."""
        return [name for name, one in _CHECKS if any(not one(self.target, result) for result in self.results)]

    @property
    def misses(self) -> list[Miss]:
        """Return the same, each with the line's name."""
        return [Miss(self.case.name, self.meter, figure) for figure in self.missed]

    def worst(self, figure: str) -> float | None:
        """Return a figure of the worst run, rounded as it is printed; None where it is no number."""
        if figure == "throttled":
            return max(result.throttled for result in self.results)
        if figure != "makespan":
            return None
        if self.target.plus_s is not None:
            return round(max(result.makespan_s - result.optimum_s for result in self.results), 1)
        return round(max(result.ratio for result in self.results), 3)

    def new(self, known: Known) -> list[Miss]:
        """Return the misses that are not known, or are worse than what is."""
        return [one for one in self.misses if one not in known or _above(self.worst(one.figure), known[one])]

    def verdict(self, known: Known) -> str:
        """Return "ok", "known" or "MISSED", with the figures that it is about."""
        new = self.new(known)
        told = ", ".join(one.figure + (f" (known as {known[one]:g})" if one in known else "") for one in new)
        old = ", ".join(one.figure for one in self.misses if one not in new)
        return "; ".join([f"MISSED: {told}"] * bool(told) + [f"known: {old}"] * bool(old)) or "ok"

    def text(self, known: Known) -> str:
        """Return the line as it is printed."""
        results, target = self.results, self.target
        rows = results[0].rows
        rtts = sorted({result.cell.rtt_ms for result in results})
        rtt = f"{rtts[0]} ms" if len(rtts) == 1 else f"{rtts[0]}–{rtts[-1]}"
        makespan, asked = _makespan(results, target)
        lost = sum(result.lost for result in results)
        return (
            f"  {self.meter:<12}{rtt:>8}{len(results):>6}{sum(result.rows for result in results):>11,}  "
            f"{makespan:<30}{asked:>10}  {_throttled(results, rows):<30}"
            f"{target.throttled_text(rows):>10}  {lost:>4}  {self.verdict(known)}"
        )


def lines(results: Iterable[Result], *, by_rtt: bool) -> Iterator[Line]:
    """Yield the lines in the order of the table; `by_rtt` splits them by round trip."""
    groups: dict[tuple[str, str, int], list[Result]] = {}
    for result in results:
        cell = result.cell
        groups.setdefault((cell.case, cell.meter, cell.rtt_ms if by_rtt else 0), []).append(result)
    order = {name: place for place, name in enumerate(CASES)}
    for key in sorted(groups, key=lambda key: (order[key[0]], CASES[key[0]].meters.index(key[1]), key[2])):
        yield Line(CASES[key[0]], groups[key])


def _above(worst: float | None, known: float | None) -> bool:
    return worst is not None and known is not None and worst > known


def _makespan(results: Sequence[Result], target: Target) -> tuple[str, str]:
    worst = max(results, key=lambda result: result.ratio)
    against = "A" if worst.optimum_a_s > worst.optimum_b_s else "B"
    if target.calls_per_row is not None:
        calls = [result.calls / result.rows for result in results]
        return f"{mean(calls):.2f} / {max(calls):.2f} calls a row", f"≤ {target.calls_per_row:.2f}"
    if target.times_faster is not None:
        against = f"best; {min(map(_faster, results)):.1f} × faster"
    if target.plus_s is not None:
        above_s = [result.makespan_s - result.optimum_s for result in results]
        return f"+{mean(above_s):.1f} / +{max(above_s):.1f} s ({against})", f"≤ +{target.plus_s:.0f} s"
    text = f"{mean(result.ratio for result in results):.3f} / {worst.ratio:.3f} ({against})"
    return text, "" if target.ratio is None else f"≤ {target.ratio:.2f}"


def _throttled(results: Sequence[Result], rows: int) -> str:
    calls = [result.throttled for result in results]
    return f"{mean(calls):.1f} / {max(calls)}, {100 * mean(calls) / rows:.2f} / {100 * max(calls) / rows:.2f} %"


def _makespan_ok(target: Target, result: Result) -> bool:
    if target.plus_s is not None:
        return result.makespan_s <= result.optimum_s + target.plus_s
    return target.ratio is None or result.ratio <= target.ratio


def _throttled_ok(target: Target, result: Result) -> bool:
    allowed = target.throttled(result.rows)
    return allowed is None or result.throttled <= allowed


def _calls_ok(target: Target, result: Result) -> bool:
    return target.calls_per_row is None or result.calls <= target.calls_per_row * result.rows


def _faster(result: Result) -> float:
    return (result.fixed_s or 0.0) / result.makespan_s


def _faster_ok(target: Target, result: Result) -> bool:
    return target.times_faster is None or _faster(result) >= target.times_faster


def _sent_again_ok(target: Target, result: Result) -> bool:
    return target.sent_again is None or result.sent_again <= target.sent_again * result.rows


def _said(target: Target, result: Result) -> bool:
    return not target.says or any(target.says in note for note in result.notes)


def _nothing_lost(_: Target, result: Result) -> bool:
    return result.lost == 0


_CHECKS = (
    ("makespan", _makespan_ok),
    ("throttled", _throttled_ok),
    ("calls", _calls_ok),
    ("times faster", _faster_ok),
    ("sent again", _sent_again_ok),
    ("says so", _said),
    ("rows lost", _nothing_lost),
)
