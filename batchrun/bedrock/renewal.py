"""Renewal of credentials: read again once for all calls that were refused together, and not twice in vain."""

import anyio

from batchrun.bedrock.transport import Transport


class Renewal:
    """Counts the generations of credentials, and which of them brought an answer."""

    def __init__(self, transport: Transport) -> None:
        self.generation = 0
        self._answered = 0  # the newest generation that a call was answered with
        self._transport = transport
        self._renewing = anyio.Lock()

    def __repr__(self) -> str:
        return f"Renewal(generation={self.generation}, answered={self._answered})"

    def answered(self, generation: int) -> None:
        """Note that a call sent with `generation` was answered."""
        self._answered = max(self._answered, generation)

    async def renew(self, refused: int) -> bool:
        """Read the credentials again unless that was done since; return False where it would be in vain.

        `refused` is the generation that the refused call was sent with. Raises AccessError if they cannot be read.
        """
        async with self._renewing:
            if refused < self.generation:
                return True
            if self.generation > self._answered:
                return False
            await self._transport.refresh()
            self.generation += 1
            return True
