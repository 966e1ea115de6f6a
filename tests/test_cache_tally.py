"""What the summary and the screen say of prompt caching."""

import pytest

from batchrun.lanes.budget import dollars, saved_dollars, worst_dollars
from batchrun.records import Usage
from batchrun.screen.caching import CacheTally, cache_text
from tests.lanes.books import PRICES

GEO = PRICES["geo"]
READ, WROTE, NEITHER = Usage(100, 50, 6_000, 0), Usage(100, 50, 0, 6_000), Usage(6_100, 50)


def told(tally, usage, times):
    found = [tally.add(usage, saved_dollars(usage, GEO)) for _ in range(times)]
    return [one for one in found if one is not None]


def test_a_write_is_billed_by_its_ttl():
    assert dollars(WROTE, GEO, "5m") == pytest.approx((100 * 1.1 + 50 * 5.5 + 6_000 * 1.375) / 1e6)
    assert dollars(WROTE, GEO, "1h") == pytest.approx((100 * 1.1 + 50 * 5.5 + 6_000 * 2.2) / 1e6)


def test_a_read_saves_nine_tenths_and_a_write_loses_a_quarter_or_all():
    assert saved_dollars(READ, GEO) == pytest.approx(6_000 * 0.99e-6)
    assert saved_dollars(WROTE, GEO) == pytest.approx(-6_000 * 0.275e-6)
    assert saved_dollars(WROTE, GEO, "1h") == pytest.approx(-6_000 * 1.1e-6)
    assert saved_dollars(NEITHER, GEO) == pytest.approx(0.0)


def test_no_call_costs_more_than_what_was_set_aside_for_it():
    for ttl in ("5m", "1h"):
        for usage in (READ, WROTE, NEITHER):
            assert dollars(usage, GEO, ttl) <= worst_dollars(6_100, 50, GEO, 6_000, ttl) + 1e-12


def test_a_cache_that_pays_is_not_warned_of():
    tally = CacheTally()

    assert told(tally, WROTE, 25) + told(tally, READ, 75) + told(tally, WROTE, 200) == []
    assert tally.record()["hits"] == 75


def test_one_that_does_not_is_warned_of_once_after_a_hundred_answers():
    tally = CacheTally()
    [warning] = told(tally, READ, 5) + told(tally, WROTE, 300)

    assert "in 100 answers 5 read a prefix and 95 wrote one" in warning


def test_one_that_stops_paying_is_warned_of_later():
    tally = CacheTally()

    assert told(tally, READ, 60) == []
    assert len(told(tally, WROTE, 300)) == 1


def test_one_that_bedrock_ignores_is_told_as_such():
    [warning] = told(CacheTally(), NEITHER, 150)

    assert "kept nothing in 100 answers" in warning


def test_people_read_what_was_lost():
    tally = CacheTally()
    told(tally, WROTE, 2)
    told(tally, NEITHER, 1)

    assert cache_text(tally.record()) == (
        "lost $0.003300: 0 answers read 0 tokens, 2 only wrote; 12,000 tokens were written, 1 were ignored"
    )
