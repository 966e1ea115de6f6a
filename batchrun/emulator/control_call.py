"""A call to the control plane of the local Bedrock, read from a request by HTTP."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

_REGION = r"[a-z]{2,3}(?:-[a-z]+)+-\d+"
_PATH = re.compile(rf"(?:/(?P<region>{_REGION}))?/(?P<what>inference-profiles|foundation-models)(?:/(?P<id>.+))?")
_ROOT = re.compile(rf"(?:/(?P<region>{_REGION}))?/?")
_TARGET = "ServiceQuotasV20190624."


@dataclass(frozen=True, slots=True)
class ControlCall:
    """One call to the control plane."""

    operation: str
    region: str | None
    headers: Mapping[str, str]
    fields: Mapping[str, Any]

    @property
    def service(self) -> str:
        """Return the name that the operation's service has in signatures and policies."""
        if self.operation == "GetCallerIdentity":
            return "sts"
        return "servicequotas" if self.operation.endswith("ServiceQuotas") else "bedrock"


Operation = Callable[[ControlCall, str], Mapping[str, Any]]  # a call and its Region -> what is told


def read_control_call(method: str, raw_path: str, headers: Mapping[str, str], body: bytes) -> ControlCall | None:
    """Return what a call asks of the control plane, None if it is for the runtime."""
    path, _, query = raw_path.partition("?")
    if method == "GET" and (match := _PATH.fullmatch(unquote(path))):
        one = match["id"] is not None
        kind = {"inference-profiles": "InferenceProfile", "foundation-models": "FoundationModel"}[match["what"]]
        fields = {key: values[0] for key, values in parse_qs(query).items()} | {"id": match["id"]}
        return ControlCall(f"Get{kind}" if one else f"List{kind}s", match["region"], headers, fields)
    if method != "POST" or not (match := _ROOT.fullmatch(unquote(path))):
        return None
    target = headers.get("X-Amz-Target", "")
    if target.startswith(_TARGET):
        return ControlCall(target.removeprefix(_TARGET), match["region"], headers, json.loads(body or b"{}"))
    form = {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
    return ControlCall(form.get("Action", ""), match["region"], headers, form)
