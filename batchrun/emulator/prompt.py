"""The prompt inside a request, whatever API it came by: its text, its size in tokens, its digest."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.asked import PLAIN, Asked
from batchrun.emulator.faults import invalid
from batchrun.emulator.images import check_count, image_tokens

# The emulator's own tokenizer: UTF-8 bytes per token, a little different for every prompt, as real text is.
_BYTES_PER_TOKEN = 3.7
_SPREAD = 0.1  # ± 5 %
_MESSAGE_TOKENS = 4
_TOOL_TOKENS = 346  # what tools add besides their own text; Anthropic's tool use guide
_INVOKE_BLOCKS = frozenset(
    ["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result"]
)
_CONVERSE_BLOCKS = frozenset(
    [
        "text",
        "image",
        "document",
        "video",
        "toolUse",
        "toolResult",
        "guardContent",
        "cachePoint",
        "reasoningContent",
        "citationsContent",
    ]
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model would read; `last_user` is the text an answer is made from."""

    digest: int  # 64 bits of the text alone: a retry with another max_tokens is the same prompt
    input_tokens: int
    last_user: str
    max_tokens: int | None
    stop_sequences: tuple[str, ...]
    asked: Asked = PLAIN


def read_content(
    fields: Mapping[str, Any], asked: Asked, max_tokens: int | None, stop_sequences: Sequence[str], card: Card
) -> Prompt:
    """Return the prompt in InvokeModel's or Converse's `messages` and `system`.

    Raises RefusedError if a text is empty or missing, or a block is of no known type.
    """
    messages: Sequence[Mapping[str, Any]] = fields["messages"]
    texts: list[str] = []
    images: list[int] = []
    if fields.get("system"):
        texts += _texts("system", fields["system"], card)[0]
    if asked.tools:
        texts.append(json.dumps(asked.tools))
    if asked.schema is not None:
        texts.append(json.dumps(asked.schema))
    last_user = ""
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        own, own_images = _texts(where, message.get("content"), card)
        if not own and not own_images:
            raise invalid(f"{where}: all messages must have non-empty content")
        texts += own
        images += own_images
        if message["role"] == "user":
            last_user = own[-1] if own else ""
    if messages[-1]["role"] == "assistant" and texts[-1] != texts[-1].rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
    check_count(len(images), card)
    raw = "\n".join(texts).encode("utf-8", "surrogatepass")
    digest = int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")
    ratio = _BYTES_PER_TOKEN * (1 - _SPREAD / 2 + _SPREAD * (digest & 0xFFFF) / 0xFFFF)
    input_tokens = math.ceil(len(raw) / ratio) + _MESSAGE_TOKENS * len(messages) + sum(images)
    input_tokens += _TOOL_TOKENS if asked.tools else 0
    return Prompt(digest, input_tokens, last_user, max_tokens, tuple(stop_sequences), asked)


def _texts(where: str, content: object, card: Card) -> tuple[list[str], list[int]]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise invalid(f"{where}.content: Input should be a valid list")
    texts: list[str] = []
    images: list[int] = []
    for index, block in enumerate(content):
        kind = _block_kind(f"{where}.content.{index}", block)
        if kind == "text":
            text = block.get("text")
            if not isinstance(text, str):
                raise invalid(f"{where}.content.{index}.text: Input should be a valid string")
            if not text.strip():
                raise invalid(f"{where}: text content blocks must contain non-whitespace text")
            texts.append(text)
        elif kind == "image":
            images.append(_image(f"{where}.content.{index}", block, card))
        elif kind != "cachePoint":
            texts.append(json.dumps(block))  # tool use and results, documents: counted, not understood
    return texts, images


def _image(where: str, block: Mapping[str, Any], card: Card) -> int:
    """Return what an image costs [tokens]."""
    if "type" in block:
        source = block.get("source") or {}
        if source.get("type") != "base64":
            raise invalid(f"{where}.source.type: Input should be 'base64'")
        told = str(source.get("media_type")).removeprefix("image/")
        return image_tokens(f"{where}.image", source.get("data"), told, card)
    told, source = str(block["image"].get("format")), block["image"].get("source") or {}
    return image_tokens(f"{where}.image", source.get("bytes"), told, card)


def _block_kind(where: str, block: object) -> str:
    if not isinstance(block, dict):
        raise invalid(f"{where}: Input should be an object")
    if "type" in block:  # InvokeModel says the type, in Converse the one key is the type
        kind, known = block["type"], _INVOKE_BLOCKS
    else:
        kind, known = next(iter(block), None), _CONVERSE_BLOCKS
    if kind not in known:
        raise invalid(f"{where}.type: Input should be one of {', '.join(sorted(known))}")
    return str(kind)
