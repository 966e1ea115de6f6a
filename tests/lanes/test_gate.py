"""The gate: who goes first, who wakes whom, and that nobody waits for ever. Time jumps: see tests/virtual.py."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from batchrun.clock import Clock
from batchrun.errors import AccessError, RunStopped
from batchrun.lanes.admission import Admission, Admissions, Bound
from batchrun.lanes.gate import Gate, GateClosedError
from batchrun.lanes.trial import Trial
from batchrun.lanes.warmth import Warmth
from batchrun.records import Prefix, Usage
from tests.lanes.books import DAY, NO_LANE, SERVER, TOKENS, admissions, tpm, trial
from tests.virtual import run_virtual

GEO, EAST2 = "us from us-east-1", "us from us-east-2"


class Entrance:
    """A gate with its clock running, and a note of what happened at which time [s] since the start."""

    def __init__(self, books: Admissions) -> None:
        self.books = books
        self.clock = Clock()
        self.waits: list[Bound | None] = []
        self.gate = Gate(books, self.clock, lambda bound, _: self.waits.append(bound))
        self.let_in: list[tuple[int, float]] = []
        self.turned_away: list[int] = []
        self.calls: dict[int, Admission] = {}
        self._began_s = self.clock.now_s()

    def now_s(self) -> float:
        return round(self.clock.now_s() - self._began_s, 3)

    async def enter(self, row: Trial) -> None:
        """Wait as a row does."""
        try:
            self.calls[row.request.row] = await self.gate.wait_until_admitted(row)
        except GateClosedError:
            self.turned_away.append(row.request.row)
        else:
            self.let_in.append((row.request.row, self.now_s()))

    def answer(self, row: Trial, output: int = 10) -> None:
        """End a row's call as the dispatch does."""
        call = self.calls[row.request.row]
        self.books.answered(call, row, Usage(100, output), self.clock.now_s())
        self.gate.admit_ready()


def at_the_gate(books: Admissions, play: Callable[[Entrance, anyio.abc.TaskGroup], Awaitable[None]]) -> Entrance:
    """Run a scene at a gate; whoever still waits at its end is turned away."""

    async def scene() -> Entrance:
        entrance = Entrance(books)
        async with anyio.create_task_group() as side:
            side.start_soon(entrance.gate.keep_time)
            async with anyio.create_task_group() as rows:
                await play(entrance, rows)
                entrance.gate.close()
            side.cancel_scope.cancel()
        return entrance

    return run_virtual(scene)


def test_a_row_that_fits_goes_in_at_once():
    async def play(entrance, rows):
        await entrance.enter(trial(7))

    assert at_the_gate(admissions({GEO: tpm(60_000)}), play).let_in == [(7, 0.0)]


def test_the_lowest_row_number_goes_first():
    async def play(entrance, rows):
        first = trial(0, hold=1_000)
        await entrance.enter(first)
        for number in (5, 3, 4):
            rows.start_soon(entrance.enter, trial(number, hold=10))
        await anyio.sleep(1)
        entrance.answer(first)
        await anyio.sleep(1)

    entrance = at_the_gate(admissions({GEO: tpm(None)}, in_flight=1), play)

    assert entrance.let_in == [(0, 0.0), (3, 1.0)]
    assert sorted(entrance.turned_away) == [4, 5]


def test_time_alone_lets_the_next_row_in():
    async def play(entrance, rows):
        for number in range(3):
            rows.start_soon(entrance.enter, trial(number, hold=900))
        await anyio.sleep(100)

    entrance = at_the_gate(admissions({GEO: tpm(2_000)}), play)

    assert entrance.let_in == [(0, 0.0), (1, 0.0), (2, pytest.approx(21.0))]  # 700 missing at 2,000 a minute


def test_an_earlier_opening_wakes_the_line_before_the_later_one_it_slept_for():
    async def play(entrance, rows):
        rows.start_soon(entrance.enter, trial(0, hold=1_000))
        rows.start_soon(entrance.enter, trial(1, hold=1_000))
        await anyio.sleep(10)  # row 1 sleeps until 60 s
        entrance.books.withdrawn(entrance.calls[0], entrance.clock.now_s())
        entrance.gate.admit_ready()  # the hold came back
        await anyio.sleep(10)

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    assert entrance.let_in == [(0, 0.0), (1, 10.0)]


def test_a_large_row_at_the_front_is_not_overtaken():
    async def play(entrance, rows):
        await entrance.enter(trial(0, hold=600))
        rows.start_soon(entrance.enter, trial(1, hold=900))
        rows.start_soon(entrance.enter, trial(2, hold=10))
        await anyio.sleep(100)

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    # 500 are missing at 1,000 a minute; then 10 more come back in 0.6 s.
    assert entrance.let_in == [(0, 0.0), (1, pytest.approx(30.0)), (2, pytest.approx(30.6))]


def test_a_cancelled_row_at_the_front_lets_those_behind_it_go():
    async def play(entrance, rows):
        await entrance.enter(trial(0, hold=600))
        with anyio.CancelScope() as cancelled:
            async with anyio.create_task_group() as front:
                front.start_soon(entrance.enter, trial(1, hold=900))
                await anyio.sleep(1)
                rows.start_soon(entrance.enter, trial(2, hold=10))
                await anyio.sleep(1)
                cancelled.cancel()
        await anyio.sleep(1)

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    assert entrance.let_in == [(0, 0.0), (2, 2.0)]


def test_a_row_that_was_let_in_and_cancelled_before_it_knew_gives_its_call_back():
    async def play(entrance, rows):
        first = trial(0, hold=1_000)
        await entrance.enter(first)
        with anyio.CancelScope() as cancelled:
            async with anyio.create_task_group() as second:
                second.start_soon(entrance.enter, trial(1))
                await anyio.sleep(1)
                cancelled.cancel()
                entrance.answer(first)  # opens for row 1, which never runs again
        assert entrance.books.in_flight == 0
        await entrance.enter(trial(2))

    entrance = at_the_gate(admissions({GEO: tpm(None)}, in_flight=1), play)

    assert entrance.let_in == [(0, 0.0), (2, 1.0)]


def test_closing_turns_everybody_away_and_the_first_reason_stands():
    async def play(entrance, rows):
        await entrance.enter(trial(0, hold=1_000))
        rows.start_soon(entrance.enter, trial(1, hold=1_000))
        rows.start_soon(entrance.enter, trial(2, hold=5_000))  # stands aside
        await anyio.sleep(1)
        entrance.gate.close(RunStopped("first"))
        entrance.gate.close(RunStopped("second"))
        await entrance.enter(trial(3))

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    assert sorted(entrance.turned_away) == [1, 2, 3]
    assert str(entrance.gate.closed_by) == "first"
    assert len(entrance.gate) == 0


def test_a_row_that_was_let_in_before_the_gate_closed_and_has_not_gone_does_not_go():
    async def play(entrance, rows):
        first = trial(0, hold=1_000)
        await entrance.enter(first)
        rows.start_soon(entrance.enter, trial(1, hold=1_000))
        await anyio.sleep(1)
        entrance.answer(first, output=0)  # lets the second in, who learns of it at its next turn
        entrance.gate.close(RunStopped("the log cannot be written"))

    entrance = at_the_gate(admissions({GEO: tpm(None)}, in_flight=1), play)

    assert entrance.turned_away == [1]
    assert entrance.books.in_flight == 0


def test_a_row_larger_than_every_quota_stands_aside_and_holds_up_nobody():
    async def play(entrance, rows):
        await entrance.enter(trial(0, hold=900))
        rows.start_soon(entrance.enter, trial(1, hold=5_000))
        rows.start_soon(entrance.enter, trial(2, hold=50))
        await anyio.sleep(5)

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    assert entrance.let_in == [(0, 0.0), (2, 0.0)]


def test_a_row_that_stood_aside_goes_in_when_its_pool_has_rested_for_a_minute():
    async def play(entrance, rows):
        first = trial(0, hold=900)
        await entrance.enter(first)
        rows.start_soon(entrance.enter, trial(1, hold=5_000))
        await anyio.sleep(5)
        entrance.answer(first, output=180)  # 100 + 5 × 180 = 1,000: 100 of debt, from 5 s on
        await anyio.sleep(100)

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    assert entrance.let_in == [(0, 0.0), (1, 65.0)]


def test_a_row_that_stood_aside_goes_back_into_the_line_once_its_size_was_admitted():
    async def play(entrance, rows):
        large = trial(5, hold=2_000)
        large.throttles = 5
        small = trial(0, hold=3_000)
        await entrance.enter(small)
        rows.start_soon(entrance.enter, large)
        await anyio.sleep(1)
        assert entrance.let_in == [(0, 0.0)]
        entrance.answer(small)  # 3,000 were admitted
        await anyio.sleep(1)

    entrance = at_the_gate(admissions({GEO: tpm(None)}), play)

    assert entrance.let_in == [(0, 0.0), (5, 1.0)]


def test_a_row_for_a_parked_pool_goes_in_when_the_pool_opens_and_others_go_on_meanwhile():
    async def play(entrance, rows):
        small = trial(0)
        await entrance.enter(small)
        entrance.books.faulted(entrance.calls[0], small, DAY, entrance.clock.now_s())  # parked for an hour
        rows.start_soon(entrance.enter, trial(1, hold=50_000))  # fits only there
        for number in range(2, 80):  # 78 minutes' work for the small pool, which is never idle
            rows.start_soon(entrance.enter, trial(number, hold=1_000))
        await anyio.sleep(3_700)

    entrance = at_the_gate(admissions({GEO: tpm(60_000), EAST2: tpm(1_000)}), play)

    times = dict(entrance.let_in)
    assert times[1] == pytest.approx(3_600.0, abs=1)
    assert times[2] == 0.0
    assert times[10] == pytest.approx(480.0, abs=1)


def test_when_nothing_is_in_flight_and_no_lane_opens_soon_the_run_stops_and_says_why():
    async def play(entrance, rows):
        row = trial(0)
        await entrance.enter(row)
        entrance.books.faulted(entrance.calls[0], row, DAY, entrance.clock.now_s())
        await entrance.enter(row)

    entrance = at_the_gate(admissions({GEO: tpm(60_000)}), play)

    assert isinstance(entrance.gate.closed_by, RunStopped)
    assert "us from us-east-1: pool us-east-1/geo: its tokens per day are used up" in str(entrance.gate.closed_by)


def test_a_days_tokens_that_are_used_up_stop_the_run_with_their_numbers():
    async def play(entrance, rows):
        first = trial(0, hold=900)
        await entrance.enter(first)
        rows.start_soon(entrance.enter, trial(1, hold=900))
        await anyio.sleep(1)
        entrance.answer(first, output=160)  # 100 + 5 × 160 of 1,000 a day

    entrance = at_the_gate(admissions({GEO: tpm(60_000, tokens_per_day=1_000)}), play)

    assert "900 of 1000 tokens per day are used" in str(entrance.gate.closed_by)


def test_when_every_lane_is_closed_the_run_ends_for_want_of_access():
    async def play(entrance, rows):
        row = trial(0)
        await entrance.enter(row)
        entrance.books.faulted(entrance.calls[0], row, NO_LANE, entrance.clock.now_s())
        await entrance.enter(row)

    entrance = at_the_gate(admissions({GEO: tpm(60_000)}), play)

    assert isinstance(entrance.gate.closed_by, AccessError)


def test_a_blocked_pool_stops_the_run_before_anything_is_sent():
    async def play(entrance, rows):
        await entrance.enter(trial(0))

    entrance = at_the_gate(admissions({GEO: tpm(0)}), play)

    assert "its quota is 0" in str(entrance.gate.closed_by)
    assert entrance.calls == {}


def test_the_cost_cap_stops_the_run_once_nothing_is_in_flight():
    async def play(entrance, rows):
        first = trial(0)
        await entrance.enter(first)
        rows.start_soon(entrance.enter, trial(1))
        await anyio.sleep(1)
        assert entrance.gate.closed_by is None  # the first may give some back
        entrance.answer(first, output=90)

    entrance = at_the_gate(admissions({GEO: tpm(60_000)}, cap_usd=0.001), play)

    assert "limits.max_cost_usd = 0.001" in str(entrance.gate.closed_by)


def test_the_cost_cap_is_named_also_where_only_a_row_aside_is_left():
    async def play(entrance, rows):
        await entrance.enter(trial(0, hold=70_000))

    entrance = at_the_gate(admissions({GEO: tpm(60_000)}, cap_usd=0.000_1), play)

    assert "limits.max_cost_usd" in str(entrance.gate.closed_by)


def test_a_lane_that_is_shut_for_a_second_is_waited_for():
    async def play(entrance, rows):
        row = trial(0)
        for _ in range(5):
            await entrance.enter(row)
            entrance.books.faulted(entrance.calls[0], row, SERVER, entrance.clock.now_s())
        await entrance.enter(row)

    entrance = at_the_gate(admissions({GEO: tpm(None)}), play)

    assert entrance.let_in[-1] == (0, 1.0)


@pytest.mark.parametrize(
    ("in_flight", "quota", "bound"), [(1, None, Bound.IN_FLIGHT), (100, 1_000, Bound.QUOTA)], ids=["calls", "quota"]
)
def test_it_tells_what_the_front_of_the_line_waits_for(in_flight, quota, bound):
    async def play(entrance, rows):
        await entrance.enter(trial(0, hold=1_000))
        rows.start_soon(entrance.enter, trial(1, hold=1_000))
        await anyio.sleep(1)
        assert entrance.waits[-1] is bound

    at_the_gate(admissions({GEO: tpm(quota)}, in_flight=in_flight), play)


def test_many_rows_over_tight_pools_all_get_in():
    async def play(entrance, rows):
        async def live(row: Trial) -> None:
            await entrance.enter(row)
            await anyio.sleep(0.3)
            entrance.answer(row, output=30)

        async with anyio.create_task_group() as all_rows:
            for number in range(60):
                all_rows.start_soon(live, trial(number, hold=100 + 7 * (number % 13), max_tokens=50))

    entrance = at_the_gate(admissions({GEO: tpm(2_000), EAST2: tpm(900)}, in_flight=7), play)

    assert sorted(number for number, _ in entrance.let_in) == list(range(60))
    assert entrance.books.in_flight == 0


def test_a_row_that_never_fits_is_found_out_within_minutes():
    async def play(entrance, rows):
        row = trial(0, hold=5_000)
        while entrance.books.in_flight == 0:
            await entrance.enter(row)
            following = entrance.books.faulted(entrance.calls[0], row, TOKENS, entrance.clock.now_s())
            if following.name == "UNSENDABLE":
                return

    entrance = at_the_gate(admissions({GEO: tpm(1_000)}), play)

    assert len(entrance.let_in) == 5
    assert 240 <= entrance.let_in[-1][1] < 300  # five tries, a minute apart


def test_prefixes_that_change_while_nobody_waits_for_one_are_forgotten():
    books = admissions({GEO: tpm(None)})
    books.warmth = Warmth("5m", 4_096)

    async def play(entrance, rows):
        for number in range(20):
            row = trial(number)
            row.request = replace(row.request, prefixes=(Prefix(bytes([number]), 6_000, 21_000),))
            await entrance.enter(row)
            entrance.answer(row)

    at_the_gate(books, play)

    assert books.warmth.changed() == set()
