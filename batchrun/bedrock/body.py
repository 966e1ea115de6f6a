"""Request bodies and answers of InvokeModel and Converse, both from and to one internal form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from batchrun.records import Completion, Message, Prompt, Request, Usage

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one a row
ANTHROPIC_VERSION = "bedrock-2023-05-31"  # the only value InvokeModel takes; Bedrock user guide, 2026-11
MOST_TOKENS = 1 << 31  # of one call; far above any context, far below what a result's int64 holds
_BEFORE_MAX_TOKENS = b'{"anthropic_version":"%b","max_tokens":' % ANTHROPIC_VERSION.encode()


class MalformedAnswerError(Exception):
    """A 200 without an answer in it: a fault, not a result."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a job asks of the model for every row; None leaves the field out of the request."""

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()


def invoke_body(prompt: Prompt, sampling: Sampling) -> bytes:
    """Return InvokeModel's body [JSON, UTF-8].

    Raises UnicodeEncodeError if the text holds a lone surrogate, which no UTF-8 can carry.
    """
    body: dict[str, Any] = {
        "anthropic_version": ANTHROPIC_VERSION,
        "max_tokens": sampling.max_tokens,
        "messages": [{"role": message.role, "content": message.text} for message in prompt.messages],
    }
    if prompt.system:
        body["system"] = prompt.system
    body |= _chosen(("temperature", sampling.temperature), ("top_p", sampling.top_p))
    if sampling.stop_sequences:
        body["stop_sequences"] = list(sampling.stop_sequences)
    return _encode(body).encode()


def resized(request: Request, max_tokens: int) -> Request:
    """Return a request with another max_tokens, and nothing else of it made anew."""
    rest = request.body[len(_BEFORE_MAX_TOKENS) + len(str(request.max_tokens)) :]
    return replace(request, body=b"%b%d%b" % (_BEFORE_MAX_TOKENS, max_tokens, rest), max_tokens=max_tokens)


def digest_of(request: Request) -> bytes:
    """Return 16 bytes that are the same for the same request, whatever max_tokens was learnt for it so far.

    How long an answer may be at most is the same for all rows of an output.
    """
    rest = request.body[len(_BEFORE_MAX_TOKENS) + len(str(request.max_tokens)) :]
    return blake2b(rest, digest_size=16).digest()


def converse_arguments(prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
    """Return the keyword arguments of Converse, without the model ID."""
    inference: dict[str, Any] = {"maxTokens": sampling.max_tokens}
    inference |= _chosen(("temperature", sampling.temperature), ("topP", sampling.top_p))
    if sampling.stop_sequences:
        inference["stopSequences"] = list(sampling.stop_sequences)
    arguments: dict[str, Any] = {
        "messages": [{"role": message.role, "content": [{"text": message.text}]} for message in prompt.messages],
        "inferenceConfig": inference,
    }
    if prompt.system:
        arguments["system"] = [{"text": prompt.system}]
    return arguments


def read_invoke_answer(body: bytes) -> Completion:
    """Read InvokeModel's answer.

    Raises MalformedAnswerError unless it holds text blocks, a stop reason and the usage.
    """
    try:
        answer = json.loads(body)
        usage = answer["usage"]
        return Completion(
            text="".join([block["text"] for block in answer["content"] if block["type"] == "text"]),
            stop_reason=_stop_reason(answer["stop_reason"]),
            usage=Usage(
                input=_tokens(usage["input_tokens"]),
                output=_tokens(usage["output_tokens"]),
                cache_read=_tokens(usage.get("cache_read_input_tokens") or 0),
                cache_write=_tokens(usage.get("cache_creation_input_tokens") or 0),
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedAnswerError(f"InvokeModel answered 200 without an answer in it: {error!r}") from error


def read_converse_answer(answer: Mapping[str, Any]) -> Completion:
    """Read Converse's answer as the SDK parsed it; a malformed body comes as `{}` without an exception.

    Raises MalformedAnswerError unless it holds text blocks, a stop reason and the usage.
    """
    try:
        usage = answer["usage"]
        return Completion(
            text="".join([block.get("text", "") for block in answer["output"]["message"]["content"]]),
            stop_reason=_stop_reason(answer["stopReason"]),
            usage=Usage(
                input=_tokens(usage["inputTokens"]),
                output=_tokens(usage["outputTokens"]),
                cache_read=_tokens(usage.get("cacheReadInputTokens") or 0),
                cache_write=_tokens(usage.get("cacheWriteInputTokens") or 0),
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedAnswerError(f"Converse answered 200 without an answer in it: {error!r}") from error


def messages_from(value: object) -> tuple[str | None, tuple[Message, ...]]:
    """Read a `messages` cell: a list of {role, content}, or the JSON text of one.

    Returns the system prompt, if the first message is one, and the turns; `content` is text or a list of text blocks.
    Raises ValueError saying what is wrong.
    """
    try:
        turns = json.loads(value) if isinstance(value, str) else value
    except RecursionError as error:
        raise ValueError("messages is nested too deeply") from error
    if not isinstance(turns, list) or not turns:
        raise ValueError("messages must be a non-empty list of {role, content}")
    read = [_message(place, turn) for place, turn in enumerate(turns)]
    system = read[0].text if read[0].role == "system" else None
    messages = tuple(read[1:] if system is not None else read)
    if not messages or messages[0].role != "user":
        raise ValueError("the first message after an optional system message must be the user's")
    if any(message.role == "system" for message in messages):
        raise ValueError("only the first message may be a system message")
    return system, messages


def _message(place: int, turn: object) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in {"user", "assistant", "system"}:
        raise ValueError(f"message {place} must have a role of user, assistant or system, and a content")
    content = turn.get("content")
    if isinstance(content, list) and all(isinstance(b, dict) and isinstance(b.get("text"), str) for b in content):
        content = "".join(block["text"] for block in content)
    if not isinstance(content, str) or not content:
        raise ValueError(f"message {place} ({turn['role']}) has no text content")
    return Message(turn["role"], content)


def _chosen(*pairs: tuple[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in pairs if value is not None}


def _tokens(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        raise TypeError(f"a number of tokens is {value!r}")
    return value


def _stop_reason(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"stop reason is {value!r}")
    return value
