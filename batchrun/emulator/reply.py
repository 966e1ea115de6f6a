"""What goes back over the wire: an answer or an error, in the shape of the API it was asked through."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from batchrun.emulator.address import Operation
from batchrun.emulator.answer import INTERVENED, Answer
from batchrun.emulator.asked import Service
from batchrun.emulator.caches import NO_USE, CacheUse
from batchrun.emulator.converse import converse_body
from batchrun.emulator.faults import Fault
from batchrun.emulator.prompt import Prompt

Wire = Literal["whole", "cut", "reset", "hang"]

_JSON = "application/json"
_ERROR_URL = "http://internal.amazon.com/coral/com.amazon.bedrock/"
# The Messages API's own word and status for what AWS calls otherwise; BEDROCK error table.
_MESSAGES_ERRORS = {
    "ThrottlingException": ("rate_limit_error", 429),
    "ServiceQuotaExceededException": ("rate_limit_error", 429),
    "ModelNotReadyException": ("overloaded_error", 529),
    "ServiceUnavailableException": ("overloaded_error", 529),
    "overloaded_error": ("overloaded_error", 529),
    "ModelTimeoutException": ("timeout_error", 504),
    "ModelErrorException": ("api_error", 500),
    "InternalServerException": ("api_error", 500),
    "ValidationException": ("invalid_request_error", 400),
    "AccessDeniedException": ("permission_error", 403),
    "scp-denied": ("permission_error", 403),
    "marketplace-pending": ("permission_error", 403),
    "ResourceNotFoundException": ("not_found_error", 404),
    "FTUFormNotFilled": ("not_found_error", 404),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; `wire` says how much of it arrives."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = _JSON
    wire: Wire = "whole"


def error_reply(fault: Fault, message: str, operation: Operation) -> Reply:
    """Return the error in AWS's shape, in the Messages API's, or in a gateway's that has no error type."""
    if fault.kind.startswith("untyped-"):
        return Reply(
            fault.status, f"<html><body><h1>{fault.status} {message}</h1></body></html>".encode(), {}, "text/html"
        )
    if operation == "messages" or fault.error_type is None:
        error_type, status = _MESSAGES_ERRORS.get(fault.kind, ("authentication_error", 401))
        error = {"type": "error", "error": {"type": error_type, "message": message}}
        return Reply(status, json.dumps(error).encode())
    return Reply(
        fault.status,
        json.dumps({"message": message}).encode(),
        {"x-amzn-ErrorType": f"{fault.error_type}:{_ERROR_URL}"},
    )


def answer_reply(
    operation: Operation,
    prompt: Prompt,
    answer: Answer,
    service: Service,
    model: str,
    latency_ms: int,
    cached: CacheUse = NO_USE,
) -> Reply:
    """Return the answer as InvokeModel, Converse or the Messages API gives it."""
    input_tokens = prompt.input_tokens - cached.read - cached.write
    if operation == "converse":
        tier = {"serviceTier": {"type": service.tier}} if service.tier is not None else {}
        return Reply(200, json.dumps({**converse_body(answer, input_tokens, latency_ms, cached), **tier}).encode())
    fields = _message(prompt, answer, model, cached)
    if operation == "invoke" and service.guardrail:
        intervened = answer.stop_reason == INTERVENED
        fields["amazon-bedrock-guardrailAction"] = "INTERVENED" if intervened else "NONE"
        if intervened:  # a model has no such stop reason: the field above is all that says so
            fields["stop_reason"] = "end_turn"
    body = json.dumps(fields).encode()
    headers = {
        "X-Amzn-Bedrock-Input-Token-Count": str(input_tokens),
        "X-Amzn-Bedrock-Output-Token-Count": str(answer.output_tokens),
        "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": str(cached.read),
        "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": str(cached.write),
        "X-Amzn-Bedrock-Invocation-Latency": str(latency_ms),
        **({"X-Amzn-Bedrock-Service-Tier": service.tier} if service.tier is not None else {}),
    }
    return Reply(200, body, headers if operation == "invoke" else {})


def damaged(reply: Reply, kind: str) -> Reply:
    """Return a right answer as a fault of the wire leaves it; `slow` leaves it whole."""
    if kind == "garbage":
        return Reply(200, b"<html>upstream said nothing of use", reply.headers)
    if kind == "empty":
        return Reply(200, b"{}", reply.headers)
    wires: dict[str, Wire] = {"cut": "cut", "reset": "reset", "hang": "hang"}
    return Reply(reply.status, reply.body, reply.headers, reply.content_type, wires.get(kind, "whole"))


def _content(answer: Answer) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if answer.thinking is not None:
        content.append({"type": "thinking", "thinking": answer.thinking, "signature": "emulated"})
    if answer.text or answer.tool is None:
        content.append({"type": "text", "text": answer.text})
    if answer.tool is not None:
        call_id, name, given = answer.tool
        content.append({"type": "tool_use", "id": call_id, "name": name, "input": given})
    return content


def _message(prompt: Prompt, answer: Answer, model: str, cached: CacheUse) -> dict[str, Any]:
    return {
        "model": model,
        "id": f"msg_emulated_{prompt.digest:016x}",
        "type": "message",
        "role": "assistant",
        "content": _content(answer),
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "usage": {
            "input_tokens": prompt.input_tokens - cached.read - cached.write,
            "cache_creation_input_tokens": cached.write,
            "cache_read_input_tokens": cached.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": cached.write_5m,
                "ephemeral_1h_input_tokens": cached.write_1h,
            },
            "output_tokens": answer.output_tokens,
        },
    }
