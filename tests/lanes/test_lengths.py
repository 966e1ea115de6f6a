"""Lengths of answers: exact counts, and a window whose share of longer ones is a promise."""

from random import Random

import pytest

from batchrun.lanes.lengths import LatestLengths, Lengths, Measured


def test_lengths_know_how_many_stay_within():
    lengths = Lengths([10] * 98 + [80, 91])  # 99 of 100 are 80 or less

    assert (lengths.answers, lengths.longest, lengths.within(0.99), lengths.within(0.5)) == (100, 91, 80, 10)
    assert lengths.mean == pytest.approx(11.51)  # (980 + 80 + 91) / 100


def test_no_answers_have_no_length():
    lengths = Lengths()

    assert (lengths.answers, lengths.longest, lengths.within(0.99), lengths.mean) == (0, 0, 0, 0)


def window_of(lengths, size=1_000, longer=0.01) -> LatestLengths:
    window = LatestLengths(size, longer)
    for length in lengths:
        window.take(Measured(length))
    return window


def test_ninety_eight_answers_are_too_few_to_promise_one_in_a_hundred():
    # The 99th is longer than the longest of 98 with 1 / 99, which is above 1 %.
    assert window_of(range(98)).needed() is None


def test_of_ninety_nine_answers_the_longest_is_needed():
    assert window_of(range(1, 100)).needed() == 99  # the next is longer with 1 / 100


def test_of_199_answers_one_may_be_left_out():
    assert window_of(range(1, 200)).needed() == 198  # the next is longer than the second longest with 2 / 200


def test_of_a_thousand_answers_nine_are_left_out():
    assert window_of(range(1, 1_001)).needed() == 991  # int(0.01 × 1,001) = 10: the tenth longest


def test_the_oldest_answers_are_forgotten():
    window = window_of([5_000] * 200 + [60] * 200, size=200)

    assert (len(window), window.needed(), window.longest, window.mean) == (200, 60, 60, 60)


def test_an_answer_is_corrected_once_its_length_is_known():
    window = window_of([60] * 98)
    cut = Measured(2_048)
    window.take(cut)

    assert window.needed() == 2_048
    window.correct(cut, 700)
    assert (window.needed(), window.longest) == (700, 700)


def test_a_forgotten_answer_is_not_corrected():
    window = LatestLengths(100, 0.01)
    cut = Measured(2_048)
    window.take(cut)
    for _ in range(100):
        window.take(Measured(60))
    window.correct(cut, 700)

    assert (len(window), window.longest) == (100, 60)


@pytest.mark.parametrize("sigma", [0.6, 0.9, 1.2])
def test_no_more_than_the_share_is_longer_whatever_the_tail(sigma):
    chance = Random(7)
    window = LatestLengths(1_000, 0.01)
    longer = asked = 0
    for _ in range(20_000):
        length = int(100 * chance.lognormvariate(0, sigma))
        if (needed := window.needed()) is not None:
            asked += 1
            longer += length > needed
        window.take(Measured(length))

    assert longer / asked <= 0.011
