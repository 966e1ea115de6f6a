"""Runs whose machine sleeps for hours, or whose process is stopped: time passes and the run sees nothing of it.

A laptop that sleeps stops Python's clock, and the calls that were out are lost. A process that is stopped finds the
clock hours on, all its timers due at once.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from batchrun.clock import LONGEST_NAP_S, Clock
from batchrun.emulator.service import Bedrock
from batchrun.runaway import LOOK_EVERY_S, PATIENCE_S, MaxFailed, RunAway
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse

HOURS_S = 3 * 3_600.0
EVENING = datetime(2026, 11, 3, 22, tzinfo=UTC)
# A row holds about 220 quota tokens and settles at 120, of 60,000 a minute: 900 rows take two minutes.
ROWS = 900
SHORT = {"tpm": 60_000, "latency_s": 2, "rtt_ms": 50}


PROMPTS = numbered(ROWS, "Name a colour. [[output_tokens=20]]")


class Laptop:
    """Falls asleep once, `after_s` of the run's own time, for three hours."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._loop_time_s: Callable[[], float] | None = None
        self._began_s = 0.0

    def slept_s(self) -> float:
        if self._loop_time_s is None:  # later it may be asked from a thread, which has no loop
            self._loop_time_s = asyncio.get_running_loop().time
            self._began_s = self._loop_time_s()
        return HOURS_S if self._loop_time_s() - self._began_s >= self._after_s else 0.0

    def clock(self) -> Clock:
        return Clock(EVENING, self.slept_s)


class Stopping(EmulatedTransport):
    """Carries calls from a process that is stopped once, `after_s` of the run, for three hours."""

    def __init__(self, bedrock: Bedrock, after_s: float) -> None:
        super().__init__(bedrock)
        self._after_s = after_s
        self._first_s: float | None = None
        self._stopped = False

    async def send(self, *call):
        loop = asyncio.get_running_loop()
        if self._first_s is None:
            self._first_s = loop.time()
        if not self._stopped and loop.time() - self._first_s >= self._after_s:
            self._stopped = True
            loop.jumping.now_s += HOURS_S
        return await super().send(*call)


def sleeping(folder, after_s: float, **changes):
    """Run a job on a laptop that sleeps."""
    spec = job(folder, PROMPTS, **{"emulator": SHORT, **changes})
    laptop = Laptop(after_s)
    return rehearse(spec, EmulatedTransport(Bedrock(spec.emulator), slept_s=laptop.slept_s), clock=laptop.clock)


def stopped(folder, after_s: float, **changes):
    """Run a job in a process that is stopped."""
    spec = job(folder, PROMPTS, **{"emulator": SHORT, **changes})
    return rehearse(spec, Stopping(Bedrock(spec.emulator), after_s), clock=lambda: Clock(EVENING))


def other_folder(folder):
    """Return a folder for a run to compare with."""
    other = folder / "other"
    other.mkdir()
    return other


INTERRUPTED = pytest.mark.parametrize("interrupted", [sleeping, stopped])


@INTERRUPTED
@pytest.mark.parametrize("after_s", [0.5, 20.0, 46.0])  # the first calls are out; at the quota; the last
def test_hours_without_a_row_are_no_stall_where_the_run_could_not_work(tmp_path, interrupted, after_s):
    ended = interrupted(tmp_path, after_s)

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": ROWS})


@INTERRUPTED
def test_awake_again_a_run_keeps_to_the_quota(tmp_path, interrupted):
    ended = interrupted(tmp_path, 20.0)
    undisturbed = rehearse(job(other_folder(tmp_path), PROMPTS, emulator=SHORT))

    assert ended.stats["throttled"] <= undisturbed.stats["throttled"] + 2  # a window may turn at another moment


def test_calls_that_a_sleep_cut_off_are_sent_again_and_no_others(tmp_path):
    ended = sleeping(tmp_path, 0.5)

    assert 0 < ended.summary["faults"]["ConnectionLost"] <= ended.transport.most_in_flight
    assert ended.stats["repeated_calls"] <= ended.summary["faults"]["ConnectionLost"]


@INTERRUPTED
def test_results_say_when_they_came_after_a_night(tmp_path, interrupted):
    ended = interrupted(tmp_path, 20.0)
    finished_at = sorted(row["finished_at"] for row in ended.rows())

    assert finished_at[0] - EVENING < timedelta(minutes=1)
    assert timedelta(hours=3) < finished_at[-1] - EVENING < timedelta(hours=3, minutes=10)


@INTERRUPTED
def test_a_day_quota_is_new_after_a_night(tmp_path, interrupted):
    # 900 rows settle at more than 80,000 tokens; without the night the rest would wait for tomorrow's run.
    quota = {"tokens_per_day": 80_000}
    awake = rehearse(job(other_folder(tmp_path), PROMPTS, emulator=SHORT, quota=quota), clock=lambda: Clock(EVENING))
    ended = interrupted(tmp_path, 20.0, quota=quota)

    assert awake.code == 3
    assert ended.code == 0


def test_a_deadline_that_passes_in_a_sleep_is_kept_soon_after_it(tmp_path):
    ended = sleeping(tmp_path, 20.0, limits={"deadline": "2h"})

    assert ended.code == 3
    assert "limits.deadline" in ended.reason
    assert ended.wall_s <= 20 + LONGEST_NAP_S + 3


def test_a_run_that_stalls_after_a_sleep_is_stopped_all_the_same():
    runaway = RunAway(MaxFailed(0), rows=10, now_s=0.0)
    runaway.stalled(HOURS_S)
    looks = [HOURS_S + look * LOOK_EVERY_S for look in range(1, 21)]
    stopped_at_s = next(now_s for now_s in looks if runaway.stalled(now_s) is not None)

    assert PATIENCE_S - 2 * LOOK_EVERY_S <= stopped_at_s - HOURS_S <= PATIENCE_S


def test_a_run_that_stalls_without_a_sleep_is_stopped_after_fifteen_minutes():
    runaway = RunAway(MaxFailed(0), rows=10, now_s=0.0)
    looks = [look * LOOK_EVERY_S for look in range(1, 21)]

    assert next(now_s for now_s in looks if runaway.stalled(now_s) is not None) == PATIENCE_S
