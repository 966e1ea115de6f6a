"""Misses of the simulation that are known: what is on the list passes, anything else or anything worse does not."""

import re
from pathlib import Path

import pytest

from tests.simulate import met_now
from tests.simulation.cases import Cell
from tests.simulation.known import Miss, known_misses
from tests.simulation.report import Line, lines
from tests.simulation.run import Result

DOCS = Path(__file__).parents[2] / "docs" / "quota.md"
THROTTLED = Miss("a", "sliding", "throttled")
MAKESPAN = Miss("a", "sliding", "makespan")


def line(ratio: float = 1.0, throttled: int = 0) -> Line:
    """Return the line of case a on a sliding minute: asked are 1.03 × the optimum and 25 throttled calls of 1,000."""
    counts = {"calls": 1_000 + throttled, "throttled": throttled, "faults": 0, "failed": 0, "missing": 0}
    run = Result(
        cell=Cell("a", "sliding", 0, 0),
        rows=1_000,
        makespan_s=600.0 * ratio,
        optimum_a_s=600.0,
        optimum_b_s=0.0,
        fixed_s=None,
        notes=(),
        cpu_s=0.1,
        **counts,
    )
    (one,) = lines([run], by_rtt=False)
    return one


def test_a_line_that_misses_nothing_is_ok():
    assert line().verdict({}) == "ok"
    assert line().verdict({THROTTLED: 30.0}) == "ok"


def test_a_miss_that_is_not_known_is_new():
    assert line(throttled=30).new({}) == [THROTTLED]
    assert line(throttled=30).verdict({MAKESPAN: 1.1}) == "MISSED: throttled"


def test_a_miss_that_is_known_is_told_and_not_new():
    assert line(throttled=30).new({THROTTLED: 30.0}) == []
    assert line(throttled=30).verdict({THROTTLED: 30.0}) == "known: throttled"


def test_a_miss_that_is_worse_than_known_is_new():
    assert line(throttled=31).new({THROTTLED: 30.0}) == [THROTTLED]
    assert line(throttled=31).verdict({THROTTLED: 30.0}) == "MISSED: throttled (known as 30)"
    assert line(ratio=1.0604).verdict({MAKESPAN: 1.06}) == "known: makespan"  # 1.060 is what the table shows
    assert line(ratio=1.0606).verdict({MAKESPAN: 1.06}) == "MISSED: makespan (known as 1.06)"


def test_a_line_may_miss_one_figure_as_known_and_another_for_the_first_time():
    both = line(ratio=1.05, throttled=30)

    assert both.verdict({THROTTLED: 30.0}) == "MISSED: makespan; known: throttled"


def test_known_misses_that_were_met_are_told_of_lines_that_were_run_alone():
    known = {THROTTLED: 30.0, MAKESPAN: 1.1, Miss("b", "sliding", "throttled"): 3.0}

    assert met_now([line(throttled=30)], known) == [MAKESPAN]


def test_the_list_has_the_lines_that_the_docs_count():
    counted = re.search(r"^(\d+) of (\d+) lines are ok in their worst run", DOCS.read_text(encoding="utf-8"), re.M)

    assert len({(miss.case, miss.meter) for miss in known_misses()}) == int(counted[2]) - int(counted[1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a | sliding | makespan", "2: must be case | meter | figure | worst, not 'a | sliding | makespan'"),
        ("zz | sliding | makespan | 1.1", "2: the table has no case zz on sliding"),
        ("a | bucket 7 s | makespan | 1.1", "2: the table has no case a on bucket 7 s"),
        ("b | fixed, odd | makespan | 1.1", "2: the table has no case b on fixed, odd"),
        ("a | sliding | makespan | 1.1\na | sliding | makespan | 2", "3: a on sliding: makespan stands there twice"),
    ],
)
def test_a_list_that_names_what_is_not_there_is_refused(tmp_path, text, told):
    (path := tmp_path / "known.txt").write_text(f"# comment\n{text}\n")

    with pytest.raises(ValueError, match=re.escape(f"known.txt:{told}")):
        known_misses(path)
