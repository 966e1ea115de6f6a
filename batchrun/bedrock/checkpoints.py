"""Cache checkpoints of a request: where they stand, what each prefix is and about how long.

The model reads tools, system prompt and messages in this order, and a checkpoint keeps all that stands before it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from batchrun.records import Prefix, Prompt

MARGIN = 0.15  # by which an estimate of a prefix may be wrong; users' texts lie between 3.0 and 4.1 bytes a token
_ASCII_PER_TOKEN = 3.5  # English prose in Claude's tokenizer; a guess that errs by MARGIN at most
TOOL_TOKENS = 346  # what tools add to the input besides their text; Anthropic's tool use guide, Claude 4 models
CONVERSE_POINT: Mapping[str, Any] = {"cachePoint": {"type": "default"}}  # the SDK's model knows no ttl there
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Which parts of every request end at a checkpoint, all of them with one TTL.

    `messages` is how many turns are kept, True for all before the last of the user's.
    """

    system: bool = False
    tools: bool = False
    messages: bool | int = False
    ttl: str = "5m"

    @property
    def control(self) -> dict[str, str]:
        """Return the mark on a block of a Messages body; 5 minutes are what it says of itself."""
        return {"type": "ephemeral"} if self.ttl == "5m" else {"type": "ephemeral", "ttl": self.ttl}

    def turns(self, prompt: Prompt) -> int:
        """Return how many of a prompt's turns are kept; 0 where it has no turn more than those."""
        if self.messages is True:
            return max(place for place, message in enumerate(prompt.messages) if message.role == "user")
        return int(self.messages) if self.messages < len(prompt.messages) else 0


NO_CHECKPOINTS = Checkpoints()


class Prefixes:
    """Names the prefixes of prompts; what is the same in all of them is read once."""

    def __init__(self, checkpoints: Checkpoints, tools: Sequence[Mapping[str, Any]]) -> None:
        """Take where the checkpoints are, and what stands before the prompt of every request."""
        self._at = checkpoints
        self._tools = _json(list(tools)) if tools else ""
        self._tool_tokens = TOOL_TOKENS + text_tokens(self._tools) if tools else 0
        self._system: str | None = None
        self._heads: tuple[Prefix, ...] = ()
        self._behind = blake2b(digest_size=_KEY_BYTES)
        self._head_tokens = self._head_bytes = 0
        self._read_head(None)

    def of(self, prompt: Prompt) -> tuple[Prefix, ...]:
        """Return the prompt's prefixes, the shortest first."""
        if prompt.system != self._system:
            self._read_head(prompt.system)
        turns = self._at.turns(prompt)
        if not turns:
            return self._heads
        said = _json([{"role": message.role, "content": message.content} for message in prompt.messages[:turns]])
        digest = self._behind.copy()
        digest.update(b"\0" + said.encode("utf-8", "surrogatepass"))
        texts = "".join(text for message in prompt.messages[:turns] for text in message.texts)
        tokens = self._head_tokens + text_tokens(texts)
        return (*self._heads, Prefix(digest.digest(), tokens, self._head_bytes + len(said.encode(errors="replace"))))

    def _read_head(self, system: str | None) -> None:
        """Read tools and system prompt: what all rows share, or as many as have the same system prompt."""
        heads = []
        digest = blake2b(self._tools.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES)
        tokens, size_bytes = self._tool_tokens, len(self._tools.encode(errors="replace"))
        if self._at.tools and self._tools:
            heads.append(Prefix(digest.copy().digest(), tokens, size_bytes))
        if system:
            digest.update(b"\0" + system.encode("utf-8", "surrogatepass"))
            tokens += text_tokens(system)
            size_bytes += len(_json(system).encode(errors="replace"))
            if self._at.system:
                heads.append(Prefix(digest.copy().digest(), tokens, size_bytes))
        self._system, self._heads, self._behind = system, tuple(heads), digest
        self._head_tokens, self._head_bytes = tokens, size_bytes


def text_tokens(text: str) -> int:
    """Return about how many tokens a text has: outside ASCII a character is about one of its own."""
    ascii_characters = len(text.encode("ascii", "ignore"))
    return int(ascii_characters / _ASCII_PER_TOKEN) + len(text) - ascii_characters


def surely_short(tokens: int, least: int) -> bool:
    """Tell whether a prefix with that estimate is below what is cached, however the estimate errs."""
    return tokens * (1 + MARGIN) < least


def marked(content: str | Sequence[Mapping[str, Any]], control: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return a turn's content, or a system prompt, as blocks of which the last ends at a checkpoint."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*blocks[:-1], {**blocks[-1], "cache_control": control}]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
