"""Which lane a row takes, and what it waits for if none."""

from math import inf

import pytest

from batchrun.lanes.lane import Lane
from batchrun.lanes.pool import Pool, Quota
from batchrun.lanes.router import Router, Wait
from tests.lanes.books import AT_ONCE, TOKENS, lane, tpm

PRICE = {"global": 1.0, "geo": 1.1}
GEO, EAST2, GLOBAL = "us from us-east-1", "us from us-east-2", "global from us-east-1"


def router(quotas: dict[str, Quota]) -> Router:
    lanes = [lane(name) for name in quotas]
    return Router(lanes, {one.pool: Pool(one.pool, quotas[one.name], AT_ONCE) for one in lanes}, PRICE)


def use(of: Router, name: str, tokens: float, now_s: float = 0.0) -> None:
    """Charge a lane's pool."""
    pool = of.pools[lane(name).pool]
    pool.settle(pool.reserve(tokens, now_s), tokens, now_s)


def test_the_cheapest_class_with_room_comes_first():
    lanes = router({GEO: tpm(9_000), GLOBAL: tpm(1_000)})

    assert lanes.choose(1_000, 0.0) == lane(GLOBAL)


def test_a_dearer_class_takes_over_while_the_cheaper_is_closed():
    lanes = router({GEO: tpm(9_000), GLOBAL: tpm(1_000)})
    use(lanes, GLOBAL, 1_000)

    assert lanes.choose(1_000, 0.0) == lane(GEO)
    assert lanes.choose(1_000, 60.0) == lane(GLOBAL)


def test_within_a_class_the_pool_with_the_most_relative_room_comes_first():
    lanes = router({GEO: tpm(10_000), EAST2: tpm(1_000)})
    use(lanes, GEO, 5_000)  # half of it; 5,000 left
    use(lanes, EAST2, 400)  # 60 % left; 600

    assert lanes.choose(100, 0.0) == lane(EAST2)


def test_a_row_that_the_emptiest_pool_cannot_take_goes_to_the_next():
    lanes = router({GEO: tpm(10_000), EAST2: tpm(1_000)})
    use(lanes, GEO, 5_000)

    assert lanes.choose(1_001, 0.0) == lane(GEO)


def test_pools_of_unknown_quota_share_the_calls_in_flight():
    lanes = router({GEO: tpm(None), EAST2: tpm(None)})
    lanes.pools["us-east-1/geo"].reserve(100, 0.0)

    assert lanes.choose(100, 0.0) == lane(EAST2)


def test_within_a_pool_the_lane_with_the_fewest_calls_comes_first():
    lanes = [lane(GLOBAL, pool="global"), lane("global from us-east-2", pool="global")]
    shared = Router(lanes, {"global": Pool("global", tpm(1_000), AT_ONCE)}, PRICE)
    shared.breakers[lanes[0]].in_flight = 1

    assert shared.choose(100, 0.0) == lanes[1]


def test_when_all_pools_are_closed_the_row_waits_for_the_earliest():
    lanes = router({GEO: tpm(1_000), EAST2: tpm(1_000)})
    use(lanes, EAST2, 1_000, now_s=0.0)
    use(lanes, GEO, 1_000, now_s=7.0)

    assert lanes.choose(500, 8.0) == Wait(pytest.approx(30.0), for_quota=True)


def test_a_blocked_pool_is_never_waited_for():
    lanes = router({GEO: tpm(0)})

    assert lanes.choose(1, 0.0) == Wait(inf, for_quota=True)
    assert not lanes.may_fit(1)


def test_a_wait_for_a_slow_lane_is_not_a_wait_for_quota():
    lanes = router({GEO: tpm(1_000)})
    for _ in range(5):
        lanes.breakers[lane(GEO)].failed(0.0, 1.0, capacity=False)

    assert lanes.choose(1, 1.0) == Wait(2.0, for_quota=False)


def test_a_row_too_large_for_a_pool_does_not_go_there_while_another_could_take_it():
    lanes = router({GEO: tpm(10_000), EAST2: tpm(1_000)})
    use(lanes, GEO, 9_000)

    assert lanes.choose(5_000, 0.0) == Wait(pytest.approx(24.0))  # east-2 is empty, and too small


def test_a_region_that_is_closed_closes_its_lanes_only():
    lanes = router({GEO: tpm(1_000), GLOBAL: tpm(1_000), EAST2: tpm(1_000)})
    lanes.close_region("us-east-1", "not enabled")

    assert lanes.choose(1, 0.0) == lane(EAST2)
    assert lanes.obstacles(0.0) == [f"{GEO}, {GLOBAL}: not enabled"]
    assert not lanes.all_closed()


def test_what_no_open_lane_takes_does_not_fit():
    lanes = router({GEO: tpm(10_000), EAST2: tpm(1_000)})
    lanes.close([lane(GEO)], "no access")

    assert not lanes.takes(5_000, 0.0)
    assert not lanes.may_fit(5_000)


def test_what_a_closed_pool_admitted_says_nothing_about_the_others():
    lanes = router({GEO: tpm(None), EAST2: tpm(None)})
    use(lanes, GEO, 5_000)
    assert lanes.largest_admitted() == 5_000

    lanes.close([lane(GEO)], "no access")

    assert lanes.largest_admitted() == 0


def test_a_parked_pool_takes_nothing_now_but_may_fit_later():
    lanes = router({GEO: tpm(10_000)})
    pool = lanes.pools["us-east-1/geo"]
    pool.park(pool.reserve(1, 0.0), 5_000.0, "parked", 0.0)

    assert not lanes.takes(1, 1.0)
    assert lanes.may_fit(1)
    assert lanes.obstacles(1.0) == [f"{GEO}: pool us-east-1/geo: parked"]


def test_rested_pools_are_tried_the_largest_first_and_the_untried_before_the_tried():
    lanes = router({GEO: tpm(1_000), EAST2: tpm(2_000)})

    assert lanes.choose_rested(5_000, frozenset(), 0.0) == lane(EAST2)
    assert lanes.choose_rested(5_000, frozenset({"us-east-2/geo"}), 0.0) == lane(GEO)


def test_a_row_for_a_rested_pool_waits_until_one_has_been_idle_for_a_minute():
    lanes = router({GEO: tpm(1_000)})
    use(lanes, GEO, 10, now_s=5.0)

    assert lanes.choose_rested(5_000, frozenset(), 6.0) == Wait(65.0)


def test_a_lane_that_is_shut_does_not_count_as_untried():
    lanes = router({GEO: tpm(1_000), EAST2: tpm(1_000)})
    for _ in range(5):
        lanes.breakers[lane(EAST2)].failed(0.0, 1.0, capacity=True)

    assert lanes.untried(frozenset({"us-east-1/geo"}), 1.5) == []
    assert lanes.untried(frozenset({"us-east-1/geo"}), 2.5) == ["us-east-2/geo"]


@pytest.mark.parametrize("name", [GEO, GLOBAL])
def test_a_throttled_pool_is_closed_and_the_other_takes_the_row_at_once(name: str):
    lanes = router({GEO: tpm(60_000), GLOBAL: tpm(60_000)})
    pool = lanes.pools[lane(name).pool]
    pool.refuse(pool.reserve(100, 0.0), 0.1, requests=TOKENS.action == "requests")

    chosen = lanes.choose(100, 0.1)

    assert isinstance(chosen, Lane)
    assert chosen.name != name


def two_classes() -> Router:
    """Return a router over a cheap pool and a dear one, both of which feel their way."""
    pools = {name: Pool(name, tpm(100_000)) for name in ("us-east-1/global", "us-east-1/geo")}
    return Router([lane(GLOBAL), lane(GEO)], pools, PRICE)


def test_a_dearer_class_is_used_while_the_cheaper_is_parked_though_its_first_calls_are_out():
    lanes = two_classes()
    cheap, _ = lanes.books_of(lane(GLOBAL))
    cheap.park(cheap.reserve(400, 0.0), 80_000.0, "its tokens per day are used up", 0.08)

    assert lanes.choose(400, 0.09) == lane(GEO)


def test_a_dearer_class_waits_while_the_cheaper_feels_its_way():
    lanes = two_classes()
    cheap, _ = lanes.books_of(lane(GLOBAL))
    for _ in range(2):
        cheap.reserve(40_000, 0.0)

    assert isinstance(lanes.choose(400, 0.05), Wait)
