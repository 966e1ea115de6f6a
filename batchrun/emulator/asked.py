"""What a call asks for besides its prompt: schema, tools, reasoning, guardrail, tier, tags; checked as AWS does."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.faults import invalid
from batchrun.emulator.schemas import check_strict

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_TAG = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MOST_TAGS = 16
_GUARDRAIL = re.compile(r"[a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:\d{12}:guardrail/[a-z0-9]+")
_GUARDRAIL_VERSION = re.compile(r"[1-9]\d{0,7}|DRAFT")
_TIERS = ("default", "priority", "flex", "reserved")


@dataclass(frozen=True, slots=True)
class Asked:
    """How a prompt is to be answered; `tools` are the names and input schemas of those declared.

    `tool_marks` has, by their place, the blocks of the tools that end at a cache checkpoint.
    """

    schema: Mapping[str, Any] | None = None
    tools: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    forced_tool: str | None = None
    thinking: bool = False
    tool_marks: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


PLAIN = Asked()


@dataclass(frozen=True, slots=True)
class Service:
    """What a call asks of the service, and not of the model."""

    tier: str | None = None
    tags: str | None = None  # JSON
    guardrail: bool = False


def read_asked(fields: Mapping[str, Any]) -> Asked:
    """Return what an InvokeModel or Messages body asks for; raises RefusedError."""
    config = fields.get("output_config") or {}
    if not isinstance(config, dict):
        raise invalid("output_config: Input should be an object")
    wanted = config.get("format")
    schema = None
    if wanted is not None:
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            raise invalid("output_config.format.type: Input should be 'json_schema'")
        schema = check_strict(wanted.get("schema"))
        if fields["messages"][-1]["role"] == "assistant":
            raise invalid("output_config.format: prefilling assistant messages is not supported with structured output")
    tools = tuple(_tool(place, tool) for place, tool in enumerate(fields.get("tools") or ()))
    choice = fields.get("tool_choice") or {}
    thinking = (fields.get("thinking") or {}).get("type") == "enabled"
    marked = [tool.get("cache_control") for tool in fields.get("tools") or ()]
    marks = {place: {"cache_control": control} for place, control in enumerate(marked) if control is not None}
    return _checked(Asked(schema, tools, _forced(choice, tools), thinking, marks), fields["messages"])


def read_converse_asked(fields: Mapping[str, Any]) -> Asked:
    """Return what a Converse body asks for; raises RefusedError."""
    if "outputConfig" in fields:
        raise invalid("Emulator: outputConfig is not emulated; declare one tool and force it")
    own = fields.get("additionalModelRequestFields") or {}
    thinking = (own.get("thinking") or {}).get("type") == "enabled"
    config = fields.get("toolConfig") or {}
    specs: list[Mapping[str, Any]] = []
    marks: dict[int, Mapping[str, Any]] = {}
    for tool in config.get("tools", ()):
        if "cachePoint" not in tool:
            specs.append(tool.get("toolSpec") or {})
        elif specs:
            marks[len(specs) - 1] = tool
        else:
            raise invalid("toolConfig.tools.0.cachePoint: a cache point must follow what it caches")
    tools = tuple(
        _tool(place, {"name": spec.get("name"), "input_schema": (spec.get("inputSchema") or {}).get("json")})
        for place, spec in enumerate(specs)
    )
    choice: dict[str, Any] = {}
    for kind, told in (config.get("toolChoice") or {}).items():
        choice = {"type": kind, **told}
    return _checked(Asked(None, tools, _forced(choice, tools), thinking, marks), fields["messages"])


def read_service(headers: Mapping[str, str], fields: Mapping[str, Any], card: Card) -> Service:
    """Return what headers, or Converse's fields in their place, ask of the service; raises RefusedError."""
    tier = headers.get("X-Amzn-Bedrock-Service-Tier") or (fields.get("serviceTier") or {}).get("type")
    if tier is not None and tier not in _TIERS:
        raise invalid(
            f"Value '{tier}' at 'serviceTier' failed to satisfy constraint: Member must satisfy enum value set"
        )
    if tier is not None and tier not in card.facts["tiers"]["supported"]:
        raise invalid(f"The provided service tier '{tier}' is not supported for this model.")
    guardrail = fields.get("guardrailConfig") or {}
    own = headers.get("X-Amzn-Bedrock-GuardrailIdentifier") or guardrail.get("guardrailIdentifier")
    version = headers.get("X-Amzn-Bedrock-GuardrailVersion") or guardrail.get("guardrailVersion")
    if (own is None) != (version is None):
        raise invalid("Guardrail identifier and guardrail version must be provided together.")
    if own is not None and not (_GUARDRAIL.fullmatch(own) and _GUARDRAIL_VERSION.fullmatch(str(version))):
        raise invalid("The provided guardrail identifier or version is invalid.")
    return Service(tier, _tags(headers.get("X-Amzn-Bedrock-Request-Metadata"), fields), own is not None)


def _tags(header: str | None, fields: Mapping[str, Any]) -> str | None:
    try:
        tags = json.loads(header) if header is not None else fields.get("requestMetadata")
    except ValueError:
        raise invalid("Request metadata must be a JSON object of strings.") from None
    if tags is None:
        return None
    if not isinstance(tags, dict) or not 1 <= len(tags) <= _MOST_TAGS:
        raise invalid(f"Request metadata must be a JSON object of 1 to {_MOST_TAGS} strings.")
    for key, value in tags.items():
        if not key or not _TAG.fullmatch(key) or not isinstance(value, str) or not _TAG.fullmatch(value):
            raise invalid("Request metadata holds a key or value that is not allowed.")
    return json.dumps(tags, sort_keys=True)


def _tool(place: int, tool: Any) -> tuple[str, Mapping[str, Any]]:
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise invalid(f"tools.{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"tools.{place}.custom.input_schema.type: Field required")
    for key in ("oneOf", "allOf", "anyOf"):
        if key in schema:
            raise invalid(
                f"tools.{place}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top "
                "level"
            )
    return name, schema


def _forced(choice: Mapping[str, Any], tools: Sequence[tuple[str, Any]]) -> str | None:
    if not choice or choice.get("type") in ("auto", "none"):
        return None
    if not tools:
        raise invalid("tool_choice may only be specified while providing tools.")
    if choice.get("type") == "any":
        return tools[0][0]
    name = choice.get("name")
    if name not in [one for one, _ in tools]:
        raise invalid(f"Tool '{name}' not found in provided tools")
    return str(name)


def _checked(asked: Asked, messages: Sequence[Mapping[str, Any]]) -> Asked:
    names = [name for name, _ in asked.tools]
    if len(names) > len(set(names)):
        raise invalid("tools: Tool names must be unique.")
    if asked.thinking and asked.forced_tool is not None:
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if not asked.tools and any(_uses_tools(message) for message in messages):
        raise invalid("Requests which include `tool_use` or `tool_result` blocks must define tools.")
    return asked


def _uses_tools(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    kinds = ("tool_use", "tool_result")
    return isinstance(content, list) and any(
        isinstance(block, dict) and (block.get("type") in kinds or "toolUse" in block or "toolResult" in block)
        for block in content
    )
