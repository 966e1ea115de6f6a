"""The records that travel through a run: what a row becomes on its way from the input to the result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a row ended; every input row has exactly one."""

    OK = "ok"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    UNSENDABLE = "unsendable"
    INVALID = "invalid"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is user or assistant.

    `content` is text, or blocks of text, images, tool calls and their results as the Messages API writes them.
    """

    role: str
    content: str | Sequence[Mapping[str, Any]]

    @property
    def texts(self) -> Sequence[str]:
        """Every text in it; of images none."""
        return [self.content] if isinstance(self.content, str) else list(_texts(self.content))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "source":  # of an image
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a row asks, before it takes the form of one of Bedrock's APIs.

    `image_tokens` is the estimate of what its images cost, `image_bytes` their size in a request as base64.
    """

    system: str | None
    messages: tuple[Message, ...]
    image_tokens: int = 0
    image_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Prefix:
    """The head of a prompt up to a cache checkpoint: `key` is the same for the same head.

    `tokens` is an estimate, `size_bytes` no less than the tokens that it can come to.
    """

    key: bytes
    tokens: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    """A rendered row, ready to be sent.

    `body` is what goes over the wire for InvokeModel, and the size that counts for Converse too [bytes of JSON].
    `input_tokens` is an estimate, `max_tokens` exact. `prefixes` end at its cache checkpoints, the shortest first.
    """

    row: int
    prompt: Prompt
    body: bytes
    input_tokens: int
    max_tokens: int
    prefixes: tuple[Prefix, ...] = ()

    @property
    def most_input_tokens(self) -> int:
        """The most tokens that its input can come to: no text has more than bytes, no image twice its estimate."""
        return len(self.body) - self.prompt.image_bytes + 2 * self.prompt.image_tokens

    @property
    def most_cached_tokens(self) -> int:
        """The most of them that can be written to a cache."""
        return min(self.prefixes[-1].size_bytes, self.most_input_tokens) if self.prefixes else 0

    @property
    def size_bytes(self) -> int:
        """What it takes in memory: images stand in the body and, for Converse, in the prompt."""
        return len(self.body) + self.prompt.image_bytes

    @property
    def hold(self) -> int:
        """What Bedrock takes from the quota at admission [quota tokens]; Bedrock user guide, burndown."""
        return self.input_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as Bedrock counted them; `input` is the part that neither read nor wrote a cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer that passed the check of its shape.

    `text` is the JSON of a structured answer; `tool_calls` the JSON of a list of {id, name, input}, None without any.
    """

    text: str
    stop_reason: str
    usage: Usage
    request_id: str | None = None
    service_tier: str | None = None
    thinking: str | None = None
    tool_calls: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one row: everything that its result line says, apart from the columns carried over."""

    row: int
    status: Status
    text: str | None = None
    stop_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    endpoint: str | None = None
    inference_id: str | None = None
    source_region: str | None = None
    service_tier: str | None = None
    attempts: int = 0
    latency_s: float | None = None
    request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    finished_at: str = ""
    thinking: str | None = None
    tool_calls: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a row has had before this start, or before the answer that it still waits for."""

    usd: float = 0.0
    attempts: int = 0

    def plus(self, more: "Spent") -> "Spent":
        """Return the sum of both."""
        return Spent(self.usd + more.usd, self.attempts + more.attempts)


NOTHING_SPENT = Spent()


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over rows: of a part, of a log, or of a whole output.

    `cost_usd` is of the rows that have their outcome. On top of it come `unsettled_usd`, the most that calls of unknown
    end may have cost, and `waiting_usd`, what rows have cost that still wait for another answer.
    """

    rows: int = 0
    by_status: Mapping[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    unsettled_usd: float = 0.0
    waiting_usd: float = 0.0

    @property
    def spent_usd(self) -> float:
        """Return what was spent for certain."""
        return self.cost_usd + max(0.0, self.waiting_usd)  # which sums and differences may leave a hair below nothing

    @property
    def most_usd(self) -> float:
        """Return what was spent at the most."""
        return self.spent_usd + self.unsettled_usd
