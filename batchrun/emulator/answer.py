"""The answer to a prompt: the same for the same prompt, wherever and however often it is asked."""

import math
from dataclasses import dataclass

from batchrun.emulator.directives import Directives
from batchrun.emulator.prompt import Prompt

PREFIX = "[emulated]"  # so that nobody takes an answer for the model's
# Lengths like those of short extraction jobs: lognormal, median 60 tokens.
_MEDIAN_TOKENS = 60
_SIGMA = 0.6
_WORD_SOURCE_CHARS = 4_096  # enough words to repeat, and a long prompt costs no more


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says; one word is one token."""

    text: str
    output_tokens: int
    stop_reason: str
    stop_sequence: str | None = None


def make_answer(prompt: Prompt, directives: Directives, max_tokens: int, context_tokens: int) -> Answer:
    """Return the answer to `prompt`, cut at `max_tokens` or where the context is full."""
    wanted = directives.output_tokens
    words = _words(prompt, directives, max(1, _length(prompt.digest) if wanted is None else wanted))
    # The 4.5 models take a max_tokens that does not fit behind the prompt, and stop when the context is full.
    room = max(1, context_tokens - prompt.input_tokens)
    reason = "end_turn"
    if len(words) > min(max_tokens, room):
        reason = "max_tokens" if max_tokens <= room else "model_context_window_exceeded"
        words = words[: min(max_tokens, room)]
    whole = directives.text if reason == "end_turn" else None
    answer = Answer(" ".join(words) if whole is None else whole, len(words), directives.stop_reason or reason)
    return _stopped(answer, prompt.stop_sequences) if prompt.stop_sequences else answer


def _length(digest: int) -> int:
    # Box and Muller's normal deviate from the digest's own bits: a Random per call would cost more than the rest.
    first, second = ((digest & 0xFFFFFFFF) + 1) / 2**32, (digest >> 32) / 2**32
    normal = math.sqrt(-2 * math.log(first)) * math.cos(2 * math.pi * second)
    return round(_MEDIAN_TOKENS * math.exp(_SIGMA * normal))


def _words(prompt: Prompt, directives: Directives, count: int) -> list[str]:
    if directives.text is not None:
        return directives.text.split() or [""]
    source = prompt.last_user[:_WORD_SOURCE_CHARS].split(None, count)[:count] or ["nothing"]
    return [PREFIX, *(source * (count // len(source) + 1))[: count - 1]]


def _stopped(answer: Answer, stop_sequences: tuple[str, ...]) -> Answer:
    found = [(answer.text.find(sequence), sequence) for sequence in stop_sequences if sequence in answer.text]
    if not found:
        return answer
    at, sequence = min(found)
    text = answer.text[:at]
    return Answer(text, max(1, len(text.split())), "stop_sequence", sequence)
