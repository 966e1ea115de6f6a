"""When global pools look like one pool of the account."""

from batchrun.lanes.pool import Pool
from batchrun.lanes.shared import look_shared
from tests.lanes.books import AT_ONCE, tpm

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1")


def refused_at(times_s: dict[str, float], kind: str = "global") -> list[Pool]:
    """Return pools of 100,000 that were used a little and then refused at the times given, by Region."""
    pools = []
    for region in REGIONS:
        pool = Pool(f"{region}/{kind}", tpm(100_000), AT_ONCE)
        pool.settle(pool.reserve(400, 0.0), 400, 0.5)
        if region in times_s:
            pool.refuse(pool.reserve(400, times_s[region] - 0.1), times_s[region], requests=False)
        pools.append(pool)
    return pools


def test_global_pools_that_are_refused_together_far_below_their_quota_look_shared():
    told = look_shared(refused_at({region: 3.0 + place for place, region in enumerate(REGIONS)}))

    assert told is not None
    assert "4 of 4 global pools were refused within 3 s" in told
    assert 'quota.global_pool = "shared"' in told


def test_pools_that_are_refused_at_different_times_do_not():
    assert look_shared(refused_at({region: 3.0 + 20 * place for place, region in enumerate(REGIONS)})) is None


def test_one_wrong_number_among_many_says_nothing():
    assert look_shared(refused_at({"us-east-1": 3.0, "us-west-2": 3.0})) is None


def test_geo_pools_are_never_one():
    assert look_shared(refused_at(dict.fromkeys(REGIONS, 3.0), kind="geo")) is None
