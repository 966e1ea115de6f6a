"""Power cuts: of what was not synced anything may be gone, yet every row is there once and few are paid twice."""

from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from batchrun.records import Outcome
from tests.torture.bench import Bench
from tests.torture.books import Books
from tests.torture.jobs import IN_FLIGHT, KINDS, Kind
from tests.torture.points import AFTER, BEFORE, TRUNCATED, Death
from tests.torture.power import Power
from tests.torture.remains import empty, events, look
from tests.torture.zygote import Zygote

CUTS = {
    "in the midst of a log": Death("log append outcome", AFTER, 30),
    "once a part has its name": Death("part rename", AFTER, 2),
    "once a log is gone": Death("log remove", AFTER, 2),
    "once the manifest has its name": Death("manifest rename", AFTER, 1),
    "before the first call": Death("log append sent", BEFORE, 1),
    "once _SUCCESS has its name": Death("_SUCCESS rename", AFTER, 1),
    "at a moment": None,
}
SLOW_S = 0.08
SLOW = Kind("slow", 40, 40, {"max_tokens": 64}, lambda _: f"[[output_tokens=2]] [[latency_s={SLOW_S}]]", lambda _: 1)
A_RUN_S = 0.6  # about as long as a run takes
SLACK_S = 0.5  # for the sync itself

FINISHED_AT = [one.name for one in fields(Outcome)].index("finished_at")  # of an outcome line, a list of its fields


def cut(bench: Bench, power: Power, chance: Random, fsync: str, death: Death | None) -> tuple[int, int]:
    """Run until it is killed, and cut the power; return how many outcomes that took, and how many calls were out."""
    moment_s = chance.uniform(0.1, A_RUN_S) if death is None else None
    before = look(bench.base, empty())
    ended = bench.run_on(power, "--set", f"output.fsync={fsync}", death=death, kill_after_s=moment_s)
    assert death is None or ended.died_at_point, ended
    killed = look(bench.base, before)
    power.cut(chance)
    left = look(bench.base, empty())
    return len(killed.outcomes - left.outcomes), len(killed.in_flight)


SLICE = {
    ("in the midst of a log", "always"),
    ("once a part has its name", "1s"),
    ("once _SUCCESS has its name", "never"),
    ("at a moment", "1s"),
}
CASES = [
    pytest.param(when, fsync, marks=() if (when, fsync) in SLICE else pytest.mark.torture)
    for when in CUTS
    for fsync in ("always", "1s", "never")
]


@pytest.mark.parametrize(("when", "fsync"), CASES)
def test_after_power_cuts_every_row_is_there_once_and_only_what_was_not_synced_is_paid_for_again(
    when: str, fsync: str, zygote: Zygote, books: Books, base: Path
) -> None:
    bench, power = Bench(zygote, books, base), Power(base)
    chance = Random(f"{when} {fsync}")
    lost, in_flight = cut(bench, power, chance, fsync, CUTS[when])
    more_lost, more_in_flight = cut(bench, power, chance, fsync, None)
    ended = bench.run("--set", f"output.fsync={fsync}")

    assert ended.code == 0, ended
    assert bench.whole
    assert bench.paid.repeated <= lost + more_lost + in_flight + more_in_flight
    if fsync == "always":
        assert lost <= IN_FLIGHT
        assert more_lost <= IN_FLIGHT


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "point", ["reopened log rename", "wal folder sync", "part rename", "data folder sync", "log remove"]
)
def test_a_power_cut_while_rows_are_sent_again_leaves_every_row_its_old_or_its_new_outcome(
    point: str, seed: int, zygote: Zygote, books: Books, base: Path
) -> None:
    bench = Bench(zygote, books, base, KINDS[TRUNCATED])
    assert bench.run().code == 0
    power = Power(base)
    ended = bench.run_on(power, death=Death(point, AFTER, 2), name="retry")
    in_flight = len(look(base, empty()).in_flight)
    assert ended.died_at_point, ended
    power.cut(Random(seed))
    assert bench.run().code == 0
    again = sum(bench.kind.sent_again(row) for row in range(bench.kind.rows))

    assert bench.whole
    assert bench.paid.repeated <= again * 2 + in_flight  # an answer that the cut took is paid for once more


def test_with_a_sync_every_second_no_older_outcome_is_lost(zygote: Zygote, books: Books, base: Path) -> None:
    bench, power = Bench(zygote, books, base, SLOW), Power(base)
    bench.run_on(power, "--set", "limits.max_in_flight=1", death=Death("log append outcome", AFTER, 35))
    (log,) = bench.logs()
    recorded = _finished_at(log)
    power.cut(Random(4))
    left = _finished_at(log)

    assert len(recorded) == 35
    assert left
    first, *_, last = sorted(recorded.values())
    slower = max(1.0, (last - first) / timedelta(seconds=34 * SLOW_S))  # than a machine that does nothing else
    oldest = last - timedelta(seconds=(1 + SLACK_S) * slower)
    assert all(at >= oldest for row, at in recorded.items() if row not in left)


def test_a_part_that_was_renamed_without_a_sync_is_found_out(zygote: Zygote, books: Books, base: Path) -> None:
    bench, power = Bench(zygote, books, base), Power(base)
    death = Death("log remove", AFTER, 1)
    ended = bench.run_on(power, death=death, prepare=("forgets_to_sync_parts",))
    assert ended.died_at_point
    power.cut(Random(1))

    assert bench.run().code == 4


def _finished_at(log: Path) -> dict[int, datetime]:
    return {
        value[0]: datetime.fromisoformat(value[FINISHED_AT])
        for event, value in events(log.read_bytes() if log.exists() else b"")
        if event == "outcome"
    }
