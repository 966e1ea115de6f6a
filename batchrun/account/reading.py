"""What is asked of one Region, all at once: its profiles, the model's lifecycle, the quotas of its pools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from batchrun.account.calls import Calls
from batchrun.account.facts import APPLIED, DEFAULT, Lifecycle, Profile, QuotaValue, RegionFacts
from batchrun.account.quota_codes import NUMBERS, Wanted, find, wanted
from batchrun.bedrock.card import Card

PAGE = 100  # Service Quotas' largest


@dataclass(frozen=True, slots=True)
class Question:
    """What a job needs to know of one source Region: the kinds of its pools, and IDs of profiles of its own there."""

    access: str
    region: str
    kinds: frozenset[str]
    own_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what another question has in common only if it asks for the same."""
        return " ".join((self.region, *sorted(self.kinds), *self.own_ids))


class Reading:
    """Reads one Region's facts; those that are known already are not asked for.

    `facts` is all that is known, `whole` the part of it that need not be asked for again today.
    """

    def __init__(self, calls: Calls, card: Card, question: Question, known: RegionFacts) -> None:
        self.facts = self.whole = known
        self._calls = calls
        self._card = card
        self._question = question
        self._region = question.region
        self._deadline_s = 0.0

    def __repr__(self) -> str:
        return f"Reading({self._question.name}, {self.facts})"

    async def read(self, deadline_s: float) -> None:
        """Read what is not known until `deadline_s` [of the event loop's time]; what is not had by then is left out."""
        self._deadline_s = deadline_s
        async with anyio.create_task_group() as tasks:
            if self.facts.profiles is None:
                tasks.start_soon(self._read_profiles)
            if self.facts.lifecycle is None:
                tasks.start_soon(self._read_lifecycle)
            if self.facts.quotas is None:
                tasks.start_soon(self._read_quotas)

    async def _read_profiles(self) -> None:
        listed: list[Mapping[str, Any]] = []
        keys = {"typeEquals": "SYSTEM_DEFINED", "maxResults": 1000}
        whole = await self._pages("bedrock", "ListInferenceProfiles", "inferenceProfileSummaries", listed, **keys)
        profiles = {one["inferenceProfileId"]: _profile(one) for one in listed}
        for own_id in self._question.own_ids:
            if own_id in profiles:
                continue
            told = await self._ask("bedrock", "GetInferenceProfile", inferenceProfileIdentifier=own_id)
            if told:
                profiles[own_id] = _profile(told)
            whole = whole and told is not None
        self.facts = replace(self.facts, profiles=profiles)
        if whole:
            self.whole = replace(self.whole, profiles=profiles)

    async def _read_lifecycle(self) -> None:
        provider = self._card.facts["model"].get("provider", "Anthropic")
        told = await self._ask("bedrock", "ListFoundationModels", byProvider=provider)
        for model in (told or {}).get("modelSummaries", ()):
            if model["modelId"] == self._card.base_model_id:
                status = model.get("modelLifecycle", {}).get("status", "unknown")
                lifecycle = Lifecycle(status, (told or {}).get("endOfLife", {}).get(model["modelId"]))
                self.facts = replace(self.facts, lifecycle=lifecycle)
                self.whole = replace(self.whole, lifecycle=lifecycle)

    async def _read_quotas(self) -> None:
        """Ask for each code; look through both lists if a minute's tokens are missing then.

        Bedrock's quotas are hundreds, page after page. Requests and day quotas may well not exist.
        """
        found: dict[str, QuotaValue] = {}
        refused: list[Wanted] = []
        wants = wanted(self._card, self._question.kinds)
        async with anyio.create_task_group() as tasks:
            for want in wants:
                tasks.start_soon(self._by_code, want, found, refused)
        whole = not refused
        missing = [want for want in wants if want.name not in found]
        if any(want.name.endswith(NUMBERS[0]) for want in missing):
            whole = await self._by_list(missing, found, applied=not refused) and whole
        self.facts = replace(self.facts, quotas=found)
        if whole:
            self.whole = replace(self.whole, quotas=found)

    async def _by_code(self, want: Wanted, found: dict[str, QuotaValue], refused: list[Wanted]) -> None:
        told = await self._quotas("ListServiceQuotas", QuotaCode=want.code)
        if told is None:
            refused.append(want)
        elif (one := find(want, told.get("Quotas", ()))) is not None:
            found[want.name] = _quota(one, APPLIED)

    async def _by_list(self, missing: Sequence[Wanted], found: dict[str, QuotaValue], *, applied: bool) -> bool:
        """Look for quotas that have another code, or no applied value; return whether the lists were read whole."""
        lists: dict[str, list[Mapping[str, Any]]] = {APPLIED: [], DEFAULT: []}
        whole = []

        async def read(kind: str, operation: str) -> None:
            keys = {"ServiceCode": self._service, "MaxResults": PAGE}
            whole.append(await self._pages("service-quotas", operation, "Quotas", lists[kind], **keys))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, DEFAULT, "ListAWSDefaultServiceQuotas")
            if applied:
                tasks.start_soon(read, APPLIED, "ListServiceQuotas")
        for want in missing:
            for kind, listed in lists.items():
                if want.name not in found and (one := find(want, listed)) is not None:
                    found[want.name] = _quota(one, kind)
        return all(whole)

    @property
    def _service(self) -> str:
        return str(self._card.facts["quota"].get("service_code", "bedrock"))

    async def _quotas(self, operation: str, **keys: Any) -> Mapping[str, Any] | None:
        return await self._ask("service-quotas", operation, ServiceCode=self._service, MaxResults=PAGE, **keys)

    async def _pages(
        self, service: str, operation: str, member: str, into: list[Mapping[str, Any]], **keys: Any
    ) -> bool:
        """Read a list page by page into `into`; return whether it was read to its end."""
        following: dict[str, Any] = {}
        token = "NextToken" if service == "service-quotas" else "nextToken"
        while True:
            page = await self._ask(service, operation, **keys, **following)
            if page is None:
                return False
            into += page.get(member, ())
            if not page.get(token):
                return True
            following = {token: page[token]}

    async def _ask(self, service: str, operation: str, **keys: Any) -> Mapping[str, Any] | None:
        return await self._calls.ask(service, self._region, operation, self._deadline_s, **keys)


def _quota(told: Mapping[str, Any], kind: str) -> QuotaValue:
    return QuotaValue(float(told["Value"]), kind, str(told.get("QuotaCode", "")))


def _profile(told: Mapping[str, Any]) -> Profile:
    """Read a profile; Region and model stand in each ARN: arn:aws:bedrock:REGION::foundation-model/MODEL."""
    arns = [str(model.get("modelArn", "")) for model in told.get("models", ())]
    return Profile(
        inference_id=told["inferenceProfileId"],
        arn=told["inferenceProfileArn"],
        status=told.get("status", ""),
        destinations=tuple(sorted({(arn.split(":") + [""] * 4)[3] for arn in arns})),
        model_ids=tuple(sorted({arn.rpartition("/")[2] for arn in arns})),
    )
