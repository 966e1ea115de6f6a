"""Calls as the SDKs would make them, without an SDK."""

import json
from typing import Any

from batchrun.emulator.reply import Reply
from batchrun.emulator.service import Bedrock, Call, Running

BASE_ID = "anthropic.claude-haiku-4-5-20251001-v1:0"
US_ID = f"us.{BASE_ID}"
GLOBAL_ID = f"global.{BASE_ID}"


def signed(region: str = "us-east-1", service: str = "bedrock") -> dict[str, str]:
    """Headers with a signature for `region`."""
    credential = f"AKIDEXAMPLE/20261101/{region}/{service}/aws4_request"
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature=0badcafe"
    }


def invoke_fields(text: str = "Name a colour.", **changes: Any) -> dict[str, Any]:
    """The fields of a right InvokeModel body, with changes; None takes a field away."""
    fields = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": text}],
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def converse_fields(text: str = "Name a colour.", **changes: Any) -> dict[str, Any]:
    """The fields of a right Converse body, with changes."""
    messages = [{"role": "user", "content": [{"text": text}]}]
    return {"messages": messages, "inferenceConfig": {"maxTokens": 256}, **changes}


def invoke(text: str = "Name a colour.", model_id: str = US_ID, region: str = "us-east-1", **changes: Any) -> Call:
    """A right InvokeModel call, with changes to its body."""
    body = json.dumps(invoke_fields(text, **changes)).encode()
    return Call(f"/{region}/model/{model_id}/invoke", signed(region), body)


def post(operation: str, fields: object, model_id: str = US_ID) -> Call:
    """A call from us-east-1 with any body."""
    return Call(f"/us-east-1/model/{model_id}/{operation}", signed(), json.dumps(fields).encode())


def begun(bedrock: Bedrock, call: Call, now_s: float = 0.0) -> Running:
    """Begin a call that must be admitted."""
    running = bedrock.begin(call, now_s)
    assert isinstance(running, Running), running
    return running


def refused(bedrock: Bedrock, call: Call, now_s: float = 0.0) -> Reply:
    """Begin a call that must end at once."""
    reply = bedrock.begin(call, now_s)
    assert isinstance(reply, Reply), reply
    return reply


def told(reply: Reply) -> tuple[int, str, str]:
    """Return status, error type and message of an AWS error."""
    error_type = reply.headers.get("x-amzn-ErrorType", "").partition(":")[0]
    return reply.status, error_type, json.loads(reply.body)["message"]
