"""A short slice of the torture, and the proof that it would notice."""

from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.bedrock.card import load_card
from tests.torture.books import INPUT_USD, OUTPUT_USD, Books
from tests.torture.episode import Episode, Plan, Start
from tests.torture.jobs import KINDS
from tests.torture.plans import plan, plan_at, plan_of_moments
from tests.torture.points import AFTER, PLAIN, SPOTS, Death
from tests.torture.zygote import Zygote

FURTHER = 3
SLICE = {
    str(spot): plan_at(spot, seed, FURTHER)
    for seed, spot in enumerate(SPOTS)
    if str(spot)
    in {
        "log append outcome: half way; long answers",
        "part rename: after",
        "part row group: during; long answers",
        "manifest rename: after; extended",
        "wal folder set aside: after; --fresh",
        "log append paid: after; faults and cuts",
        "part rename: after; retry; truncated rows",
    }
} | {"moments": plan_of_moments(20260, FURTHER)}


@pytest.mark.parametrize("name", SLICE)
def test_a_run_killed_again_and_again_loses_nothing_and_pays_twice_for_no_more_than_was_in_flight(
    name: str, zygote: Zygote, books: Books, base: Path
) -> None:
    story = Episode(zygote, books, base).play(SLICE[name])

    assert story.wrong == [], str(story)
    assert [start.told_as for start in story.missed if start.forced] == []
    assert story.kills
    assert sum(kill.lost for kill in story.kills) + story.doubled == 0


# The harness itself


def _sabotaged(prepare: str) -> Plan:
    first = Start("a run that is wrong", Death("log append outcome", AFTER, 30), prepare=(prepare,))
    return Plan(1, KINDS[PLAIN], (first,))


def test_the_slice_has_every_spot_that_it_names() -> None:
    assert len(SLICE) == 8
    assert sum(len(plan.starts) for plan in SLICE.values()) >= 28


def test_plans_are_the_same_for_the_same_seed_and_go_through_all_spots() -> None:
    assert [plan(seed) for seed in range(200)] == [plan(seed) for seed in range(200)]
    told = {start.told_as for seed in range(len(SPOTS)) for start in plan(seed).starts}
    assert {str(spot) for spot in SPOTS} <= told
    assert len({str(spot) for spot in SPOTS}) == len(SPOTS)


def test_a_log_that_forgets_outcomes_is_found_out(zygote: Zygote, books: Books, base: Path) -> None:
    story = Episode(zygote, books, base).play(_sabotaged("forgets_an_outcome"))

    assert any("paid for twice beyond" in line for line in story.wrong), story.wrong


def test_calls_that_are_not_noted_before_they_go_out_are_found_out(zygote: Zygote, books: Books, base: Path) -> None:
    story = Episode(zygote, books, base).play(_sabotaged("notes_no_call"))

    assert any("paid for twice beyond" in line for line in story.wrong), story.wrong
    assert any("the parts account for" in line for line in story.wrong), story.wrong


def test_a_point_that_is_never_passed_is_told_as_missed(zygote: Zygote, books: Books, base: Path) -> None:
    missed = Start("nowhere", Death("log append outcome", AFTER, 10_000), forced=True)
    story = Episode(zygote, books, base).play(replace(plan_of_moments(1, 0), starts=(missed,)))

    assert story.missed == [missed]
    assert story.kills == []


def test_the_books_reckon_with_the_prices_of_the_card() -> None:
    prices = load_card().prices["geo"]

    assert (prices.input, prices.output) == (INPUT_USD, OUTPUT_USD)
