"""The clock: the machine's sleep is time, waits notice it, and nobody who sets the date can turn it back."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf

import anyio
import pytest

from batchrun import clock as clock_module
from batchrun.clock import LONGEST_NAP_S, Alarm, Clock, slept_s
from tests.virtual import run_virtual

EVENING = datetime(2026, 11, 3, 22, tzinfo=UTC)
NIGHT_S = 3 * 3_600.0


def nap(began_s: float, length_s: float = NIGHT_S) -> Callable[[], float]:
    """Return what a machine says that slept before, and falls asleep once the loop has counted `began_s`."""
    loop = asyncio.get_running_loop()
    first_s = loop.time()
    return lambda: 777.0 + (length_s if loop.time() - first_s >= began_s else 0.0)


def test_time_that_the_machine_sleeps_is_time():
    async def sleep() -> tuple[float, datetime]:
        clock = Clock(EVENING, nap(began_s=5))
        before_s = clock.now_s()
        await anyio.sleep(6)
        return clock.now_s() - before_s, clock.today()

    passed_s, today = run_virtual(sleep)

    assert passed_s == pytest.approx(6 + NIGHT_S)
    assert today - EVENING == pytest.approx(timedelta(seconds=6 + NIGHT_S), abs=timedelta(milliseconds=1))


def test_a_day_turns_while_the_machine_sleeps():
    async def left_s() -> tuple[float, float]:
        clock = Clock(EVENING, nap(began_s=5))
        before_s = clock.seconds_to_midnight()
        await anyio.sleep(6)
        return before_s, clock.seconds_to_midnight()

    before_s, after_s = run_virtual(left_s)

    assert before_s == pytest.approx(2 * 3_600 + 60)  # a minute more, since clocks differ
    assert after_s == pytest.approx(23 * 3_600 + 60 - 6)


def test_a_wait_that_a_sleep_outlasts_ends_soon_after_it():
    async def wait() -> float:
        clock = Clock(EVENING, nap(began_s=100))
        await clock.sleep(NIGHT_S)  # ten minutes would be left of it, if the loop's time were all
        return asyncio.get_running_loop().time()

    async def began() -> float:
        return asyncio.get_running_loop().time()

    awake_s = run_virtual(wait) - run_virtual(began)

    assert 100 <= awake_s <= 100 + LONGEST_NAP_S


def test_without_sleep_a_wait_takes_its_time():
    async def wait() -> float:
        clock = Clock(EVENING)
        before_s = clock.now_s()
        await clock.sleep(1_000)
        return clock.now_s() - before_s

    assert run_virtual(wait) == pytest.approx(1_000)


def test_what_two_clocks_differ_by_is_no_sleep_and_never_turns_time_back():
    wobble = iter([0.0, 3e-6, -2e-6, 5e-6, 0.0, -7e-6, 1e-6])

    async def look() -> list[float]:
        clock = Clock(EVENING, lambda: next(wobble))
        return [clock.now_s() for _ in range(5)]

    times = run_virtual(look)

    assert times == sorted(times)
    assert times[0] == times[-1]  # of a clock that nothing moved


def test_a_machine_whose_date_is_set_back_does_not_turn_the_calendar_back(monkeypatch):
    class SetBack(datetime):
        shown = datetime(2026, 11, 3, 22, tzinfo=UTC)

        @classmethod
        def now(cls, tz=None):
            del tz
            cls.shown -= timedelta(hours=1)
            return cls.shown

    monkeypatch.setattr(clock_module, "datetime", SetBack)

    async def look() -> tuple[datetime, datetime, float]:
        clock = Clock()
        first, left_s = clock.today(), clock.seconds_to_midnight()
        await anyio.sleep(60)
        return first, clock.today(), left_s - clock.seconds_to_midnight()

    first, later, went_s = run_virtual(look)

    assert (later - first).total_seconds() == pytest.approx(60)
    assert went_s == pytest.approx(60)


def test_waiting_is_no_sleep():
    before_s = slept_s()
    time.sleep(0.01)

    assert slept_s() - before_s == pytest.approx(0, abs=0.005)


def rings(
    plan: Callable[[Alarm, Clock], None], until_s: float, machine: Callable[[], float] = lambda: 0.0
) -> list[float]:
    """Return when an alarm rings [s after the start] that `plan` sets, moves or leaves alone."""

    async def listen() -> list[float]:
        clock = Clock(EVENING, machine)
        began_s, heard = clock.now_s(), []
        alarm = Alarm(clock)

        async def hear() -> None:
            while True:
                await alarm.wait()
                heard.append(clock.now_s() - began_s)

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            plan(alarm, clock)
            await anyio.sleep(until_s)
            group.cancel_scope.cancel()
        return heard

    return run_virtual(listen)


def later(delay_s: float, what: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(delay_s, what)


def test_an_alarm_rings_once_at_its_time():
    assert rings(lambda alarm, clock: alarm.set(clock.now_s() + 3), 100) == [pytest.approx(3)]


def test_an_alarm_that_is_set_to_never_does_not_ring():
    def plan(alarm: Alarm, clock: Clock) -> None:
        alarm.set(clock.now_s() + 3)
        alarm.set(inf)

    assert rings(plan, 100) == []


@pytest.mark.parametrize("to_s", [2.0, 7.0])
def test_an_alarm_may_be_moved_while_somebody_waits_for_it(to_s: float):
    def plan(alarm: Alarm, clock: Clock) -> None:
        began_s = clock.now_s()
        alarm.set(began_s + 5)
        later(1, lambda: alarm.set(began_s + to_s))

    assert rings(plan, 100) == [pytest.approx(to_s)]


def test_an_alarm_that_rang_may_be_set_again():
    def plan(alarm: Alarm, clock: Clock) -> None:
        began_s = clock.now_s()
        alarm.set(began_s + 1)
        later(2, lambda: alarm.set(began_s + 4))

    assert rings(plan, 100) == [pytest.approx(1), pytest.approx(4)]


def test_an_alarm_that_the_machine_slept_through_rings_soon_after():
    async def listen() -> float:
        clock = Clock(EVENING, nap(began_s=5))
        alarm = Alarm(clock)
        alarm.set(clock.now_s() + NIGHT_S)
        began_s = asyncio.get_running_loop().time()
        await alarm.wait()
        return asyncio.get_running_loop().time() - began_s

    assert run_virtual(listen) <= LONGEST_NAP_S + 1e-6


def test_an_alarm_whose_listener_was_cancelled_rings_for_the_next():
    async def listen() -> float:
        clock = Clock(EVENING)
        began_s = clock.now_s()
        alarm = Alarm(clock)
        with anyio.move_on_after(1):
            await alarm.wait()
        alarm.set(began_s + 2)
        await alarm.wait()
        return clock.now_s() - began_s

    assert run_virtual(listen) == pytest.approx(2)
