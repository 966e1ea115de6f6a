"""What a job asks of Bedrock itself, and not of the model: a service tier, tags for the bill, a guardrail."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Service:
    """The same for all calls of a job; None leaves it out."""

    tier: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    guardrail_id: str | None = None
    guardrail_version: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Return InvokeModel's headers; Bedrock user guide, 2026-11."""
        asked = {
            "X-Amzn-Bedrock-Service-Tier": self.tier,
            # Header values are ASCII; what AWS takes for tags is.
            "X-Amzn-Bedrock-Request-Metadata": json.dumps(dict(self.metadata)) if self.metadata else None,
            "X-Amzn-Bedrock-GuardrailIdentifier": self.guardrail_id,
            "X-Amzn-Bedrock-GuardrailVersion": self.guardrail_version,
        }
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def converse_arguments(self) -> dict[str, Any]:
        """Return Converse's arguments; its tier the SDK of now cannot carry, so a job with both is refused."""
        arguments: dict[str, Any] = {}
        if self.metadata:
            arguments["requestMetadata"] = dict(self.metadata)
        if self.guardrail_id is not None:
            arguments["guardrailConfig"] = {
                "guardrailIdentifier": self.guardrail_id,
                "guardrailVersion": self.guardrail_version,
            }
        return arguments


NOTHING_ASKED = Service()
