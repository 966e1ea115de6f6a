"""From a prompt to a request: its body, and an estimate of its tokens that usage corrects."""

from dataclasses import replace
from math import inf

from batchrun.bedrock.body import InvokeFrame, Sampling, head_of, invoke_body
from batchrun.bedrock.checkpoints import NO_CHECKPOINTS, TOOL_TOKENS, Prefixes
from batchrun.records import Message, Prompt, Request
from batchrun.render import RowError

FIRST_BYTES_PER_TOKEN = 3.5  # English prose in Claude's tokenizer, before usage has corrected it; a guess
FIRST_BYTES = 1_000.0  # how much that guess weighs against the first rows
FRAME_TOKENS = 8  # of a request besides its text; one word as a user's message counts as about so many
SHARE_OF_LAST = 0.02


class Requests:
    """Makes requests of prompts, with an estimate of their tokens that usage corrects.

    Bytes per token are learnt of the text alone, as a ratio of sums: what surrounds short rows would otherwise make
    long ones look far smaller than they are.
    """

    def __init__(self, sampling: Sampling, largest_bytes: int, largest_day: float = inf) -> None:
        """Take how answers are drawn, and the most bytes of a request and quota tokens of a day that can be had."""
        self._frame = InvokeFrame(sampling)
        self._prefixes = Prefixes(sampling.cache, head_of(sampling)) if sampling.cache != NO_CHECKPOINTS else None
        self._max_tokens = sampling.max_tokens
        self._largest_bytes = largest_bytes
        self._largest_day = largest_day
        # Tools and a schema are text that the model reads; the rest of what surrounds a row's text is not.
        bare = replace(sampling, schema=None, tools=(), cache=NO_CHECKPOINTS)
        self._frame_bytes = len(invoke_body(Prompt(None, (Message("user", ""),)), bare))
        self._frame_tokens = FRAME_TOKENS + (TOOL_TOKENS if sampling.tools or sampling.schema_as_tool else 0)
        self._bytes = FIRST_BYTES  # running means over rows, of their text
        self._tokens = FIRST_BYTES / FIRST_BYTES_PER_TOKEN

    def request(self, row: int, prompt: Prompt) -> Request:
        """Return the request of a prompt.

        Raises RowError if it cannot be written as UTF-8, or is larger than Bedrock takes at all or in a day.
        """
        try:
            body = self._frame.body(prompt)
        except UnicodeEncodeError as error:
            raise RowError(f"the text is not Unicode: {error.reason} at {error.start}") from error
        if len(body) > self._largest_bytes:
            raise RowError(f"the request has {len(body)} bytes, Bedrock takes {self._largest_bytes}")
        text_tokens = (len(body) - prompt.image_bytes - self._frame_bytes) * self._tokens / self._bytes
        input_tokens = self._frame_tokens + int(text_tokens) + prompt.image_tokens
        if (hold := input_tokens + self._max_tokens) > self._largest_day:
            raise RowError(f"the row holds {hold} quota tokens, no pool has more than {self._largest_day:.0f} a day")
        prefixes = self._prefixes.of(prompt) if self._prefixes is not None else ()
        return Request(row, prompt, body, input_tokens, self._max_tokens, prefixes)

    def learn(self, request: Request, input_tokens: int) -> None:
        """Correct the estimate by what Bedrock counted."""
        text_tokens = input_tokens - self._frame_tokens - request.prompt.image_tokens
        if text_tokens > 0:
            text_bytes = len(request.body) - request.prompt.image_bytes - self._frame_bytes
            self._bytes += SHARE_OF_LAST * (text_bytes - self._bytes)
            self._tokens += SHARE_OF_LAST * (text_tokens - self._tokens)
