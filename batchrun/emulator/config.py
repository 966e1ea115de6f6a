"""The `[emulator]` table of a job file: quotas, latency and chaos of the local Bedrock."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from batchrun.bedrock.card import Card
from batchrun.emulator.faults import FAULTS

Share = Annotated[float, Field(ge=0, le=1)]
Quota = Annotated[int, Field(ge=0, le=10**12)]
EVERYWHERE = "*"  # an outage of every Region at once
Operation = Literal[
    "ListInferenceProfiles",
    "GetInferenceProfile",
    "ListFoundationModels",
    "GetFoundationModel",
    "ListServiceQuotas",
    "ListAWSDefaultServiceQuotas",
    "GetCallerIdentity",
]
_LISTED = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
ProfileArn = Annotated[
    str, Field(pattern=r"^arn:aws:bedrock:[a-z0-9-]+:[0-9]{12}:application-inference-profile/[a-z0-9]+$")
]
SHARED_POOL = "global"  # the name of the one global pool, where all source Regions share it


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class PoolQuota(_Table):
    """Quotas of one pool where they differ from the emulator's: 0 = blocked, left out = the emulator's."""

    tpm: Quota | None = Field(default=None, description="quota tokens a minute of that pool; unset: emulator.tpm")
    rpm: Quota | None = Field(default=None, description="requests a minute of that pool; unset: emulator.rpm")
    tpd: Quota | None = Field(default=None, description="quota tokens a day of that pool; unset: no limit")


class _Span(_Table):
    """From `from_s` to `to_s` [seconds since the emulator started], or without an end."""

    from_s: float = Field(default=0.0, ge=0, description="when it begins [s from the emulator's start]")
    to_s: float | None = Field(
        default=None, ge=0, description="when it ends [s from the emulator's start], above from_s; unset: never"
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.to_s is not None and self.to_s <= self.from_s:
            raise ValueError(f"to_s = {self.to_s:g} must be above from_s = {self.from_s:g}")
        return self


class Outage(_Span):
    """For a time `share` of a Region's calls fail with `kind`; the Region "*" is every Region."""

    region: str = Field(min_length=1, description='source Region whose calls fail; "*" is every Region')
    kind: str = Field(
        default="ServiceUnavailableException", description="kind of fault, by the table of docs/emulator.md"
    )
    share: Share = Field(default=1.0, description="share of the calls that meet it")

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, kind: str) -> str:
        return _known(kind)

    def covers(self, region: str, now_s: float) -> bool:
        """Tell whether the outage is going on in `region`."""
        return self.region in {region, EVERYWHERE} and self.from_s <= now_s and (self.to_s is None or now_s < self.to_s)


class Tenant(_Span):
    """Somebody else who draws on `pool` for a time: so many quota tokens a minute, or a share of the pool's quota."""

    pool: str = Field(min_length=1, description='pool that is drawn on, such as "us-east-1/geo"')
    tokens_per_minute: Quota | None = Field(default=None, description="what it takes; this or share is required")
    share: Share | None = Field(default=None, description="what it takes, as a share of the pool's quota")

    @model_validator(mode="after")
    def _says_how_much_once(self) -> Self:
        if (self.tokens_per_minute is None) == (self.share is None):
            raise ValueError("give tokens_per_minute or share, one of them")
        return self


class EmulatorSpec(_Table):
    """How the emulator meters, how long it takes, and what goes wrong."""

    window: Literal["bucket", "fixed", "sliding"] = Field(
        default="bucket", description="how a minute is metered; AWS does not say how it does it"
    )
    burst_s: float = Field(default=60.0, gt=0, le=3600, description="how many seconds of quota a bucket holds")
    edge_s: float = Field(
        default=0.0,
        ge=0,
        lt=60,
        description='second at which fixed minutes begin, and every 60 s from there; only with window = "fixed"',
    )
    tpm: Quota | None = Field(
        default=None, description="quota tokens a minute of every pool; 0: blocked; unset: the card's"
    )
    rpm: Quota | None = Field(
        default=None, description="requests a minute of every pool; 0: blocked; unset: not limited"
    )
    pools: dict[str, PoolQuota] = Field(default_factory=dict, description="quotas of single pools")
    # AWS does not say whether global is a pool per source Region or one for the account.
    global_pool: Literal["per_region", "shared"] = Field(
        default="per_region",
        description='"shared": the global IDs of all source Regions draw on one pool, which is named "global"',
    )
    tenants: Annotated[tuple[Tenant, ...], _LISTED] = Field(
        default=(), description="[[emulator.tenants]] tables: others who draw on a pool for a time"
    )
    rtt_ms: float = Field(default=0.0, ge=0, le=60_000, description="added to every answer, refusals too [ms]")
    # Guesses below what the model takes, so that a demo does not wait: 60 output tokens come after 0.6 s.
    latency_s: float = Field(default=0.3, ge=0, le=3600, description="time to the first token [s]")
    latency_per_token_s: float = Field(default=0.005, ge=0, le=10, description="time of each output token [s]")
    faults: dict[str, Share] = Field(
        default_factory=dict,
        description="share of admitted calls that fails, by kind, together at most 1; docs/emulator.md lists the kinds",
    )
    outages: Annotated[tuple[Outage, ...], _LISTED] = Field(
        default=(), description="[[emulator.outages]] tables: calls to a Region that fail at its door for a time"
    )
    cache_miss: Share = Field(
        default=0.0, description="share of calls that AWS would run in a destination where no cache entry is"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the faults")
    # What the control plane tells; Service Quotas tells the quotas above.
    control_latency_s: float = Field(
        default=0.0, ge=0, le=3600, description="how long each call to the control plane takes [s]"
    )
    denied: Annotated[tuple[Operation, ...], _LISTED] = Field(
        default=(), description="operations of the control plane that are not permitted"
    )
    lifecycle: Literal["ACTIVE", "LEGACY"] = Field(
        default="ACTIVE", description="what GetFoundationModel tells of the model"
    )
    end_of_life: str | None = Field(
        default=None, description='the same, a time such as "2027-01-01T00:00:00Z"; unset: none'
    )
    quota_codes: bool = Field(
        default=True, description="false: quotas have other codes than the card's, and the same names"
    )
    destinations: dict[str, Annotated[tuple[str, ...], _LISTED]] = Field(
        default_factory=dict,
        description="Regions that a profile may run in, by source Region and scope, where the card is to be wrong",
    )
    profiles: dict[ProfileArn, str] = Field(
        default_factory=dict, description="application inference profiles: the scope that each copies, by ARN"
    )
    accounts: dict[str, AccountId] = Field(
        default_factory=dict,
        description='account of 12 digits, by access key ID; its pools are named "222222222222:us-east-1/geo"',
    )

    @field_validator("faults")
    @classmethod
    def _are_kinds_within_one(cls, faults: dict[str, float]) -> dict[str, float]:
        for kind in faults:
            _known(kind)
        total = sum(faults.values())
        if total > 1:
            raise ValueError(f"the shares add up to {total:g}, above 1")
        return faults

    @model_validator(mode="after")
    def _has_an_edge_only_where_a_minute_has_one(self) -> Self:
        if self.edge_s and self.window != "fixed":
            raise ValueError(f'edge_s = {self.edge_s:g} is for window = "fixed", not {self.window!r}')
        return self

    def pool_of(self, name: str) -> str:
        """Return the pool that `name`, a source Region and a kind, draws on: itself, or the account's global pool."""
        account, colon, _ = name.rpartition(":")
        shared = self.global_pool == "shared" and name.endswith(f"/{SHARED_POOL}")
        return account + colon + SHARED_POOL if shared else name

    def pool_names(self, card: Card) -> list[str]:
        """Name every pool: the card's, and those of further accounts as `ACCOUNT:us-east-1/geo`."""
        further = [f"{account}:" for account in dict.fromkeys(self.accounts.values())]
        return [prefix + name for prefix in ("", *further) for name in card.pool_names()]

    @field_validator("end_of_life")
    @classmethod
    def _is_a_time(cls, end_of_life: str | None) -> str | None:
        if end_of_life is not None:
            try:
                datetime.fromisoformat(end_of_life)
            except ValueError:
                raise ValueError('must be a time such as "2027-01-01T00:00:00Z"') from None
        return end_of_life

    def check_pools(self, card: Card) -> None:
        """Raise ValueError if a pool, a tenant or an outage names what `card` does not have."""
        names = list(dict.fromkeys(self.pool_of(name) for name in self.pool_names(card)))
        for key, named in (("pools", list(self.pools)), ("tenants", [tenant.pool for tenant in self.tenants])):
            for name in named:
                if name not in names:
                    with_one = f" with global_pool = {self.global_pool!r}" if self.global_pool == "shared" else ""
                    has = ", ".join(names)
                    raise ValueError(f"emulator.{key}: no pool {name!r}{with_one}; the card {card.name} has {has}")
        regions = {EVERYWHERE, *(name.partition("/")[0] for name in card.pool_names())}
        for outage in self.outages:
            if outage.region not in regions:
                raise ValueError(f"emulator.outages: no source Region {outage.region!r} on the card {card.name}")
        for arn, scope in self.profiles.items():
            if scope not in card.scopes or arn.split(":")[3] not in card.scopes[scope].sources:
                raise ValueError(f"emulator.profiles: {arn} = {scope!r}: the card {card.name} has no such lane to copy")


def _known(kind: str) -> str:
    if kind not in FAULTS:
        raise ValueError(f"no fault kind {kind!r}; there are {', '.join(sorted(FAULTS))}")
    return kind
