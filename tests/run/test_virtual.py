"""The virtual clock itself: it jumps, it waits for threads, and it notices when nothing will ever happen."""

import time

import anyio
import pytest

from tests.virtual import VirtualTimeError, run_virtual


def test_an_hour_of_sleep_takes_no_time():
    async def sleep() -> float:
        before_s = anyio.current_time()
        await anyio.sleep(3_600)
        return anyio.current_time() - before_s

    began_s = time.monotonic()

    assert run_virtual(sleep) == pytest.approx(3_600)
    assert time.monotonic() - began_s < 30  # of 3,600: a busy machine may take its time


def test_timers_go_off_in_their_order():
    told: list[int] = []

    async def tell(number: int) -> None:
        await anyio.sleep(number)
        told.append(number)

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for number in (3, 1, 2):
                group.start_soon(tell, number)

    run_virtual(all_of_them)

    assert told == [1, 2, 3]


def test_work_in_a_thread_takes_no_virtual_time_and_no_timer_overtakes_it():
    done: list[str] = []

    async def in_a_thread() -> None:
        await anyio.to_thread.run_sync(time.sleep, 0.01)
        done.append("thread")

    async def asleep() -> None:
        await anyio.sleep(100)
        done.append("timer")

    async def both() -> float:
        before_s = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(asleep)
            group.start_soon(in_a_thread)
        return anyio.current_time() - before_s

    assert run_virtual(both) == pytest.approx(100)
    assert done == ["thread", "timer"]


def test_waiting_for_ever_is_an_error():
    async def wait_for_nothing() -> None:
        await anyio.Event().wait()

    with pytest.raises(VirtualTimeError, match="nothing will ever happen"):
        run_virtual(wait_for_nothing)


def test_a_time_out_is_no_error():
    async def give_up() -> bool:
        with anyio.move_on_after(50) as scope:
            await anyio.sleep(100)
        return scope.cancelled_caught

    assert run_virtual(give_up)
