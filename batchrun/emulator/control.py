"""The control plane of the local Bedrock: profiles, the model's lifecycle, Service Quotas and who is asking.

What it tells of quotas is what the `[emulator]` table sets: the applied value of a number that is set there, the
card's number as AWS's default. Each list has many entries of no interest and comes in pages, as AWS's do.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qs, unquote
from zlib import crc32

from batchrun.bedrock.card import ANYWHERE, Card, Scope
from batchrun.emulator.accounts import Accounts, signed_region
from batchrun.emulator.config import EmulatorSpec, PoolQuota
from batchrun.emulator.faults import Fault, RefusedError, invalid, refused
from batchrun.emulator.reply import Reply

_REGION = r"[a-z]{2,3}(?:-[a-z]+)+-\d+"
_PATH = re.compile(rf"(?:/(?P<region>{_REGION}))?/(?P<what>inference-profiles|foundation-models)(?:/(?P<id>.+))?")
_ROOT = re.compile(rf"(?:/(?P<region>{_REGION}))?/?")
_TARGET = "ServiceQuotasV20190624."
_PAGE = 100  # Service Quotas' own largest page
_OTHERS = 150  # quotas of other models: Bedrock has hundreds
_NUMBERS = {"tokens_per_minute": "tpm", "requests_per_minute": "rpm", "tokens_per_day": "tpd"}
_NO_RESOURCE = Fault("NoSuchResourceException", "gate", 400, "NoSuchResourceException", "No such service.")
_UNKNOWN = Fault("UnknownOperationException", "gate", 404, "UnknownOperationException", "Emulator: unknown operation")


@dataclass(frozen=True, slots=True)
class Asked:
    """One call to the control plane."""

    operation: str
    region: str | None
    headers: Mapping[str, str]
    fields: Mapping[str, Any]


def read_asked(method: str, raw_path: str, headers: Mapping[str, str], body: bytes) -> Asked | None:
    """Return what a call asks of the control plane, None if it is for the runtime."""
    path, _, query = raw_path.partition("?")
    if method == "GET" and (match := _PATH.fullmatch(unquote(path))):
        one = match["id"] is not None
        kind = {"inference-profiles": "InferenceProfile", "foundation-models": "FoundationModel"}[match["what"]]
        fields = {key: values[0] for key, values in parse_qs(query).items()} | {"id": match["id"]}
        return Asked(f"Get{kind}" if one else f"List{kind}s", match["region"], headers, fields)
    if method != "POST" or not (match := _ROOT.fullmatch(unquote(path))):
        return None
    target = headers.get("X-Amz-Target", "")
    if target.startswith(_TARGET):
        return Asked(target.removeprefix(_TARGET), match["region"], headers, json.loads(body or b"{}"))
    form = {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
    return Asked(form.get("Action", ""), match["region"], headers, form)


class Control:
    """Answers calls to the control plane; it keeps no state."""

    def __init__(self, spec: EmulatorSpec, card: Card) -> None:
        self._spec = spec
        self._card = card
        self._accounts = Accounts(spec)
        self._operations: Mapping[str, Callable[[Asked, str], Mapping[str, Any]]] = {
            "ListInferenceProfiles": self._list_profiles,
            "GetInferenceProfile": self._get_profile,
            "ListFoundationModels": self._list_models,
            "GetFoundationModel": self._get_model,
            "ListServiceQuotas": self._applied,
            "ListAWSDefaultServiceQuotas": self._defaults,
            "GetCallerIdentity": self._caller,
        }

    def __repr__(self) -> str:
        return f"Control({self._card.name!r}, denied={self._spec.denied})"

    def answer(self, asked: Asked) -> Reply:
        """Return the reply to one call, in the shape of its service."""
        try:
            operation = self._operations.get(asked.operation)
            if operation is None:
                raise RefusedError(_UNKNOWN)
            region = self._region(asked)
            if asked.operation in self._spec.denied:
                who, action = self._accounts.arn_of(asked.headers), f"{_service(asked)}:{asked.operation}"
                raise refused(
                    "AccessDeniedException",
                    f"User: {who} is not authorized to perform: {action} because no identity-based policy allows it",
                )
            told = operation(asked, region)
        except RefusedError as refusal:
            return _error(refusal, _service(asked))
        if asked.operation == "GetCallerIdentity":
            return Reply(200, _xml(told).encode(), content_type="text/xml")
        return Reply(200, json.dumps(told).encode())

    def _region(self, asked: Asked) -> str:
        signed_for = signed_region(asked.headers, _service(asked))
        if asked.region is not None and signed_for is not None and asked.region != signed_for:
            raise refused("InvalidSignatureException", "Credential should be scoped to a valid region.")
        region = asked.region or signed_for
        if region is None:
            raise invalid("Emulator: a bearer key names no Region, put it into the URL: /us-east-1/...")
        return region

    # Profiles

    def _list_profiles(self, asked: Asked, region: str) -> Mapping[str, Any]:
        kind = asked.fields.get("type", "SYSTEM_DEFINED")
        account = self._accounts.of(asked.headers)
        if kind == "APPLICATION":
            own = [
                self._own(arn, scope) for arn, scope in self._spec.profiles.items() if _lies_in(arn, region, account)
            ]
            return {"inferenceProfileSummaries": own}
        scopes = [scope for scope in self._card.scopes.values() if region in scope.sources]
        return {"inferenceProfileSummaries": [self._system(scope, region, account) for scope in scopes]}

    def _get_profile(self, asked: Asked, region: str) -> Mapping[str, Any]:
        account, wanted = self._accounts.of(asked.headers), str(asked.fields["id"])
        if wanted in self._spec.profiles and _lies_in(wanted, region, account):
            return self._own(wanted, self._spec.profiles[wanted])
        for scope in self._card.scopes.values():
            if region in scope.sources:
                profile = self._system(scope, region, account)
                if wanted in {scope.inference_id, profile["inferenceProfileArn"]}:
                    return profile
        raise refused("ResourceNotFoundException", f"Inference profile {wanted} not found.")

    def _system(self, scope: Scope, region: str, account: str) -> dict[str, Any]:
        return {
            "inferenceProfileName": f"{scope.name.upper()} {self._card.name}",
            "inferenceProfileArn": f"arn:aws:bedrock:{region}:{account}:inference-profile/{scope.inference_id}",
            "inferenceProfileId": scope.inference_id,
            "models": [{"modelArn": arn} for arn in self._model_arns(scope, region)],
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }

    def _own(self, arn: str, scope: str) -> dict[str, Any]:
        region, own_id = arn.split(":")[3], arn.rpartition("/")[2]
        return {
            "inferenceProfileName": f"own {own_id}",
            "inferenceProfileArn": arn,
            "inferenceProfileId": own_id,
            "models": [{"modelArn": one} for one in self._model_arns(self._card.scopes[scope], region)],
            "status": "ACTIVE",
            "type": "APPLICATION",
        }

    def _model_arns(self, scope: Scope, region: str) -> list[str]:
        """Return what a profile may run; a global one names its own Region and one without a Region."""
        set_here = self._spec.destinations.get(f"{region}/{scope.name}")
        destinations: Sequence[str] = set_here or scope.sources[region]
        if destinations == ANYWHERE:
            destinations = (region, "")
        return [f"arn:aws:bedrock:{one}::foundation-model/{self._card.base_model_id}" for one in destinations]

    # The model

    def _list_models(self, asked: Asked, region: str) -> Mapping[str, Any]:
        provider = str(self._card.facts["model"]["provider"])
        wanted = asked.fields.get("byProvider", provider)
        return {"modelSummaries": [self._model(region)] if wanted.lower() == provider.lower() else []}

    def _get_model(self, asked: Asked, region: str) -> Mapping[str, Any]:
        model = self._model(region)
        if asked.fields["id"] not in {model["modelId"], model["modelArn"]}:
            raise refused("ResourceNotFoundException", "Could not resolve the foundation model from the identifier.")
        return {"modelDetails": model}

    def _model(self, region: str) -> dict[str, Any]:
        lifecycle: dict[str, str] = {"status": self._spec.lifecycle}
        if self._spec.end_of_life is not None:
            lifecycle["endOfLifeTime"] = self._spec.end_of_life
        return {
            "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{self._card.base_model_id}",
            "modelId": self._card.base_model_id,
            "modelName": str(self._card.facts["model"]["title"]),
            "providerName": str(self._card.facts["model"]["provider"]),
            "inputModalities": ["TEXT", "IMAGE"],
            "outputModalities": ["TEXT"],
            "responseStreamingSupported": True,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["INFERENCE_PROFILE"],
            "modelLifecycle": lifecycle,
        }

    # Quotas

    def _applied(self, asked: Asked, region: str) -> Mapping[str, Any]:
        account = self._accounts.of(asked.headers)
        return self._quotas(asked, [self._quota(key, value) for key, value in self._set_for(region, account)])

    def _defaults(self, asked: Asked, region: str) -> Mapping[str, Any]:  # noqa: ARG002 - the same in every Region
        tokens = self._card.tokens_per_minute
        return self._quotas(asked, [self._quota(f"{kind}_tokens_per_minute", tokens) for kind in ("geo", "global")])

    def _quotas(self, asked: Asked, ours: list[dict[str, Any]]) -> Mapping[str, Any]:
        service = self._card.facts["quota"]["service_code"]
        if asked.fields.get("ServiceCode") != service:
            raise RefusedError(_NO_RESOURCE)
        others = [
            _entry(f"L-{number:08X}", f"Requests per minute for another model {number}", 60)
            for number in range(_OTHERS)
        ]
        # Ours last: who reads but the first page finds nothing.
        listed = [one for one in (*others, *ours) if asked.fields.get("QuotaCode") in {None, one["QuotaCode"]}]
        first = int(asked.fields.get("NextToken") or 0)
        page = min(_PAGE, int(asked.fields.get("MaxResults") or _PAGE))
        further = {"NextToken": str(first + page)} if first + page < len(listed) else {}
        return {"Quotas": listed[first : first + page], **further}

    def _quota(self, key: str, value: float) -> dict[str, Any]:
        told = self._card.facts["quota"]
        code = told["code"][key] if self._spec.quota_codes else f"L-{crc32(key.encode()):08X}"
        return _entry(code, told["title"][key], value)

    def _set_for(self, region: str, account: str) -> list[tuple[str, float]]:
        """Return the numbers that the [emulator] table sets for the pools of a Region."""
        found = []
        for kind in ("geo", "global"):
            pool = self._spec.pool_of(self._accounts.pool(account, f"{region}/{kind}"))
            own = self._spec.pools.get(pool, PoolQuota())
            for number, short in _NUMBERS.items():
                every = getattr(self._spec, short, None)
                value = getattr(own, short) if getattr(own, short) is not None else every
                if value is not None:
                    found.append((f"{kind}_{number}", float(value)))
        return found

    def _caller(self, asked: Asked, region: str) -> Mapping[str, Any]:  # noqa: ARG002 - the same in every Region
        account, arn = self._accounts.of(asked.headers), self._accounts.arn_of(asked.headers)
        return {"Arn": arn, "UserId": "AIDAEMULATED", "Account": account}


def _service(asked: Asked) -> str:
    """Return the name that the service of an operation has in signatures and policies."""
    if asked.operation == "GetCallerIdentity":
        return "sts"
    return "servicequotas" if asked.operation.endswith("ServiceQuotas") else "bedrock"


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


def _lies_in(arn: str, region: str, account: str) -> bool:
    return arn.split(":")[3:5] == [region, account]


def _entry(code: str, name: str, value: float) -> dict[str, Any]:
    return {
        "ServiceCode": "bedrock",
        "ServiceName": "Amazon Bedrock",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def _xml(told: Mapping[str, Any]) -> str:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in told.items())
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult>{inner}</GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>emulated</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
