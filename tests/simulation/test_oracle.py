"""The oracle against sums worked by hand: what a client could reach that knows the meter."""

import pytest

from batchrun.bedrock.card import load_card
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.pools import make_pools
from tests.simulation.oracle import Call, Outlet, optimum_a, optimum_b


def outlets(*regions, **keys):
    spec = EmulatorSpec(**keys)
    pools = make_pools(spec, load_card())
    return [Outlet(pools[f"{region}/geo"], edge_s=spec.edge_s) for region in regions or ("us-east-1",)]


def rows(count, hold=400, charge=400, latency_s=1.0):
    return [Call(hold, charge, latency_s)] * count


def near(seconds):
    return pytest.approx(seconds, abs=0.01)


def test_what_the_meter_holds_at_the_start_goes_at_once():
    assert optimum_a(outlets(tpm=60_000), rows(150)) == near(1.0)  # 150 × 400 = 60,000


def test_a_bucket_is_then_fed_at_its_rate():
    # 1,000 a second: 250 rows are 100,000, of which 60,000 go at once and the last 400 fit at 40 s.
    assert optimum_a(outlets(tpm=60_000), rows(250)) == near(41.0)


def test_a_bucket_of_five_seconds_holds_a_twelfth():
    # 5,000 at once, 95,000 at 1,000 a second.
    assert optimum_a(outlets(tpm=60_000, burst_s=5), rows(250)) == near(96.0)


def test_a_settlement_above_its_hold_is_paid_for_by_later_rows():
    # 500 a second. 75 rows hold 30,000 at once, the 76th goes in at 0.8 s. At 1.8 s they are settled at 60,800, and the
    # level is 30,000 + 900 - 60,800 = -29,900: the 30,300 to the 77th row take 60.6 s.
    assert optimum_a(outlets(tpm=30_000), rows(76, charge=800)) == near(1.8)
    assert optimum_a(outlets(tpm=30_000), rows(77, charge=800)) == near(1.8 + 60.6 + 1.0)


def test_a_settlement_below_its_hold_lets_the_next_row_in():
    # Holds of 600 fit once into 1,000 and settle at 100 after a second: then the next, one a second.
    assert optimum_a(outlets(tpm=1_000, window="sliding"), rows(4, hold=600, charge=100)) == near(4.0)


def test_a_fixed_minute_is_sent_whole_at_each_edge():
    # 150 rows a minute: 400 rows need the minutes that begin at 0, 60 and 120 s.
    assert optimum_a(outlets(tpm=60_000, window="fixed"), rows(400)) == near(121.0)


def test_an_edge_elsewhere_gives_a_second_minute_sooner():
    assert optimum_a(outlets(tpm=60_000, window="fixed", edge_s=20), rows(300)) == near(21.0)
    assert optimum_a(outlets(tpm=60_000, window="fixed", edge_s=20), rows(301)) == near(81.0)


def test_a_sliding_minute_opens_when_a_charge_leaves_it():
    assert optimum_a(outlets(tpm=60_000, window="sliding"), rows(300)) == near(61.0)
    # 150 hold 60,000 and settle 60,000 above it after 1 s: the holds leave at 60 s, what is above them at 61 s.
    assert optimum_a(outlets(tpm=60_000, window="sliding"), rows(151, charge=800)) == near(62.0)


def test_requests_are_metered_beside_tokens():
    # 60 requests at once, then one a second: the 70th goes at 10 s.
    assert optimum_a(outlets(tpm=1_000_000, rpm=60), rows(70)) == near(11.0)


def test_rows_go_to_whatever_pool_they_fit_into_first():
    # Two pools of 60,000 take 300 rows at once and 5 rows a second.
    both = outlets("us-east-1", "us-west-2", tpm=60_000)

    assert optimum_a(both, rows(350)) == near(11.0)


def test_a_small_pool_serves_beside_a_large_one():
    spec = {"tpm": 60_000, "pools": {"us-west-2/geo": {"tpm": 6_000}}}
    # 150 + 15 at once, then 2.75 a second; the last 110 take 40 s.
    assert optimum_a(outlets("us-east-1", "us-west-2", **spec), rows(275)) == near(41.0)


def test_a_slow_pool_answers_late():
    (one,) = outlets(tpm=60_000)
    assert optimum_a([Outlet(one.pool, latency_factor=10.0)], rows(1)) == near(10.0)


def test_a_tenant_takes_its_share_from_the_oracle_too():
    tenants = [{"pool": "us-east-1/geo", "share": 0.5}]
    # From 60,000 both drink: the tenant 500 a second, 500 are left for us: 100 rows of 400 take 80 s.
    alone = optimum_a(outlets(tpm=60_000), rows(250))
    shared = optimum_a(outlets(tpm=60_000, tenants=tenants), rows(250))

    assert alone == near(41.0)
    assert shared == pytest.approx(81.0, abs=1.0)


def test_a_row_that_fits_nowhere_is_said():
    with pytest.raises(AssertionError, match="a row that holds 2000 fits nowhere"):
        optimum_a(outlets(tpm=1_000), rows(1, hold=2_000))


def test_the_sum_takes_off_what_was_held_at_the_start():
    pools = [outlet.pool for outlet in outlets("us-east-1", "us-west-2", tpm=60_000)]

    # 300,000 - 2 × 60,000 at 2,000 a second, and the last latency.
    assert optimum_b(pools, 300_000, calls=750, last_latency_s=1.5) == near(90.0 + 1.5)
    assert optimum_b(pools, 100_000, calls=250, last_latency_s=1.5) == near(1.5)


def test_the_sum_of_a_short_bucket_takes_off_no_more_than_it_holds():
    pools = [outlet.pool for outlet in outlets(tpm=60_000, burst_s=5)]

    assert optimum_b(pools, 65_000, calls=1, last_latency_s=0.0) == near(60.0)


def test_the_sum_is_of_requests_where_they_are_scarcer():
    pools = [outlet.pool for outlet in outlets(tpm=1_000_000, rpm=60)]

    assert optimum_b(pools, 1_000, calls=660, last_latency_s=1.0) == near(601.0)
