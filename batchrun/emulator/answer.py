"""The answer to a prompt: the same for the same prompt, wherever and however often it is asked."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from batchrun.emulator.directives import Directives
from batchrun.emulator.prompt import Prompt
from batchrun.emulator.schemas import instance

PREFIX = "[emulated]"  # so that nobody takes an answer for the model's
INTERVENED = "guardrail_intervened"
_BLOCKED = "[emulated] Sorry, the guardrail does not allow this."
# Lengths like those of short extraction jobs: lognormal, median 60 tokens.
_MEDIAN_TOKENS = 60
_SIGMA = 0.6
_WORD_SOURCE_CHARS = 4_096  # enough words to repeat, and a long prompt costs no more
_THINKING_TOKENS = 40
_CHARS_PER_TOKEN = 4  # of JSON


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says; one word is one token, of JSON four characters.

    `output_tokens` contain those of the reasoning; `tool` is the ID, name and input of a tool call.
    """

    text: str
    output_tokens: int
    stop_reason: str
    stop_sequence: str | None = None
    thinking: str | None = None
    tool: tuple[str, str, Any] | None = None


def make_answer(
    prompt: Prompt, directives: Directives, max_tokens: int, context_tokens: int, *, misfit: bool = False
) -> Answer:
    """Return the answer to `prompt`, cut at `max_tokens` or where the context is full; `misfit`: against its schema."""
    if prompt.asked.thinking:
        wanted = directives.thinking_tokens
        thoughts = min(_THINKING_TOKENS if wanted is None else wanted, max_tokens - 1)
        behind = make_answer(_unthinking(prompt), directives, max_tokens - thoughts, context_tokens, misfit=misfit)
        thinking = " ".join([PREFIX, *["thinking"] * (thoughts - 1)]) if thoughts else None
        return replace(behind, thinking=thinking, output_tokens=behind.output_tokens + thoughts)
    tool = prompt.asked.forced_tool or directives.tool
    if tool is not None and tool in dict(prompt.asked.tools):
        return _tool_call(prompt, directives, tool, max_tokens, misfit=misfit)
    if prompt.asked.schema is not None:
        value = instance(prompt.asked.schema, prompt.digest)
        text = json.dumps(value, ensure_ascii=False) if directives.text is None else directives.text
        return _cut(text if not misfit else f"{PREFIX} that is no JSON", directives, max_tokens)
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


def blocked_answer() -> Answer:
    """Return what a guardrail puts in the place of an answer."""
    return Answer(_BLOCKED, len(_BLOCKED.split()), INTERVENED)


def _unthinking(prompt: Prompt) -> Prompt:
    return replace(prompt, asked=replace(prompt.asked, thinking=False))


def _tool_call(prompt: Prompt, directives: Directives, tool: str, max_tokens: int, *, misfit: bool) -> Answer:
    """Return a call of `tool`; a forced one is the whole answer, and `[[text=...]]` its input."""
    given, text = instance(dict(prompt.asked.tools)[tool], prompt.digest), ""
    if prompt.asked.forced_tool is None:
        text = directives.text or ""
    elif directives.text is not None:
        given = _json_in(directives.text)
    if misfit:
        given = {"emulated": "that is not what was asked for"}
    cut = _cut(text + json.dumps(given), directives, max_tokens)
    whole = cut.stop_reason != "max_tokens"
    reason = directives.stop_reason or ("tool_use" if whole else "max_tokens")
    call_id = f"toolu_emulated_{prompt.digest:016x}"
    return Answer(text, cut.output_tokens, reason, tool=(call_id, tool, given if whole else {}))


def _json_in(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"emulated": text}


def _cut(text: str, directives: Directives, max_tokens: int) -> Answer:
    """Return a text of JSON as long as it may be."""
    tokens = math.ceil(len(text) / _CHARS_PER_TOKEN) if directives.output_tokens is None else directives.output_tokens
    if tokens <= max_tokens:
        return Answer(text, max(1, tokens), directives.stop_reason or "end_turn")
    return Answer(text[: max_tokens * len(text) // tokens], max_tokens, directives.stop_reason or "max_tokens")


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
