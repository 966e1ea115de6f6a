"""Service Quotas of the local Bedrock: what the `[emulator]` table sets is applied, the card's number AWS's default.

Each list has many entries of no interest and comes in pages, as AWS's do.
"""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from batchrun.bedrock.card import Card
from batchrun.emulator.accounts import Accounts
from batchrun.emulator.config import EmulatorSpec, PoolQuota
from batchrun.emulator.control_call import ControlCall, Operation
from batchrun.emulator.faults import Fault, RefusedError

_PAGE = 100  # Service Quotas' own largest page
_OTHERS = 150  # quotas of other models: Bedrock has hundreds
_NUMBERS = {"tokens_per_minute": "tpm", "requests_per_minute": "rpm", "tokens_per_day": "tpd"}
_NO_RESOURCE = Fault("NoSuchResourceException", "gate", 400, "NoSuchResourceException", "No such service.")


class ServiceQuotas:
    """The quotas of an account's pools."""

    def __init__(self, spec: EmulatorSpec, card: Card, accounts: Accounts) -> None:
        self._spec = spec
        self._card = card
        self._accounts = accounts

    def __repr__(self) -> str:
        return f"ServiceQuotas({self._card.name!r})"

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return what answers which operation."""
        return {"ListServiceQuotas": self._applied, "ListAWSDefaultServiceQuotas": self._defaults}

    def _applied(self, call: ControlCall, region: str) -> Mapping[str, Any]:
        account = self._accounts.of(call.headers)
        return self._quotas(call, [self._quota(key, value) for key, value in self._set_for(region, account)])

    def _defaults(self, call: ControlCall, region: str) -> Mapping[str, Any]:  # noqa: ARG002 - the same in every Region
        tokens = self._card.tokens_per_minute
        return self._quotas(call, [self._quota(f"{kind}_tokens_per_minute", tokens) for kind in ("geo", "global")])

    def _quotas(self, call: ControlCall, ours: list[dict[str, Any]]) -> Mapping[str, Any]:
        service = self._card.facts["quota"]["service_code"]
        if call.fields.get("ServiceCode") != service:
            raise RefusedError(_NO_RESOURCE)
        others = [
            _entry(f"L-{number:08X}", f"Requests per minute for another model {number}", 60)
            for number in range(_OTHERS)
        ]
        # Ours last: who reads but the first page finds nothing.
        listed = [one for one in (*others, *ours) if call.fields.get("QuotaCode") in {None, one["QuotaCode"]}]
        first = int(call.fields.get("NextToken") or 0)
        page = min(_PAGE, int(call.fields.get("MaxResults") or _PAGE))
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
