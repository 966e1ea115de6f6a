"""A transport for credentials that could not be had: its lanes close, and the run goes on with those of others."""

from batchrun.bedrock.faults import Fault, classify
from batchrun.errors import AccessError
from batchrun.records import Request


class ShutTransport:
    """Answers every call with why there are no credentials."""

    def __init__(self, why: AccessError) -> None:
        self._fault = classify("NoCredentials", None, str(why))

    def __repr__(self) -> str:
        return f"ShutTransport({self._fault.message!r})"

    async def send(self, inference_id: str, source_region: str, request: Request) -> Fault:  # noqa: ARG002
        """Return the fault; nothing is sent."""
        return self._fault

    async def refresh(self) -> None:
        """Do nothing: the credentials were not there when the run began."""
