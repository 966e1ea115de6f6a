"""Request bodies of InvokeModel and arguments of Converse, both from one internal form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from batchrun.bedrock.blocks import converse_block
from batchrun.bedrock.checkpoints import CONVERSE_POINT, NO_CHECKPOINTS, Checkpoints, marked
from batchrun.records import Prompt, Request
from batchrun.structured.definition import ANSWER_TOOL

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one a row
ANTHROPIC_VERSION = "bedrock-2023-05-31"  # the only value InvokeModel takes; Bedrock user guide, 2026-11
_VERSION_FIRST = b'{"anthropic_version":"%b",' % ANTHROPIC_VERSION.encode()
_BEFORE_MAX_TOKENS = _VERSION_FIRST + b'"max_tokens":'
_ANSWER_TOOL_SAYS = "Give the answer."


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a job asks of the model for every row; None leaves the field out of the request.

    `schema` is a JSON Schema as Bedrock takes it; `tools` are declared as the Messages API writes them.
    """

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()
    thinking_budget_tokens: int | None = None
    schema: Mapping[str, Any] | None = None
    schema_as_tool: bool = False  # as Converse always has it; told also for the size of a request
    tools: Sequence[Mapping[str, Any]] = ()
    cache: Checkpoints = NO_CHECKPOINTS


class InvokeFrame:
    """InvokeModel's body but for what differs from row to row: its parts are encoded once for a job."""

    def __init__(self, sampling: Sampling) -> None:
        self._before = b'%b%d,"messages":' % (_BEFORE_MAX_TOKENS, sampling.max_tokens)
        self._after = _encode(_job_fields(sampling)).encode()[1:]  # without its opening brace
        if self._after != b"}":
            self._after = b"," + self._after
        self._cache = sampling.cache

    def body(self, prompt: Prompt) -> bytes:
        """Return the body of a row [JSON, UTF-8].

        Raises UnicodeEncodeError if the text holds a lone surrogate, which no UTF-8 can carry.
        """
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        system: str | Sequence[Mapping[str, Any]] | None = prompt.system
        if self._cache.messages and (turns := self._cache.turns(prompt)):
            messages[turns - 1]["content"] = marked(prompt.messages[turns - 1].content, self._cache.control)
        if self._cache.system and prompt.system:
            system = marked(prompt.system, self._cache.control)
        before = f',"system":{_encode(system)}' if system else ""
        return b"".join((self._before, _encode(messages).encode(), before.encode(), self._after))


def invoke_body(prompt: Prompt, sampling: Sampling) -> bytes:
    """Return one InvokeModel body; see InvokeFrame."""
    return InvokeFrame(sampling).body(prompt)


def messages_body(model_id: str, body: bytes) -> bytes:
    """Return the Messages API's body of InvokeModel's: the model is named in it, the version in a header."""
    return b'{"model":%b,%b' % (_encode(model_id).encode(), body[len(_VERSION_FIRST) :])


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
        "messages": [{"role": one.role, "content": _converse_content(one.content)} for one in prompt.messages],
        "inferenceConfig": inference,
    }
    if prompt.system:
        arguments["system"] = [{"text": prompt.system}, *([CONVERSE_POINT] if sampling.cache.system else ())]
    if sampling.cache.messages and (turns := sampling.cache.turns(prompt)):
        arguments["messages"][turns - 1]["content"].append(CONVERSE_POINT)
    tools, choice = _converse_tools(sampling)
    if tools:
        arguments["toolConfig"] = {"tools": [*tools, *([CONVERSE_POINT] if sampling.cache.tools else ())], **choice}
    if sampling.thinking_budget_tokens is not None:  # Converse has no field for it, but passes the model's own
        arguments["additionalModelRequestFields"] = {"thinking": _thinking(sampling.thinking_budget_tokens)}
    return arguments


def _job_fields(sampling: Sampling) -> dict[str, Any]:
    """Return the fields of a Messages body that are the same for all rows."""
    fields: dict[str, Any] = _chosen(("temperature", sampling.temperature), ("top_p", sampling.top_p))
    if sampling.stop_sequences:
        fields["stop_sequences"] = list(sampling.stop_sequences)
    if sampling.thinking_budget_tokens is not None:
        fields["thinking"] = _thinking(sampling.thinking_budget_tokens)
    if sampling.tools:
        fields["tools"] = list(sampling.tools)
    if sampling.schema is not None and sampling.schema_as_tool:
        fields["tools"] = [{"name": ANSWER_TOOL, "description": _ANSWER_TOOL_SAYS, "input_schema": sampling.schema}]
        fields["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
    if sampling.cache.tools and fields.get("tools"):
        *others, last = fields["tools"]
        fields["tools"] = [*others, {**last, "cache_control": sampling.cache.control}]
    if sampling.schema is not None and not sampling.schema_as_tool:
        fields["output_config"] = {"format": {"type": "json_schema", "schema": sampling.schema}}
    return fields


def _converse_content(content: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    return [converse_block(block) for block in content]


def _converse_tools(sampling: Sampling) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the tools and the choice between them: with a schema one tool, which the model must use."""
    if sampling.schema is not None:
        tool = {"name": ANSWER_TOOL, "description": _ANSWER_TOOL_SAYS, "inputSchema": {"json": sampling.schema}}
        return [{"toolSpec": tool}], {"toolChoice": {"tool": {"name": ANSWER_TOOL}}}
    return [
        {
            "toolSpec": {
                "name": tool["name"],
                **({"description": tool["description"]} if "description" in tool else {}),
                "inputSchema": {"json": tool["input_schema"]},
            }
        }
        for tool in sampling.tools
    ], {}


def _thinking(budget_tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget_tokens}


def _chosen(*pairs: tuple[str, float | None]) -> dict[str, Any]:
    return {name: value for name, value in pairs if value is not None}


def head_of(sampling: Sampling) -> Sequence[Mapping[str, Any]]:
    """Return what stands before the prompt of every request: the tools, or the schema, as a tool or not."""
    if sampling.schema is not None:
        return [{"name": ANSWER_TOOL, "description": _ANSWER_TOOL_SAYS, "input_schema": sampling.schema}]
    return sampling.tools
