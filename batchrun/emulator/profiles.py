"""What the local Bedrock tells of its model: the inference profiles that run it, and where it stands in its life."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.bedrock.card import ANYWHERE, Card, Scope
from batchrun.emulator.accounts import Accounts
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.control_call import ControlCall, Operation
from batchrun.emulator.faults import refused


class Profiles:
    """The system's profiles by the card, and an account's own by the `[emulator]` table."""

    def __init__(self, spec: EmulatorSpec, card: Card, accounts: Accounts) -> None:
        self._spec = spec
        self._card = card
        self._accounts = accounts

    def __repr__(self) -> str:
        return f"Profiles({self._card.name!r}, {len(self._spec.profiles)} own)"

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return what answers which operation."""
        return {
            "ListInferenceProfiles": self._list_profiles,
            "GetInferenceProfile": self._get_profile,
            "ListFoundationModels": self._list_models,
            "GetFoundationModel": self._get_model,
        }

    def _list_profiles(self, call: ControlCall, region: str) -> Mapping[str, Any]:
        kind = call.fields.get("type", "SYSTEM_DEFINED")
        account = self._accounts.of(call.headers)
        if kind == "APPLICATION":
            own = [
                self._own(arn, scope) for arn, scope in self._spec.profiles.items() if _lies_in(arn, region, account)
            ]
            return {"inferenceProfileSummaries": own}
        scopes = [scope for scope in self._card.scopes.values() if region in scope.sources]
        return {"inferenceProfileSummaries": [self._system(scope, region, account) for scope in scopes]}

    def _get_profile(self, call: ControlCall, region: str) -> Mapping[str, Any]:
        account, wanted = self._accounts.of(call.headers), str(call.fields["id"])
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

    def _list_models(self, call: ControlCall, region: str) -> Mapping[str, Any]:
        provider = str(self._card.facts["model"]["provider"])
        wanted = call.fields.get("byProvider", provider)
        return {"modelSummaries": [self._model(region)] if wanted.lower() == provider.lower() else []}

    def _get_model(self, call: ControlCall, region: str) -> Mapping[str, Any]:
        model = self._model(region)
        if call.fields["id"] not in {model["modelId"], model["modelArn"]}:
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


def _lies_in(arn: str, region: str, account: str) -> bool:
    return arn.split(":")[3:5] == [region, account]
