"""Converse: AWS's own shape of a request and of an answer, for every model the same."""

from collections.abc import Mapping
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.answer import Answer
from batchrun.emulator.asked import read_converse_asked
from batchrun.emulator.caches import NO_USE, CacheUse
from batchrun.emulator.checks import check_max_tokens, check_roles, check_sampling, check_thinking, known_only
from batchrun.emulator.faults import RefusedError, invalid
from batchrun.emulator.prompt import Prompt, read_content

_FIELDS = frozenset(
    [
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "guardrailConfig",
        "additionalModelRequestFields",
        "promptVariables",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "performanceConfig",
        "serviceTier",
        "outputConfig",
    ]
)
# What CountTokens takes of a Converse request; botocore's ConverseTokensRequest.
COUNTED_FIELDS = frozenset(["messages", "system", "toolConfig", "additionalModelRequestFields"])
_MODEL_FIELDS = frozenset(["thinking", "top_k"])  # of additionalModelRequestFields: the model's own
_INFERENCE_FIELDS = frozenset(["maxTokens", "temperature", "topP", "stopSequences"])


def check_converse(fields: Mapping[str, Any], card: Card) -> Prompt:
    """Return the prompt of a Converse body; raises RefusedError. Without maxTokens the prompt has none."""
    known_only(fields, _FIELDS)
    config = fields.get("inferenceConfig") or {}
    if not isinstance(config, dict):
        raise invalid("inferenceConfig: Input should be an object")
    known_only(config, _INFERENCE_FIELDS)
    try:
        return _check_model_fields(fields, config, card)
    except RefusedError as refusal:
        # Converse repeats what the model said, and says that it does.
        raise invalid(f"The model returned the following errors: {refusal.message}") from None


def converse_body(answer: Answer, input_tokens: int, latency_ms: int, cached: CacheUse = NO_USE) -> dict[str, Any]:
    """Return the body of a Converse answer; `input_tokens` are those beside the cache."""
    return {
        "output": {"message": {"role": "assistant", "content": _content(answer)}},
        "stopReason": answer.stop_reason,
        "usage": {
            "inputTokens": input_tokens,
            "outputTokens": answer.output_tokens,
            "totalTokens": input_tokens + cached.read + cached.write + answer.output_tokens,
            "cacheReadInputTokens": cached.read,
            "cacheWriteInputTokens": cached.write,
        },
        "metrics": {"latencyMs": latency_ms},
    }


def _content(answer: Answer) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if answer.thinking is not None:
        content.append({"reasoningContent": {"reasoningText": {"text": answer.thinking, "signature": "emulated"}}})
    if answer.text or answer.tool is None:
        content.append({"text": answer.text})
    if answer.tool is not None:
        call_id, name, given = answer.tool
        content.append({"toolUse": {"toolUseId": call_id, "name": name, "input": given}})
    return content


def _check_model_fields(fields: Mapping[str, Any], config: Mapping[str, Any], card: Card) -> Prompt:
    messages = check_roles(fields.get("messages"))
    for index, message in enumerate(messages):
        if not isinstance(message.get("content"), list):
            raise invalid(f"messages.{index}.content: Input should be a valid list")
    if not isinstance(fields.get("system") or [], list):
        raise invalid("system: Input should be a valid list")
    max_tokens = config.get("maxTokens")
    if max_tokens is not None:
        check_max_tokens(max_tokens, card)
    stop_sequences = config.get("stopSequences") or []
    check_sampling(config.get("temperature"), config.get("topP"), stop_sequences)
    own = fields.get("additionalModelRequestFields") or {}
    known_only(own, _MODEL_FIELDS)
    check_thinking(own.get("thinking"), max_tokens, config.get("temperature"), config.get("topP"), messages)
    return read_content(fields, read_converse_asked(fields), max_tokens, stop_sequences, card)
