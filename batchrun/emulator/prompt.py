"""The prompt inside a request, whatever API it came by: its text, its size in tokens, its digest."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.asked import PLAIN, Asked
from batchrun.emulator.checkpoints import Checkpoint, Mark, check_marks, digest_of, mark_of
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
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text that the model reads, or an image by its digest, and what is counted besides its bytes [tokens]."""

    text: str | None = None
    image: str = ""
    beside_tokens: int = 0


class _Reading:
    """A prompt piece by piece, in the order in which the model reads it, with its checkpoints."""

    def __init__(self) -> None:
        self.pieces: list[_Piece] = []
        self.marks: list[Mark] = []

    def add(self, where: str, piece: _Piece, block: Mapping[str, Any]) -> None:
        """Take a piece, and the checkpoint at the end of its block."""
        self.pieces.append(piece)
        mark = mark_of(where, block)
        if mark is not None:
            self.marks.append(Mark(*mark, len(self.pieces)))

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return the texts of some pieces."""
        return [piece.text for piece in self.pieces[start:stop] if piece.text is not None]

    def images(self, stop: int | None = None) -> list[str]:
        """Return the digests of the first pieces' images."""
        return [piece.image for piece in self.pieces[:stop] if piece.image]

    def tokens(self, start: int, stop: int, digest: int) -> int:
        """Return what the pieces from `start` to `stop` come to in a prompt with that digest."""
        raw_bytes = len("\n".join(self.texts(start, stop)).encode("utf-8", "surrogatepass"))
        ratio = _BYTES_PER_TOKEN * (1 - _SPREAD / 2 + _SPREAD * (digest & 0xFFFF) / 0xFFFF)
        return math.ceil(raw_bytes / ratio) + sum(piece.beside_tokens for piece in self.pieces[start:stop])

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the prefixes that end at a checkpoint, each as long as the one before it and what is new."""
        made: list[Checkpoint] = []
        tokens = start = 0
        for mark in self.marks:
            digest = digest_of([*self.texts(0, mark.pieces), *self.images(mark.pieces)])
            tokens += self.tokens(start, mark.pieces, digest)
            start = mark.pieces
            made.append(Checkpoint(digest, tokens, mark.ttl))
        return tuple(made)


def read_content(
    fields: Mapping[str, Any], asked: Asked, max_tokens: int | None, stop_sequences: Sequence[str], card: Card
) -> Prompt:
    """Return the prompt in InvokeModel's or Converse's `messages` and `system`.

    Raises RefusedError if a text is empty or missing, or a block is of no known type.
    """
    messages: Sequence[Mapping[str, Any]] = fields["messages"]
    read = _Reading()
    for place, tool in enumerate(asked.tools):
        piece = _Piece(json.dumps(tool), beside_tokens=0 if place else _TOOL_TOKENS)
        read.add(f"tools.{place}", piece, asked.tool_marks.get(place, {}))
    if asked.schema is not None:
        read.add("output_config", _Piece(json.dumps(asked.schema)), {})
    if fields.get("system"):
        _read_blocks(read, "system", fields["system"], card)
    last_user = ""
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        read.add(where, _Piece(beside_tokens=_MESSAGE_TOKENS), {})
        begins = len(read.pieces)
        _read_blocks(read, where, message.get("content"), card)
        own = read.texts(begins)
        if not own and not any(piece.image for piece in read.pieces[begins:]):
            raise invalid(f"{where}: all messages must have non-empty content")
        if message["role"] == "user":
            last_user = own[-1] if own else ""
    texts = read.texts()
    if messages[-1]["role"] == "assistant" and texts[-1] != texts[-1].rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
    check_count(len(read.images()), card)
    check_marks(read.marks, card)
    digest, checkpoints = digest_of([*texts, *read.images()]), read.checkpoints()
    cached_tokens, cached_pieces = (checkpoints[-1].tokens, read.marks[-1].pieces) if checkpoints else (0, 0)
    input_tokens = cached_tokens + read.tokens(cached_pieces, len(read.pieces), digest)
    return Prompt(digest, input_tokens, last_user, max_tokens, tuple(stop_sequences), asked, checkpoints)


def _read_blocks(read: _Reading, where: str, content: object, card: Card) -> None:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise invalid(f"{where}.content: Input should be a valid list")
    for index, block in enumerate(content):
        place = f"{where}.content.{index}"
        kind = _block_kind(place, block)
        if kind == "text":
            text = block.get("text")
            if not isinstance(text, str):
                raise invalid(f"{place}.text: Input should be a valid string")
            if not text.strip():
                raise invalid(f"{where}: text content blocks must contain non-whitespace text")
            read.add(place, _Piece(text), block)
        elif kind == "image":
            tokens, data = _image(place, block, card)
            read.add(place, _Piece(image=f"{digest_of([data]):x}", beside_tokens=tokens), block)
        elif kind == "cachePoint":
            read.add(place, _Piece(), block)
        else:
            read.add(place, _Piece(json.dumps(block)), block)  # tool use, documents: counted, not understood


def _image(where: str, block: Mapping[str, Any], card: Card) -> tuple[int, str]:
    if "type" in block:
        source = block.get("source") or {}
        if source.get("type") != "base64":
            raise invalid(f"{where}.source.type: Input should be 'base64'")
        told = str(source.get("media_type")).removeprefix("image/")
        return image_tokens(f"{where}.image", source.get("data"), told, card), source["data"]
    told, source = str(block["image"].get("format")), block["image"].get("source") or {}
    return image_tokens(f"{where}.image", source.get("bytes"), told, card), source["bytes"]


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
