"""What Bedrock refuses in the body of a call, and the prompt that is left when nothing is wrong.

Stricter than AWS where sources disagree: unknown fields are refused on Converse too, roles must alternate on
InvokeModel too. A body that passes here must pass there, not the other way round.
"""

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.asked import read_asked
from batchrun.emulator.faults import invalid
from batchrun.emulator.prompt import Prompt, read_content

MALFORMED = "Malformed input request, please reformat your input and try again."
ONE_SAMPLER = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
# The Anthropic SDK of 2026 puts a plain date here, AWS's samples a date after `bedrock-`.
_VERSION = re.compile(r"(bedrock-)?\d{4}-\d{2}-\d{2}")
_MIN_THINKING_TOKENS = 1_024
_LEAST_TOP_P_THINKING = 0.95
_MESSAGE_FIELDS = frozenset(["role", "content"])
_INVOKE_FIELDS = frozenset(
    [
        "anthropic_version",
        "anthropic_beta",
        "max_tokens",
        "messages",
        "system",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "metadata",
    ]
)
_MESSAGES_FIELDS = _INVOKE_FIELDS - {"anthropic_version", "anthropic_beta"} | {"model", "service_tier", "stream"}


def read_json(body: bytes, card: Card) -> dict[str, Any]:
    """Return the JSON object in `body`; raises RefusedError if there is none or it is too large."""
    if len(body) > card.request_bytes:
        raise invalid(f"Input is too long for requested model: {len(body)} bytes > {card.request_bytes} maximum")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # also what is not UTF-8, or nested too deep
        raise invalid(MALFORMED) from None
    if not isinstance(fields, dict):
        raise invalid(MALFORMED)
    return fields


def check_invoke(fields: Mapping[str, Any], card: Card, *, count_only: bool = False) -> Prompt:
    """Return the prompt of an InvokeModel body; raises RefusedError. To count tokens, max_tokens may be missing."""
    known_only(fields, _INVOKE_FIELDS)
    version = fields.get("anthropic_version")
    if version is None:
        raise invalid("anthropic_version: Field required")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise invalid("anthropic_version: Input should be 'bedrock-2023-05-31'")
    return _check_generation(fields, card, count_only)


def check_messages(fields: Mapping[str, Any], card: Card) -> Prompt:
    """Return the prompt of a Messages API body; raises RefusedError."""
    known_only(fields, _MESSAGES_FIELDS)
    if fields.get("stream"):
        raise invalid("Emulator: streaming is not emulated")
    return _check_generation(fields, card, count_only=False)


def known_only(fields: Mapping[str, Any], names: AbstractSet[str]) -> None:
    """Raise RefusedError if there is a field that Bedrock does not know."""
    if not fields.keys() <= names:
        extra = ", ".join(f"#: extraneous key [{name}] is not permitted" for name in sorted(fields.keys() - names))
        raise invalid(f"Malformed input request: {extra}, please reformat your input and try again.")


def check_max_tokens(max_tokens: object, card: Card) -> None:
    """Raise RefusedError unless `max_tokens` is an int that the model can do."""
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise invalid("max_tokens: Input should be a valid integer")
    if max_tokens < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if max_tokens > card.max_output_tokens:
        raise invalid(
            f"max_tokens: {max_tokens} > {card.max_output_tokens}, which is the maximum allowed number of output "
            f"tokens for {card.name}"
        )


def check_sampling(temperature: object, top_p: object, stop_sequences: object) -> None:
    """Raise RefusedError if the sampling is out of range or over-determined."""
    for name, value in (("temperature", temperature), ("top_p", top_p)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise invalid(f"{name}: Input should be a valid number")
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise invalid(f"{name}: range: 0..1")
    if temperature is not None and top_p is not None:
        raise invalid(ONE_SAMPLER)
    if not isinstance(stop_sequences, list) or any(not isinstance(text, str) for text in stop_sequences):
        raise invalid("stop_sequences: Input should be a valid list of strings")
    if any(not text.strip() for text in stop_sequences):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")


def check_roles(messages: object) -> Sequence[Mapping[str, Any]]:
    """Return the messages if user and assistant alternate, the user first; raises RefusedError."""
    if not isinstance(messages, list):
        raise invalid("messages: Field required" if messages is None else "messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise invalid(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if role != ("assistant" if index % 2 else "user"):
            what = 'first message must use the "user" role' if not index else f'multiple "{role}" roles in a row'
            raise invalid(f'messages: roles must alternate between "user" and "assistant", but found {what}')
        known_only(message, _MESSAGE_FIELDS)
    return messages


def _check_generation(fields: Mapping[str, Any], card: Card, count_only: bool) -> Prompt:
    messages = check_roles(fields.get("messages"))
    _check_blocks(messages)
    max_tokens = fields.get("max_tokens")
    if max_tokens is not None or not count_only:
        if max_tokens is None:
            raise invalid("max_tokens: Field required")
        check_max_tokens(max_tokens, card)
    stop_sequences = fields.get("stop_sequences") or []
    check_sampling(fields.get("temperature"), fields.get("top_p"), stop_sequences)
    check_thinking(fields.get("thinking"), max_tokens, fields.get("temperature"), fields.get("top_p"), messages)
    return read_content(fields, read_asked(fields), max_tokens, stop_sequences, card)


def _check_blocks(messages: Sequence[Mapping[str, Any]]) -> None:
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict) and "type" not in block:
                raise invalid(f"messages.{index}.content.{at}.type: Field required")


def check_thinking(
    thinking: object,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    messages: Sequence[Mapping[str, Any]],
) -> None:
    """Raise RefusedError if reasoning is asked for in a way, or beside something, that does not go."""
    if thinking is None:
        return
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "disabled"):
        raise invalid("thinking.type: Input should be 'enabled' or 'disabled'")
    if thinking["type"] == "disabled":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < _MIN_THINKING_TOKENS:
        raise invalid(f"thinking.budget_tokens: Input should be greater than or equal to {_MIN_THINKING_TOKENS}")
    if max_tokens is not None and budget >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
    if temperature not in (None, 1):
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if top_p is not None and top_p < _LEAST_TOP_P_THINKING:
        raise invalid("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
    if messages[-1]["role"] == "assistant":
        raise invalid(
            f"messages.{len(messages) - 1}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            "`text`. When `thinking` is enabled, a final `assistant` message must start with a thinking block."
        )
