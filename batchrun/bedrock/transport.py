"""The seam between a run and whatever carries its calls: the SDK, plain HTTP, or a fake on a virtual clock."""

from typing import Protocol

from batchrun.bedrock.faults import Fault
from batchrun.records import Completion, Request


class Transport(Protocol):
    """Sends one request and brings back an answer or a fault; never retries, never raises for what a call can meet."""

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion | Fault:
        """Call `inference_id` from `source_region`."""
        ...

    async def refresh(self) -> None:
        """Read the credentials again, after a call said that they expired."""
        ...
