"""Lanes that are throttled again and again: how many objects does that leave behind?"""

import gc

from batchrun.bedrock.card import load_card
from batchrun.bedrock.faults import Fault, classify
from batchrun.lanes.admission import Admission, Admissions, Budgets, Next
from batchrun.lanes.budget import DollarBudget, RetryBudget
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.lane import Routing, legal_lanes
from batchrun.lanes.metering import Metering
from batchrun.lanes.pool import Pool, Quota
from batchrun.lanes.router import Router
from batchrun.lanes.trial import Trial
from batchrun.records import Message, Prompt, Request

TOKENS = classify("ThrottlingException", 429, "Too many tokens, please wait before trying again.")
REQUESTS = classify("ThrottlingException", 429, "Too many requests, please wait before trying again.")
CASES = {
    "tokens of a known quota": (Quota(60_000, 600, 10**12), TOKENS),
    "requests of an unknown quota": (Quota(), REQUESTS),
}
ROWS = 50
LONGEST_STEP_S = 60.0


def admissions(quota: Quota) -> Admissions:
    """Return the books of two pools of that quota."""
    card = load_card()
    lanes, _ = legal_lanes(card, Routing(("us",), ("us-east-1", "us-west-2")))
    pools = {lane.pool: Pool(lane.pool, quota, Metering(skew_s=0.1)) for lane in lanes}
    budgets = Budgets(InFlightLimit(None, connections=600, first_cost=212.0), DollarBudget(None), RetryBudget(0.2), 6)
    router = Router(lanes, pools, {lane.price_class: 1.0 for lane in lanes})
    return Admissions(router, budgets, card.prices, card.output_burndown, lambda: 3_600.0)


def request(row: int) -> Request:
    return Request(row, Prompt(None, (Message("user", "Hello"),)), b"{}", 12, 200)


def left_behind(quota: Quota, fault: Fault, throttles: int) -> int:
    """Refuse so many calls in a row; return how many objects more there are after the last than after a fifth."""
    books = admissions(quota)
    trials = [Trial(request(row)) for row in range(ROWS)]
    now_s, before = 5_000.0, 0
    for number in range(throttles):
        if number == throttles // 5:
            before = objects()
        trial = trials[number % ROWS]
        admitted = books.admit(trial, now_s)
        while not isinstance(admitted, Admission):
            now_s = max(now_s + 0.01, min(admitted.at_s, now_s + LONGEST_STEP_S))
            admitted = books.admit(trial, now_s)
        now_s += 0.001
        following = books.faulted(admitted, trial, fault, now_s)
        assert following in {Next.ELSEWHERE, Next.UNSENDABLE}
    assert books.in_flight == 0
    return objects() - before


def objects() -> int:
    """Count what Python's collector tracks."""
    gc.collect()
    return len(gc.get_objects())
