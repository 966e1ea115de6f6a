"""Errors as they come over the wire: in AWS's shape, in Anthropic's, or in a gateway's that names no type."""

import json
import re
from collections.abc import Mapping
from typing import Any

from batchrun.bedrock.faults import Fault, classify

TAG = re.compile(r"<[^>]*>")
PAGE_BYTES, MESSAGE_CHARACTERS = 2_000, 300


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Return the fault that an answer other than 200 is; `headers` takes names in any case."""
    fields = _fields(body)
    named = fields.get("error")
    inner = named if isinstance(named, dict) else {}  # Anthropic's: {"type": "error", "error": {type, message}}
    code = headers.get("x-amzn-errortype") or fields.get("__type") or inner.get("type") or ""
    message = inner.get("message") or fields.get("message") or fields.get("Message") or _text(body)
    return classify(str(code).rpartition("#")[2], status, str(message), retry_after_s(headers.get("retry-after")))


def retry_after_s(header: str | None) -> float | None:
    """Return what a Retry-After header says [s]; None for a date, which nobody was seen to send."""
    try:
        return float(header) if header is not None else None
    except ValueError:
        return None


def _text(page: bytes) -> str:
    """Return the beginning of a gateway's page, less its tags: it may well say what is wrong."""
    text = TAG.sub(" ", page[:PAGE_BYTES].decode(errors="replace"))
    return " ".join(text.split())[:MESSAGE_CHARACTERS]


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # a gateway's page
        return {}
    return fields if isinstance(fields, dict) else {}
