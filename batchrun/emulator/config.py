"""The `[emulator]` table of a job file: quotas, latency and chaos of the local Bedrock."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from batchrun.bedrock.card import Card
from batchrun.emulator.faults import FAULTS

Share = Annotated[float, Field(ge=0, le=1)]
Quota = Annotated[int, Field(ge=0, le=10**12)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PoolQuota(_Table):
    """Quotas of one pool where they differ from the emulator's: 0 = blocked, left out = the emulator's."""

    tpm: Quota | None = None
    rpm: Quota | None = None
    tpd: Quota | None = None


class Outage(_Table):
    """From `from_s` to `to_s` [seconds since the emulator started], `share` of a Region's calls fail with `kind`."""

    region: str = Field(min_length=1)
    kind: str = "ServiceUnavailableException"
    from_s: float = Field(default=0.0, ge=0)
    to_s: float | None = Field(default=None, ge=0)
    share: Share = 1.0

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, kind: str) -> str:
        return _known(kind)

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "Outage":
        if self.to_s is not None and self.to_s <= self.from_s:
            raise ValueError(f"to_s = {self.to_s:g} must be above from_s = {self.from_s:g}")
        return self

    def covers(self, region: str, now_s: float) -> bool:
        """Tell whether the outage is going on in `region`."""
        return self.region == region and self.from_s <= now_s and (self.to_s is None or now_s < self.to_s)


class EmulatorSpec(_Table):
    """How the emulator meters, how long it takes, and what goes wrong."""

    window: Literal["bucket", "fixed", "sliding"] = "bucket"
    burst_s: float = Field(default=60.0, gt=0, le=3600)  # a bucket holds this many seconds of quota
    tpm: Quota | None = None  # left out = the card's
    rpm: Quota | None = None  # left out = not limited
    pools: dict[str, PoolQuota] = Field(default_factory=dict)
    rtt_ms: float = Field(default=0.0, ge=0, le=60_000)  # added to every answer, refusals too
    # Guesses below what the model takes, so that a demo does not wait: 60 output tokens come after 0.6 s.
    latency_s: float = Field(default=0.3, ge=0, le=3600)
    latency_per_token_s: float = Field(default=0.005, ge=0, le=10)
    faults: dict[str, Share] = Field(default_factory=dict)
    outages: tuple[Outage, ...] = ()
    seed: int = Field(default=0, ge=0, lt=2**63)

    @field_validator("faults")
    @classmethod
    def _are_kinds_within_one(cls, faults: dict[str, float]) -> dict[str, float]:
        for kind in faults:
            _known(kind)
        total = sum(faults.values())
        if total > 1:
            raise ValueError(f"the shares add up to {total:g}, above 1")
        return faults

    def check_pools(self, card: Card) -> None:
        """Raise ValueError if a pool or an outage names what `card` does not have."""
        names = card.pool_names()
        for name in self.pools:
            if name not in names:
                raise ValueError(f"emulator.pools: no pool {name!r}; the card {card.name} has {', '.join(names)}")
        regions = {name.partition("/")[0] for name in names}
        for outage in self.outages:
            if outage.region not in regions:
                raise ValueError(f"emulator.outages: no source Region {outage.region!r} on the card {card.name}")


def _known(kind: str) -> str:
    if kind not in FAULTS:
        raise ValueError(f"no fault kind {kind!r}; there are {', '.join(sorted(FAULTS))}")
    return kind
