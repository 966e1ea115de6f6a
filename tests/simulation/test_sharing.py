"""One pool of the account told as 25, and 25 pools that only look like one: found out in the run."""

import pytest

from tests.simulation.cases import Cell
from tests.simulation.run import simulate

ROWS = 1_200


@pytest.mark.parametrize("meter", ["bucket 10 s", "sliding"])
def test_a_pool_that_is_told_as_25_is_used_to_the_full_with_few_refusals(meter):
    ended = simulate(Cell("g", meter, 50, 50, ROWS))

    assert ended.ratio < 1.1
    assert ended.throttled < 0.1 * ROWS  # 25 pools that learn alone: 300 and more
    assert any("shared" in note for note in ended.notes)


@pytest.mark.parametrize("case", ["g0", "g1"])
def test_pools_that_only_look_like_one_are_not_held_to_one_quota(case):
    ended = simulate(Cell(case, "bucket 10 s", 50, 50, ROWS))

    assert ended.ratio < 1.1  # held to the quota of one: 2.5 and more
    assert ended.notes == ()
