"""max_tokens = "auto": what is learnt, how soon, and what an answer that was cut changes."""

import json
from collections import deque
from heapq import heappop, heappush
from math import inf
from random import Random

import pytest

from batchrun.bedrock.body import Sampling, invoke_body
from batchrun.lanes.max_tokens import MaxTokens
from batchrun.lanes.trial import Trial
from batchrun.records import Message, Prompt, Request

PROMPT = Prompt(None, (Message("user", "?"),))
BURNDOWN = 5


def waiting(row: int = 0, max_tokens: int = 512, input_tokens: int = 100) -> Trial:
    """Return a row that was rendered with `max_tokens`."""
    body = invoke_body(PROMPT, Sampling(max_tokens))
    return Trial(Request(row, PROMPT, body, input_tokens, max_tokens))


def learner(ceiling: int = 64_000, **more) -> MaxTokens:
    return MaxTokens(ceiling, BURNDOWN, **more)


def out(learning: MaxTokens, row: int = 0, now_s: float = 0.0) -> Trial:
    """Send a row."""
    trial = waiting(row)
    learning.size(trial)
    learning.sent(trial, now_s)
    return trial


def answers(learning: MaxTokens, lengths, now_s: float = 0.0) -> None:
    """Send rows one after the other, each answered at a length below its max_tokens."""
    for row, length in enumerate(lengths):
        learning.whole(out(learning, row, now_s), length, now_s)


# The beginning


def test_a_run_begins_at_512_or_at_a_lower_ceiling():
    assert learner().learnt == 512
    assert learner(ceiling=300).learnt == 300


def test_a_few_short_answers_do_not_lower_it_yet():
    learning = learner()
    answers(learning, [60] * 98)

    assert learning.learnt == 512


def test_a_few_long_answers_raise_it_to_three_times_the_longest():
    learning = learner()
    answers(learning, [60, 400])

    assert learning.learnt == 1_280  # 3 × 400 = 1,200, in steps of 128


def test_few_calls_go_out_until_answers_are_known():
    learning = learner()
    allowed = [learning.calls]
    for known in (2, 10, 256):
        answers(learning, [60] * (known - len(allowed) + 1))
        allowed.append(learning.calls)

    assert allowed[0] == allowed[1] == 8  # 4 × 2 is no more than the first 8
    assert allowed[2] > 8
    assert learner(known=[60] * 256).calls == inf


def test_short_answers_wait_for_longer_ones_that_were_sent_before():
    # A row of 500 tokens was sent first, and 110 short ones have come back: those say nothing about such rows.
    learning = learner()
    slow = out(learning)
    answers(learning, [20] * 110)

    assert (learning.learnt, learning.calls) == (512, 8)
    learning.whole(slow, 500, 5.0)
    assert learning.learnt == 640  # 111 answers are too few to leave one out: 1.25 × 500 = 625, in steps of 64


def test_a_call_that_hangs_is_not_waited_for():
    learning = learner()
    out(learning, 0, now_s=0.0)
    answers(learning, [20] * 300, now_s=31.0)

    assert learning.learnt == 104  # 5 × 20 = 100, in steps of 8


def test_an_answer_that_took_too_long_counts_when_it_comes():
    learning = learner()
    slow = [out(learning, row) for row in range(10)]
    answers(learning, [20] * 300, now_s=31.0)
    for trial in slow:
        learning.whole(trial, 400, 60.0)

    assert learning.learnt == 512  # 1.25 × 400 = 500, in steps of 32


# What nearly all need


def test_it_is_a_quarter_above_what_all_but_one_in_a_hundred_need():
    learning = learner()
    answers(learning, [40] * 980 + [400] * 20)

    assert learning.learnt == 512  # 1.25 × 400 = 500


def test_one_answer_in_a_thousand_may_be_longer():
    learning = learner()
    answers(learning, [40] * 500 + [400] + [40] * 500)

    assert learning.learnt == 208  # 5 × 40.4 = 202: the mean's settlement, above 1.25 × 40


def test_it_is_never_below_what_the_mean_answer_settles_at():
    # A hold of input + 60 for a call that settles at input + 5 × 60 only puts the pool into debt.
    learning = learner(known=[60] * 1_000)

    assert learning.learnt == 320  # 300, in steps of 32


def test_it_is_never_above_the_ceiling():
    assert learner(ceiling=1_000, known=[900] * 500).learnt == 1_000


def test_what_earlier_starts_saw_counts_from_the_beginning():
    learning = learner(known=[60] * 1_000)

    assert learning.learnt == 320
    assert learning.calls == inf


def test_it_follows_answers_that_become_longer():
    learning = learner(known=[60] * 4_000)
    answers(learning, [250] * 4)

    assert learning.learnt == 320  # 1.25 × 250 = 312.5: the latest 200 have four that long, above 2 % of them


def test_it_follows_answers_that_become_shorter():
    learning = learner(known=[2_000] * 4_000)
    answers(learning, [60] * 4_000)

    assert learning.learnt == 320


# Answers that were cut


def cut(learning: MaxTokens, row: int = 0) -> Trial:
    trial = out(learning, row)
    assert learning.cut(trial)
    return trial


def test_a_cut_answer_is_asked_for_again_with_four_times_as_much_and_then_with_the_ceiling():
    learning = learner()
    trial = waiting()
    had = []
    for _ in range(3):
        learning.size(trial)
        learning.sent(trial, 0.0)
        had.append(trial.request.max_tokens)
        again = learning.cut(trial)

    assert had == [512, 2_048, 64_000]
    assert not again  # the ceiling was the last word
    assert trial.cuts == 2


def test_the_ceiling_is_the_second_step_where_four_times_would_be_more():
    learning = learner(ceiling=1_000)
    trial = cut(learning)
    learning.size(trial)

    assert trial.request.max_tokens == 1_000


def test_the_first_cut_answers_raise_it_for_all_who_wait():
    learning = learner()
    cut(learning)
    other = waiting(1)
    learning.size(other)

    assert other.request.max_tokens == 2_048


def test_the_guess_gives_way_to_the_length_once_it_is_known():
    learning = learner()
    trial = cut(learning)
    learning.sent(trial, 1.0)
    learning.whole(trial, 700, 8.0)

    assert learning.learnt == 2_304  # 3 × 700 = 2,100, in steps of 256, while few are known


def test_three_cut_answers_of_the_latest_200_are_within_the_bound_and_four_are_not():
    learning = learner(known=[60] * 4_000)
    for row in range(3):
        cut(learning, row)
    assert learning.learnt == 320
    cut(learning, 3)
    assert learning.learnt == 1_280  # 4 × 320


def test_a_row_that_was_cut_keeps_its_size_when_others_become_smaller():
    learning = learner()
    trial = cut(learning)
    answers(learning, [60] * 4_300)
    learning.size(trial)

    assert learning.learnt == 320
    assert trial.request.max_tokens == 2_048


def test_a_faulted_call_holds_up_nobody():
    learning = learner()
    learning.faulted(out(learning))
    answers(learning, [20] * 300)

    assert learning.learnt == 104


# Pools that cannot take the ceiling


def test_a_cut_answer_is_given_what_the_largest_pool_takes_if_that_is_less_than_the_ceiling():
    learning = learner(largest_quota=10_000)
    trial = cut(learning)  # 512; then 2,048
    learning.size(trial)
    assert learning.cut(trial)
    learning.size(trial)

    assert trial.request.hold == 9_000  # nine tenths: 8,900 beside an input of 100
    assert not learning.cut(trial)


def test_a_row_whose_input_leaves_no_room_keeps_the_beginning():
    trial = waiting(input_tokens=8_900)
    learner(largest_quota=10_000).size(trial)

    assert trial.request.max_tokens == 512  # the gate tries it on rested pools, as any row above the quota


# The request


def test_a_row_that_waits_is_given_what_was_learnt_since():
    trial = waiting()
    learner(known=[60] * 1_000).size(trial)

    assert trial.request.hold == 100 + 320
    assert trial.request.body == invoke_body(PROMPT, Sampling(320))
    assert json.loads(trial.request.body)["max_tokens"] == 320


def test_a_request_of_the_right_size_is_left_alone():
    trial = waiting(max_tokens=320)
    request = trial.request
    learner(known=[60] * 1_000).size(trial)

    assert trial.request is request


# The share sent again


@pytest.mark.parametrize("median", [60, 400])
@pytest.mark.parametrize("sigma", [0.6, 0.9, 1.2])
def test_no_more_than_two_in_a_hundred_are_cut_of_lognormal_answers(sigma, median):
    # At most 64 calls at a time; each takes a second and 10 ms a token, so that short answers come back first.
    chance = Random(11)
    lengths = [int(median * chance.lognormvariate(0, sigma)) for _ in range(1_000)]

    assert rows_cut(learner(), lengths, most_calls=64) <= 20


def rows_cut(learning: MaxTokens, lengths, most_calls: int) -> int:
    """Send a row for each length, and return how many were cut."""
    flying: list[tuple[float, int, Trial]] = []
    now_s, rows, cuts = 0.0, deque(range(len(lengths))), 0

    def fly(trial: Trial) -> None:
        length = min(lengths[trial.request.row], trial.request.max_tokens)
        heappush(flying, (now_s + 1 + 0.01 * length, trial.request.row, trial))

    while rows or flying:
        while rows and len(flying) < min(most_calls, learning.calls):
            fly(out(learning, rows.popleft(), now_s))
        now_s, row, trial = heappop(flying)
        if lengths[row] > trial.request.max_tokens:
            cuts += trial.cuts == 0
            assert learning.cut(trial)
            learning.size(trial)
            learning.sent(trial, now_s)
            fly(trial)
        else:
            learning.whole(trial, lengths[row], now_s)
    return cuts
