"""Answers depend on the prompt alone, and a prompt may ask for the answer it needs."""

import math
import statistics

import pytest
from emulated_calls import GLOBAL_ID, begun, converse_fields, invoke, post

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock


def answer_to(text="Name a colour.", bedrock=None, **changes):
    return begun(bedrock or Bedrock(EmulatorSpec()), invoke(text, **changes)).answer


def test_the_same_prompt_has_the_same_answer_on_every_lane_and_api():
    bedrock = Bedrock(EmulatorSpec(seed=1))
    other = Bedrock(EmulatorSpec(seed=2, window="sliding"))

    answers = [
        answer_to(bedrock=bedrock),
        answer_to(bedrock=bedrock),
        answer_to(bedrock=other, model_id=GLOBAL_ID, region="eu-west-1"),
        answer_to(bedrock=other, max_tokens=512),
        begun(other, post("converse", converse_fields())).answer,
    ]

    assert len(set(answers)) == 1


def test_an_answer_says_that_it_is_emulated_and_repeats_the_prompts_words():
    assert answer_to("Name a colour. [[output_tokens=4]]").text == "[emulated] Name a colour."


def test_answer_lengths_have_a_median_of_about_sixty_tokens():
    bedrock = Bedrock(EmulatorSpec(tpm=10**9))
    lengths = [answer_to(f"Row {row}", bedrock, max_tokens=4_000).output_tokens for row in range(1_000)]

    assert 55 < statistics.median(lengths) < 65
    assert 0.5 < statistics.stdev(math.log(length) for length in lengths) < 0.7


def test_an_answer_is_cut_at_max_tokens():
    answer = answer_to("a b [[output_tokens=50]]", max_tokens=3)

    assert (answer.text, answer.output_tokens, answer.stop_reason) == ("[emulated] a b", 3, "max_tokens")


def test_an_answer_of_exactly_max_tokens_is_whole():
    assert answer_to("a b [[output_tokens=3]]", max_tokens=3).stop_reason == "end_turn"


def test_a_stop_sequence_ends_the_answer_before_it():
    answer = answer_to("one two END three [[output_tokens=20]]", stop_sequences=["END", "three"])

    assert (answer.text, answer.stop_reason, answer.stop_sequence) == ("[emulated] one two ", "stop_sequence", "END")


@pytest.mark.parametrize("reason", ["refusal", "content_filtered", "guardrail_intervened"])
def test_a_prompt_may_ask_for_a_stop_reason(reason):
    assert answer_to(f"a [[stop_reason={reason}]]").stop_reason == reason


def test_a_prompt_may_ask_for_a_text():
    answer = answer_to('Give JSON. [[text={"colour": "red"}]]')

    assert (answer.text, answer.output_tokens) == ('{"colour": "red"}', 2)


def test_a_directive_that_makes_no_sense_is_text():
    assert answer_to("[[output_tokens=many]] [[colour=red]]").text.startswith("[emulated] [[output_tokens=many]]")


def test_only_the_last_user_text_gives_directives():
    messages = [
        {"role": "user", "content": "[[output_tokens=7]]"},
        {"role": "assistant", "content": "[[output_tokens=8]]"},
        {"role": "user", "content": "[[output_tokens=9]]"},
    ]

    assert answer_to(messages=messages).output_tokens == 9
