"""The waits between a row's own failures."""

from random import Random

import anyio
import tenacity

from batchrun.lanes.retry import LONGEST_WAIT_S, retrying


class MostChance(Random):
    """Chance that always draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def waits(failures: int, chance: Random) -> list[float]:
    """Return the waits [s] of a row that fails so many times before its outcome."""
    slept: list[float] = []
    calls = 0

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    async def attempt() -> str | None:
        nonlocal calls
        calls += 1
        return "outcome" if calls > failures else None

    async def run() -> None:
        assert await retrying(sleep, chance)(attempt) == "outcome"

    anyio.run(run)
    return slept


def test_an_outcome_at_once_waits_for_nothing():
    assert waits(0, MostChance()) == []


def test_the_ceiling_doubles_from_one_second_to_its_longest():
    assert waits(7, MostChance()) == [1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_the_wait_is_anywhere_below_the_ceiling():
    slept = waits(6, Random(1))

    assert all(0 <= wait_s <= ceiling_s for wait_s, ceiling_s in zip(slept, [1, 2, 4, 8, 16, 30], strict=True))
    assert len({round(wait_s, 6) for wait_s in slept}) == 6


def test_a_row_may_fail_more_often_than_floats_have_powers_of_two():
    state = tenacity.RetryCallState(retrying(anyio.sleep, MostChance()), None, (), {})
    state.attempt_number = 1_100  # hours of a lane short of capacity; 2.0 ** 1_099 overflows

    assert retrying(anyio.sleep, MostChance()).wait(state) == LONGEST_WAIT_S
