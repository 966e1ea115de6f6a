"""The control plane of the local Bedrock: who may ask what, and answers and errors in the shape of their service."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.accounts import Accounts, signed_region
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.control_call import ControlCall, Operation
from batchrun.emulator.faults import Fault, RefusedError, invalid, refused
from batchrun.emulator.profiles import Profiles
from batchrun.emulator.reply import Reply
from batchrun.emulator.service_quotas import ServiceQuotas

_UNKNOWN = Fault("UnknownOperationException", "gate", 404, "UnknownOperationException", "Emulator: unknown operation")


class Control:
    """Answers calls to the control plane; it keeps no state."""

    def __init__(self, spec: EmulatorSpec, card: Card) -> None:
        self._spec = spec
        self._card = card
        self._accounts = Accounts(spec)
        self._operations: Mapping[str, Operation] = {
            **Profiles(spec, card, self._accounts).operations,
            **ServiceQuotas(spec, card, self._accounts).operations,
            "GetCallerIdentity": self._caller,
        }

    def __repr__(self) -> str:
        return f"Control({self._card.name!r}, denied={self._spec.denied})"

    def answer(self, call: ControlCall) -> Reply:
        """Return the reply to one call, in the shape of its service."""
        try:
            operation = self._operations.get(call.operation)
            if operation is None:
                raise RefusedError(_UNKNOWN)
            region = self._region(call)
            if call.operation in self._spec.denied:
                who, action = self._accounts.arn_of(call.headers), f"{call.service}:{call.operation}"
                raise refused(
                    "AccessDeniedException",
                    f"User: {who} is not authorized to perform: {action} because no identity-based policy allows it",
                )
            told = operation(call, region)
        except RefusedError as refusal:
            return _error(refusal, call.service)
        if call.operation == "GetCallerIdentity":
            return Reply(200, _xml(told).encode(), content_type="text/xml")
        return Reply(200, json.dumps(told).encode())

    def _region(self, call: ControlCall) -> str:
        signed_for = signed_region(call.headers, call.service)
        if call.region is not None and signed_for is not None and call.region != signed_for:
            raise refused("InvalidSignatureException", "Credential should be scoped to a valid region.")
        region = call.region or signed_for
        if region is None:
            raise invalid("Emulator: a bearer key names no Region, put it into the URL: /us-east-1/...")
        return region

    def _caller(self, call: ControlCall, region: str) -> Mapping[str, Any]:  # noqa: ARG002 - the same in every Region
        account, arn = self._accounts.of(call.headers), self._accounts.arn_of(call.headers)
        return {"Arn": arn, "UserId": "AIDAEMULATED", "Account": account}


def _error(refusal: RefusedError, service: str) -> Reply:
    """Return an error in the shape of its service: XML of STS, a header and JSON of the others."""
    code, status = refusal.fault.error_type or refusal.fault.kind, refusal.fault.status
    if service == "sts":
        told = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(refusal.message)}</Message></Error>"
        xml = f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{told}</ErrorResponse>'
        return Reply(status, xml.encode(), content_type="text/xml")
    # Service Quotas answers 400 to what Bedrock answers 403; the type tells.
    return Reply(
        status if service == "bedrock" else 400,
        json.dumps({"__type": code, "message": refusal.message}).encode(),
        {"x-amzn-ErrorType": code},
    )


def _xml(told: Mapping[str, Any]) -> str:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in told.items())
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult>{inner}</GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>emulated</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
