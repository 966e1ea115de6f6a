"""What a review broke in the quota's parts, as tests."""

import pytest

from batchrun.bedrock.faults import Action
from batchrun.emulator.meter import FixedWindow
from batchrun.lanes.level import Level
from batchrun.lanes.metering import Metering
from batchrun.lanes.minute import Minute
from batchrun.lanes.mirror import Mirror
from batchrun.lanes.pool import Pool, Quota
from batchrun.lanes.router import Router, Wait
from tests.lanes.books import AT_ONCE, DAY, SERVER, admissions, admitted, lane, tpm, trial

GEO, GLOBAL = "us@us-east-1", "global@us-east-1"


def test_a_dearer_class_is_used_while_the_cheaper_is_parked_though_its_first_calls_are_out():
    pools = {
        "us-east-1/global": Pool("us-east-1/global", tpm(100_000)),
        "us-east-1/geo": Pool("us-east-1/geo", tpm(100_000)),
    }
    lanes = Router([lane(GLOBAL), lane(GEO)], pools, {"global": 1.0, "geo": 1.1})
    cheap, _ = lanes.books_of(lane(GLOBAL))
    cheap.park(cheap.reserve(400, 0.0), 80_000.0, "its tokens per day are used up", 0.08)

    assert DAY.action is Action.DAY
    assert lanes.choose(400, 0.09) == lane(GEO)


def test_a_dearer_class_waits_while_the_cheaper_feels_its_way():
    pools = {
        "us-east-1/global": Pool("us-east-1/global", tpm(100_000)),
        "us-east-1/geo": Pool("us-east-1/geo", tpm(100_000)),
    }
    lanes = Router([lane(GLOBAL), lane(GEO)], pools, {"global": 1.0, "geo": 1.1})
    cheap, _ = lanes.books_of(lane(GLOBAL))
    for _ in range(2):
        cheap.reserve(40_000, 0.0)

    assert isinstance(lanes.choose(400, 0.05), Wait)


def test_a_parked_call_leaves_the_promise_once():
    pool = Pool("us-east-1/geo", Quota(10_000, promised=True), AT_ONCE)
    stays, parked = pool.reserve(400, 0.0), pool.reserve(400, 0.0)
    pool.park(parked, 1.0, "tried", 0.5)
    others = [pool.reserve(400, 2.0) for _ in range(4)]  # 5 × 2,000 are promised: no sixth

    assert pool.ready_at(400, 2.0) > 2.0
    for one in (stays, *others):
        pool.settle(one, 100, 3.0)
    assert pool.ready_at(400, 3.0) < 10.0


def test_a_pool_whose_requests_are_used_up_is_not_rested():
    pool = Pool("us-east-1/geo", tpm(10_000, requests_per_minute=60), AT_ONCE)
    pool.refuse(pool.reserve(400, 0.0), 0.1, requests=True, retry_after_s=120.0)

    assert pool.rested_at(15_000, 0.1) == pytest.approx(120.1)


def test_calls_that_failed_for_other_reasons_are_no_sign_that_the_minute_is_wrong():
    books = admissions({GEO: tpm(10_000)})
    pool = books.router.pools["us-east-1/geo"]
    for number in range(20):
        admitted(books, trial(number, hold=490), 0.0)  # 9,800: the minute is full, and the level comes back
    assert pool.ready_at(490, 0.5) == 10.5  # when the minute is first put to the test
    row = trial(99, hold=490)
    for second in range(11, 16):
        books.faulted(admitted(books, row, second), row, SERVER, second + 0.1)
        books.router.breakers[lane(GEO)].answered()
    again = admitted(books, row, 30.0)

    assert again.reservation.tokens.beyond  # still a test, and none has gone well: that would halve the wait
    assert "wait_s=30" in repr(pool)


def test_an_old_pin_is_not_undone():
    level = Level(50_000)
    level.pin(400, 0.0, 5.0, measure=False)
    now_s = 5.0
    while now_s < 605.0:
        level.charge(530, now_s)
        now_s += 0.7
    before_s = level.ready_at(400, now_s)
    level.unpin(now_s)

    assert level.ready_at(400, now_s) == before_s


def test_a_rate_is_never_above_the_jobs_number():
    level = Level(10_000)
    level.pin(15_000, 0.0, 5.0, measure=True)

    assert level.rate_per_s == pytest.approx(10_000 / 60)


def test_what_calls_gave_back_after_a_turn_counts_when_it_is_taken_back():
    minute = Minute(50_000, 0.0, 0.0)
    held = [minute.hold(5_000, 59.0) for _ in range(8)]
    minute.turn(60.0)
    for one in held:
        minute.settle(one, 500, 61.0)
    minute.turn_back()

    assert minute.used(62.0) == 8 * 500


def test_a_debt_that_has_left_the_minute_is_not_taken_off_twice():
    minute = Minute(10_000, 0.0, 0.0)
    minute.hold(22_000, 1.0)
    minute.turn(10.0)  # 12,000 in debt
    minute.hold(1_500, 65.0)
    minute.used(70.5)
    minute.turn_back()

    assert minute.used(70.5) == 1_500


def test_a_first_refusal_that_took_long_does_not_confirm_itself():
    mirror = Mirror(10_000, Metering(round_trip_s=0.15), slack=0.0, cautious=True)
    meter = FixedWindow(10_000)
    for number in range(20):
        mirror.hold(500, number * 1.0)
        meter.take(500, number * 1.0)
    mirror.ready_at(500, 20.0)
    test = mirror.hold(500, 31.0)
    mirror.refuse(test, 32.5)

    assert mirror.ready_at(500, 33.5) > 40.0  # the minute was right; the next test is half a minute away
