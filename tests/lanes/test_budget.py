"""Dollars that are never exceeded, and retries that slow admission when they run over."""

import pytest

from batchrun.lanes.budget import DollarBudget, RetryBudget, dollars, price_order
from batchrun.records import Usage
from tests.lanes.books import PRICES


def test_a_call_costs_each_kind_of_token_at_its_price():
    usage = Usage(input=1_000_000, output=100_000, cache_read=200_000, cache_write=400_000)

    assert dollars(usage, PRICES["global"]) == pytest.approx(1.00 + 0.50 + 0.02 + 0.50)


def test_the_cheaper_class_comes_first():
    order = price_order(PRICES)

    assert sorted(order, key=order.__getitem__) == ["global", "geo"]


def test_a_call_fits_only_if_its_worst_case_does():
    budget = DollarBudget(1.0, spent_usd=0.5)

    assert budget.fits(0.5)
    assert not budget.fits(0.51)


def test_reserved_dollars_count_against_the_cap():
    budget = DollarBudget(1.0)
    budget.reserve(0.75)

    assert not budget.fits(0.5)


def test_a_settled_call_counts_what_it_cost():
    budget = DollarBudget(1.0)
    budget.reserve(0.75)
    budget.settle(0.75, 0.25)

    assert budget.spent_usd == 0.25
    assert budget.fits(0.75)


def test_without_a_cap_everything_fits():
    assert DollarBudget(None, spent_usd=1e9).fits(1e9)


def test_float_sums_leave_nothing_reserved_behind():
    budget = DollarBudget(1.0)
    for worst_usd in (0.1, 0.2, 0.3):
        budget.reserve(worst_usd)
    for worst_usd in (0.3, 0.1, 0.2):  # 0.1 + 0.2 + 0.3 − 0.3 − 0.1 − 0.2 is not 0 in floats
        budget.settle(worst_usd, 0.0)

    assert budget.reserved_usd == 0.0


def counted(budget: RetryBudget, *, calls: int, extra: int, now_s: float) -> RetryBudget:
    for place in range(calls):
        budget.count(now_s, extra=place < extra)
    return budget


def test_extra_calls_within_the_share_slow_nothing():
    budget = counted(RetryBudget(0.2), calls=100, extra=30, now_s=0.0)  # 0.2 × 100 + 10 free

    assert budget.slowdown(0.0) == 1.0


def test_extra_calls_above_the_share_slow_admission_by_as_much():
    budget = counted(RetryBudget(0.2), calls=100, extra=60, now_s=0.0)

    assert budget.slowdown(0.0) == 0.5  # 30 allowed of 60


def test_extra_calls_are_forgotten_after_five_minutes():
    budget = counted(RetryBudget(0.2), calls=100, extra=60, now_s=0.0)

    assert budget.slowdown(300.0) == 0.5
    assert budget.slowdown(301.0) == 1.0


def test_a_share_of_zero_slows_but_never_stops():
    budget = counted(RetryBudget(0.0), calls=1_000, extra=1_000, now_s=0.0)

    assert budget.slowdown(0.0) == 0.01
