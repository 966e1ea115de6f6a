"""Renewal of credentials: read again once for all calls that were refused together, and not twice in vain."""

import anyio

from batchrun.bedrock.transport import Transport


class Renewal:
    """Counts the generations of credentials; for the whole run, and for Regions that alone may be refused."""

    def __init__(self, transport: Transport) -> None:
        self.generation = 0
        # By source Region, and by None for any of them: the newest generation that a call was answered with, and the
        # one that calls were told to try after they had been refused.
        self._answered: dict[str | None, int] = {}
        self._told: dict[str | None, int] = {}
        self._transport = transport
        self._renewing = anyio.Lock()

    def __repr__(self) -> str:
        return f"Renewal(generation={self.generation}, answered={self._answered})"

    def answered(self, generation: int, source_region: str) -> None:
        """Note that a call sent with `generation` was answered."""
        for of in (source_region, None):
            self._answered[of] = max(self._answered.get(of, 0), generation)

    async def renew(self, refused: int, source_region: str | None = None) -> bool:
        """Read the credentials again unless that was done since; return False where it would be in vain.

        `refused` is the generation that the refused call was sent with, `source_region` where it went if the refusal
        may be that Region's alone. Raises AccessError if they cannot be read.
        """
        async with self._renewing:
            if refused == self.generation:
                if self._told.get(source_region, 0) > self._answered.get(source_region, 0):
                    return False
                await self._transport.refresh()
                self.generation += 1
            self._told[source_region] = self.generation
            return True
