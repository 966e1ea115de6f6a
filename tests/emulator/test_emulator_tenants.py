"""Somebody else on a pool: what a tenant takes, and what is left for calls of ours."""

import pytest
from emulated_calls import begun, invoke

from batchrun.bedrock.card import load_card
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.faults import TOO_MANY_TOKENS
from batchrun.emulator.pools import make_pools
from batchrun.emulator.service import Bedrock

POOL = "us-east-1/geo"


def pool_with(*tenants, **keys):
    spec = EmulatorSpec(tpm=60_000, tenants=[{"pool": POOL, **tenant} for tenant in tenants], **keys)
    return make_pools(spec, load_card())[POOL]


def test_a_tenant_takes_its_rate_while_it_is_there():
    pool = pool_with({"tokens_per_minute": 12_000, "from_s": 10, "to_s": 40})

    for now_s, taken in ((9.0, 0), (10.0, 0), (11.0, 200), (40.0, 6_000), (100.0, 6_000)):
        pool.refusal(1, now_s)
        assert pool.tenant_tokens == pytest.approx(taken)  # 12,000 / 60 = 200 a second


def test_a_share_is_of_the_pools_own_quota():
    pool = pool_with({"share": 0.5})
    pool.refusal(1, 6.0)

    assert pool.tenant_tokens == pytest.approx(3_000)  # half of 60,000 for a tenth of a minute


def test_what_a_tenant_has_taken_is_gone_for_others():
    pool = pool_with({"tokens_per_minute": 30_000}, window="sliding")

    assert pool.refusal(45_000, 30.0) is None  # 15,000 are taken
    assert pool.refusal(45_001, 30.0) == TOO_MANY_TOKENS


def test_a_tenant_gets_nothing_while_the_meter_is_empty_and_does_not_ask_for_it_again():
    pool = pool_with({"tokens_per_minute": 30_000}, window="fixed")
    pool.admit(60_000, 0.0)
    pool.refusal(1, 59.95)
    assert pool.tenant_tokens == 0

    pool.refusal(1, 66.0)  # the new minute: 6 s and the step on its edge at 50 a step

    assert pool.tenant_tokens == pytest.approx(61 * 50)


def test_a_bucket_that_we_leave_empty_is_shared_by_its_refill():
    # Refill 1,000 a second, the tenant wants 1,500 and gets the refill; debt of ours is paid before it gets any.
    pool = pool_with({"tokens_per_minute": 90_000})
    reservation = pool.admit(60_000, 0.0)
    pool.settle(reservation, 65_000, 0.0)  # 5,000 of debt: 5 s

    pool.refusal(1, 5.0)
    assert pool.tenant_tokens == pytest.approx(0)

    pool.refusal(1, 15.0)
    assert pool.tenant_tokens == pytest.approx(10_000, abs=150)


def test_what_a_tenant_takes_does_not_depend_on_how_often_the_pool_is_used():
    seldom, often = pool_with({"share": 0.7}), pool_with({"share": 0.7})
    for tenth in range(1_000):
        often.refusal(1, tenth / 10)
    seldom.refusal(1, 99.9)

    assert seldom.tenant_tokens == often.tenant_tokens


def test_two_tenants_may_come_one_after_the_other():
    pool = pool_with({"share": 0.5, "to_s": 60}, {"share": 0.1, "from_s": 120, "to_s": 180})
    pool.refusal(1, 300.0)

    assert pool.tenant_tokens == pytest.approx(30_000 + 6_000)


def test_two_tenants_at_once_draw_in_the_order_of_time():
    # Sliding: what both took in the first 30 s leaves from 60 s on, step by step.
    pool = pool_with({"share": 0.5, "to_s": 30}, {"share": 0.5, "to_s": 30}, window="sliding")
    pool.refusal(1, 30.0)
    assert pool.tokens.room(30.0) == pytest.approx(30_000)

    assert pool.tokens.room(75.0) == pytest.approx(45_000, abs=200)


def test_a_pool_without_a_quota_of_its_own_is_not_drawn_on_by_a_tenant_of_another():
    spec = EmulatorSpec(tpm=60_000, tenants=[{"pool": POOL, "share": 1}])
    other = make_pools(spec, load_card())["us-west-2/geo"]

    assert other.refusal(60_000, 100.0) is None


def test_the_books_tell_what_a_tenant_drew():
    bedrock = Bedrock(EmulatorSpec(tpm=60_000, tenants=[{"pool": POOL, "tokens_per_minute": 600}]))
    begun(bedrock, invoke(), 30.0)

    assert bedrock.books.stats()["pools"][POOL]["tenant_tokens"] == 300
