"""Answers of InvokeModel and Converse, read into one internal form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.records import Completion, Usage
from batchrun.structured.definition import ANSWER_TOOL

MOST_TOKENS = 1 << 31  # of one call; far above any context, far below what a result's int64 holds
INTERVENED = "guardrail_intervened"  # Converse's word for it; InvokeModel says so in a field of its own
_GUARDRAIL = "amazon-bedrock-guardrailAction"


class MalformedAnswerError(Exception):
    """A 200 without an answer in it: a fault, not a result."""


def read_invoke_answer(body: bytes) -> Completion:
    """Read the answer of InvokeModel, or of the Messages API, whose shape is the same.

    Raises MalformedAnswerError unless it holds content blocks, a stop reason and the usage.
    """
    try:
        answer = json.loads(body)
        intervened = answer.get(_GUARDRAIL) == "INTERVENED"
        # A prompt that a guardrail blocks never reaches the model: nothing is said of tokens or of why it stopped.
        usage = answer.get("usage", {}) if intervened else answer["usage"]
        none = 0 if intervened else None
        return _completion(
            answer["content"],
            INTERVENED if intervened else answer["stop_reason"],
            Usage(
                input=_tokens(usage.get("input_tokens", none)),
                output=_tokens(usage.get("output_tokens", none)),
                cache_read=_tokens(usage.get("cache_read_input_tokens") or 0),
                cache_write=_tokens(usage.get("cache_creation_input_tokens") or 0),
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedAnswerError(f"Bedrock answered 200 without an answer in it: {error!r}") from error


def read_converse_answer(answer: Mapping[str, Any]) -> Completion:
    """Read Converse's answer as the SDK parsed it; a malformed body comes as `{}` without an exception.

    Raises MalformedAnswerError unless it holds content blocks, a stop reason and the usage.
    """
    try:
        usage = answer["usage"]
        return _completion(
            [_as_messages_block(block) for block in answer["output"]["message"]["content"]],
            answer["stopReason"],
            Usage(
                input=_tokens(usage["inputTokens"]),
                output=_tokens(usage["outputTokens"]),
                cache_read=_tokens(usage.get("cacheReadInputTokens") or 0),
                cache_write=_tokens(usage.get("cacheWriteInputTokens") or 0),
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"Converse answered 200 without an answer in it: {error!r}") from error


def _completion(content: Sequence[Mapping[str, Any]], stop_reason: object, usage: Usage) -> Completion:
    """Put an answer together of the Messages API's blocks; the input of the answer tool is the answer's text."""
    if not isinstance(stop_reason, str):
        raise TypeError(f"stop reason is {stop_reason!r}")
    if len(content) == 1 and content[0]["type"] == "text":  # nearly all
        return Completion(_said(content[0]["text"]), stop_reason, usage)
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        match block["type"]:
            case "text":
                texts.append(_said(block["text"]))
            case "thinking":
                thoughts.append(_said(block["thinking"]))
            case "tool_use" if block["name"] == ANSWER_TOOL:
                texts.append(_json(block["input"]))
            case "tool_use":
                calls.append({name: block[name] for name in ("id", "name", "input")})
    return Completion(
        "".join(texts),
        stop_reason,
        usage,
        thinking="\n\n".join(thoughts) or None,
        tool_calls=_json(calls) if calls else None,
    )


def _as_messages_block(block: Mapping[str, Any]) -> dict[str, Any]:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    if "toolUse" in block:
        used = block["toolUse"]
        return {"type": "tool_use", "id": used["toolUseId"], "name": used["name"], "input": used["input"]}
    if "reasoningText" in block.get("reasoningContent", {}):
        return {"type": "thinking", "thinking": block["reasoningContent"]["reasoningText"]["text"]}
    return {"type": "other"}  # redacted reasoning, and what is not asked for


def _said(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a text is {text!r}")
    return text


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tokens(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        raise TypeError(f"a number of tokens is {value!r}")
    return value
