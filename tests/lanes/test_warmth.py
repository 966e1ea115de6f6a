"""Which lanes keep a prefix: entries, those who write them, and lanes chosen for rows whose prefix is kept."""

from dataclasses import replace
from math import inf

import anyio
import pytest

from batchrun.lanes.admission import Admission, Admissions, Bound, Refused
from batchrun.lanes.router import Wait
from batchrun.lanes.warmth import LEAD_S, MANY, SPREAD_S, Heat, Warmth
from batchrun.records import Prefix, Usage
from tests.lanes.books import PRICES, SERVER, admissions, lane, tpm, trial
from tests.lanes.test_gate import at_the_gate

GLOBAL, GEO, EAST2 = "global from us-east-1", "us from us-east-1", "us from us-east-2"
A, B = (Prefix(key, 6_000, 21_000) for key in (b"a", b"b"))
WROTE, READ, NEITHER = Usage(20, 10, 0, 6_000), Usage(20, 10, 6_000, 0), Usage(6_020, 10)


def keeping(row=0, prefix=A, hold=1_000):
    made = trial(row, hold)
    made.request = replace(made.request, prefixes=(prefix,))
    return made


def books(quotas, ttl="5m"):
    made = admissions(quotas)
    return Admissions(made.router, made.budgets, PRICES, 5, lambda: 3_600.0, Warmth(ttl, 4_096))


def answered(made, admission, row, usage, now_s):
    made.answered(admission, row, usage, now_s)


def warmed(made, name, prefix=A, now_s=0.0):
    """Make a lane keep a prefix by a call of its own."""
    assert made.warmth is not None
    one = lane(name)
    leads = made.warmth.sent(one, [prefix.key], now_s)
    made.warmth.answered(one, [prefix.key], WROTE, now_s)
    made.warmth.ended(one, leads)


def heat(made, name, now_s, prefix=A):
    return made.warmth.heat(lane(name), [prefix.key], now_s)


def test_a_lane_is_cold_then_led_then_warm_until_its_ttl_has_passed_unused():
    made = books({GEO: tpm(60_000)})
    row = keeping()
    assert heat(made, GEO, 0.0) is Heat.COLD
    call = made.admit(row, 0.0)
    assert isinstance(call, Admission)
    assert call.leads == (A.key,)
    assert heat(made, GEO, 1.0) is Heat.LED

    answered(made, call, row, WROTE, 2.0)

    assert heat(made, GEO, 2.0) is Heat.WARM
    assert heat(made, GEO, 294.0) is Heat.WARM
    assert heat(made, GEO, 295.0) is Heat.COLD  # five seconds early: a call takes a while to arrive


def test_a_read_is_a_use():
    made = books({GEO: tpm(60_000)})
    warmed(made, GEO)
    row = keeping()
    call = made.admit(row, 200.0)

    assert call.leads == ()
    answered(made, call, row, READ, 202.0)
    assert heat(made, GEO, 490.0) is Heat.WARM


def test_an_hour_is_an_hour():
    made = books({GEO: tpm(60_000)}, ttl="1h")
    warmed(made, GEO)

    assert heat(made, GEO, 3_500.0) is Heat.WARM


def test_a_writer_that_fails_leaves_the_lane_cold():
    made = books({GEO: tpm(60_000)})
    row = keeping()
    made.faulted(made.admit(row, 0.0), row, SERVER, 1.0)

    assert heat(made, GEO, 1.0) is Heat.COLD
    assert made.warmth.changed() == {A.key}


@pytest.mark.parametrize("end", ["withdrawn", "abandoned"])
def test_so_does_one_that_is_never_sent_or_cut_off(end):
    made = books({GEO: tpm(60_000)})
    getattr(made, end)(made.admit(keeping(), 0.0), 1.0)

    assert heat(made, GEO, 1.0) is Heat.COLD


def test_a_writer_that_hangs_is_waited_for_no_longer_than_usual_answers_take():
    made = books({GEO: tpm(60_000)})
    made.admit(keeping(0), 0.0)
    waits = made.admit(keeping(1), 1.0)

    assert waits == Refused(Bound.CACHE, LEAD_S)
    assert isinstance(made.admit(keeping(1), LEAD_S), Admission)


def test_a_prefix_that_bedrock_ignores_is_not_waited_for():
    made = books({GEO: tpm(60_000)})
    row = keeping()
    answered(made, made.admit(row, 0.0), row, NEITHER, 2.0)

    for number in (1, 2):
        assert isinstance(made.admit(keeping(number), 2.0), Admission)


def test_a_prefix_that_is_surely_too_short_is_not_waited_for_either():
    made = books({GEO: tpm(60_000)})
    short = Prefix(b"short", 3_000, 9_000)

    for number in (0, 1):
        assert isinstance(made.admit(keeping(number, short), 0.0), Admission)


def test_a_warm_lane_is_chosen_before_a_cold_one_with_more_room():
    made = books({GEO: tpm(60_000), EAST2: tpm(600_000)})
    warmed(made, GEO)

    assert made.admit(keeping(), 1.0).lane == lane(GEO)


def test_of_two_warm_lanes_the_cheaper_is_chosen():
    made = books({GEO: tpm(60_000), GLOBAL: tpm(6_000)})
    warmed(made, GEO)
    warmed(made, GLOBAL)

    assert made.admit(keeping(), 1.0).lane == lane(GLOBAL)


def test_a_few_rows_wait_for_a_warm_lane_that_opens_soon():
    made = books({GEO: tpm(60_000), EAST2: tpm(60_000)})
    warmed(made, GEO)
    for _ in range(5):
        made.router.breakers[lane(GEO)].failed(0.5, 1.0, capacity=False)

    assert made.admit(keeping(1), 1.0) == Refused(Bound.CACHE, 2.0)  # when it opens, a second later
    assert made.admit(keeping(1), 2.0).lane == lane(GEO)


def test_a_few_rows_warm_another_lane_if_the_warm_one_is_shut_for_long():
    made = books({GEO: tpm(60_000), EAST2: tpm(60_000)})
    warmed(made, GEO)
    made.router.breakers[lane(GEO)].close("gone")

    assert made.admit(keeping(1), 1.0).lane == lane(EAST2)


@pytest.mark.parametrize(("ttl", "rows"), [("5m", 4), ("1h", 6)])
def test_so_many_rows_as_pay_for_it_warm_another_lane_though_not_at_once(ttl, rows):
    made = books({GEO: tpm(60_000), EAST2: tpm(60_000)}, ttl)
    first = made.admit(keeping(0), 0.0)
    waiting = [keeping(number) for number in range(1, rows + 1)]
    for row in waiting[:-1]:
        made.warmth.arrived(row.request)
    assert made.admit(waiting[0], 0.0) == Refused(Bound.CACHE, SPREAD_S)
    assert isinstance(made.admit(waiting[0], SPREAD_S), Refused)  # one too few for two lanes

    made.warmth.arrived(waiting[-1].request)

    assert {first.lane, made.admit(waiting[0], SPREAD_S).lane} == {lane(GEO), lane(EAST2)}


def test_many_rows_pay_for_any_lane():
    made = books({f"us from us-east-{number}": tpm(60_000) for number in range(1, 8)})
    rows = [keeping(number) for number in range(MANY + 6)]
    for row in rows:
        made.warmth.arrived(row.request)
    made.admit(rows[0], 0.0)
    made.admit(rows[1], 0.0)

    assert len({made.admit(row, SPREAD_S).lane for row in rows[1:7]}) == 6


def test_a_shut_gate_of_all_lanes_is_told_as_without_a_cache():
    made = books({GEO: tpm(0)})

    assert made.admit(keeping(), 0.0) == Refused(Bound.QUOTA, inf)
    assert made.router.choose(1_000, 0.0) == Wait(inf, for_quota=True)


def test_a_row_with_another_prefix_passes_those_who_wait():
    async def play(entrance, rows):
        for number, prefix in enumerate((A, A, A, B)):
            rows.start_soon(entrance.enter, keeping(number, prefix))
        await anyio.sleep(1)
        assert [row for row, _ in entrance.let_in] == [0, 3]
        entrance.books.answered(entrance.calls[0], keeping(0), WROTE, entrance.clock.now_s())
        entrance.gate.admit_ready()
        await anyio.sleep(1)

    entrance = at_the_gate(books({GEO: tpm(60_000)}), play)

    assert entrance.let_in == [(0, 0.0), (3, 0.0), (1, 1.0), (2, 1.0)]


def test_those_who_wait_hold_neither_quota_nor_places():
    async def play(entrance, rows):
        for number in range(5):
            rows.start_soon(entrance.enter, keeping(number))
        await anyio.sleep(1)
        assert len(entrance.gate) == 4
        assert entrance.books.in_flight == 1
        assert entrance.books.router.pools["us-east-1/geo"].used_tokens(entrance.clock.now_s()) == 1_000

    entrance = at_the_gate(books({GEO: tpm(60_000)}), play)

    assert sorted(entrance.turned_away) == [1, 2, 3, 4]


def test_the_next_leads_when_a_writer_has_failed():
    async def play(entrance, rows):
        row = keeping(0)
        await entrance.enter(row)
        for number in (1, 2):
            rows.start_soon(entrance.enter, keeping(number))
        await anyio.sleep(2)
        entrance.books.faulted(entrance.calls[0], row, SERVER, entrance.clock.now_s())
        entrance.gate.admit_ready()
        await anyio.sleep(1)

    assert at_the_gate(books({GEO: tpm(60_000)}), play).let_in == [(0, 0.0), (1, 2.0)]


def test_a_row_that_is_cancelled_while_it_waits_leaves_nothing_behind():
    made = books({GEO: tpm(60_000)})

    async def play(entrance, rows):
        await entrance.enter(keeping(0))
        with anyio.move_on_after(1):
            await entrance.enter(keeping(1))
        assert len(entrance.gate) == 0

    at_the_gate(made, play)

    assert made.warmth.waiting(A.key) == 0


def test_prefixes_beyond_counting_do_not_fill_the_memory():
    warmth = Warmth("5m", 4_096, most_known=1_000)
    one = lane(GEO)
    for number in range(1_500):
        key = number.to_bytes(4, "big")
        warmth.ended(one, warmth.sent(one, [key], 0.0))
        warmth.answered(one, [key], WROTE, 0.0)
    warmth.changed()

    assert int(repr(warmth).split()[0].partition("(")[2]) <= 1_000
    assert warmth.heat(one, [(1_499).to_bytes(4, "big")], 1.0) is Heat.WARM
