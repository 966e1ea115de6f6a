"""How the work is run: routing, quota, retry, limits, account; all of it may change between two starts."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator

from batchrun.jobspec.endpoint import checked_endpoint
from batchrun.jobspec.values import (
    LARGEST,
    REGION,
    Count,
    Duration,
    LastingDuration,
    Name,
    Region,
    Regions,
    Table,
    a_region,
    as_tuple,
    at_least_one,
    each_once,
)

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)  # IAM's own rule for names

SCOPES_EXAMPLE = 'scopes = ["us", "global"]'
Scope = Literal["us", "eu", "au", "global"]


def some_lane(scopes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Refuse an empty list, except beside lanes of one's own."""
    return scopes if info.data.get("lane") else at_least_one(scopes)


Scopes = Annotated[tuple[Scope, ...], AfterValidator(some_lane), AfterValidator(each_once), BeforeValidator(as_tuple)]
# Bedrock's own rule for inference profiles, system-defined (an ID or ARN) and the account's own (an ARN).
PROFILE_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):"
    r"(?P<kind>application-inference-profile|inference-profile)/(?P<id>[a-zA-Z0-9.:-]+)",
    re.ASCII,
)
INFERENCE_ID = re.compile(r"[a-z]+\.[a-z0-9-]+\.[a-zA-Z0-9.:-]+", re.ASCII)
PerTime = Annotated[int, Field(ge=0, le=LARGEST)]


def a_residency(value: object) -> object:
    """Read the name of a residency or a list of Regions."""
    if value is None or value in ("us", "eu", "au"):
        return value
    if not isinstance(value, list | tuple) or not value or not all(isinstance(region, str) for region in value):
        raise ValueError('must be "us", "eu", "au" or a list of Regions such as ["us-east-1", "us-west-2"]')
    return each_once(tuple(a_region(region) for region in value))


def a_pool_name(name: str) -> str:
    """Refuse what cannot be the name of a pool; which pools there are, the card knows."""
    region, _, kind = name.rpartition(":")[2].partition("/")  # before the colon: whose account, of lanes of one's own
    if not REGION.fullmatch(region) or kind not in ("geo", "global", "mantle"):
        raise ValueError('must be named source-Region/geo, /global or /mantle, such as "us-east-1/geo"')
    return name


def a_bound_in_flight(value: object) -> object:
    """Read "auto" or a number of calls."""
    if value == "auto" or (type(value) is int and 1 <= value <= LARGEST):
        return value
    raise ValueError('must be "auto" or a whole number ≥ 1')


def a_share_or_rows(value: object) -> object:
    """Read a whole number of rows, or with a decimal point a share of them: 1 is a row, 1.0 is all rows."""
    if (type(value) is int and 0 <= value <= LARGEST) or (type(value) is float and 0 <= value <= 1):
        return value
    raise ValueError("must be a whole number of rows ≥ 0, or a share of them from 0.0 to 1.0")


def a_role_arn(arn: str) -> str:
    if not ROLE_ARN.fullmatch(arn):
        raise ValueError('must look like "arn:aws:iam::123456789012:role/batchrun"')
    return arn


def an_inference_id(written: str) -> str:
    if not PROFILE_ARN.fullmatch(written) and not INFERENCE_ID.fullmatch(written):
        raise ValueError(
            "must be an inference ID such as us.anthropic.claude-…, or the ARN of an inference profile such as"
            " arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
        )
    return written


class OwnLane(Table):
    """A lane that is not on the card: a profile of one's own, or another account's."""

    id: Annotated[str, AfterValidator(an_inference_id)] = Field(
        description="an inference ID, or the ARN of an inference profile, also of an application inference profile"
    )
    source_region: Region | None = Field(
        default=None, validate_default=True, description="Region to call it in; required, unless the ARN tells it"
    )
    profile: Name | None = Field(
        default=None, description="profile of the shared AWS files that calls it; unset: the job's own credentials"
    )
    role_arn: Annotated[str, AfterValidator(a_role_arn)] | None = Field(
        default=None, description="role to assume for its calls; unset: none"
    )
    scope: Scope | None = Field(
        default=None,
        description="what the profile copies: says its pool and price where GetInferenceProfile cannot be read",
    )

    @field_validator("source_region")
    @classmethod
    def _is_the_arns(cls, region: str | None, info: ValidationInfo) -> str | None:
        arn = PROFILE_ARN.fullmatch(info.data.get("id", ""))
        if arn is None and region is None and "id" in info.data:
            raise ValueError("required, since the id names no Region")
        if arn is not None and region not in (None, arn["region"]):
            raise ValueError(f"must be the ARN's own Region, {arn['region']}")
        return region if arn is None else arn["region"]


class Routing(Table):
    """Where rows may be sent."""

    lane: Annotated[tuple[OwnLane, ...], BeforeValidator(as_tuple)] = Field(
        default=(), description="[[routing.lane]] tables: application inference profiles, lanes of other accounts"
    )
    scopes: Scopes | None = Field(
        default=None,
        description="inference IDs that may be used; required, except on mantle, which has none, and beside lanes of "
        "one's own",
        examples=[SCOPES_EXAMPLE],
    )
    source_regions: Regions | None = Field(
        default=None, description="Regions to call; unset: every source Region of those scopes that needs no opt-in"
    )
    residency: Annotated[Literal["us", "eu", "au"] | tuple[str, ...] | None, PlainValidator(a_residency)] = Field(
        default=None,
        description='where requests may run: "us", "eu" (Regions in EU member states), "au" or a list of Regions; a '
        "lane that may run elsewhere is refused; unset: as the scopes allow",
    )


class PoolQuota(Table):
    """What the account may use of one pool; None is unknown, 0 is blocked."""

    tokens_per_minute: PerTime | None = Field(
        default=None, description="quota tokens a minute of that pool: source-Region/geo, /global or /mantle"
    )
    requests_per_minute: PerTime | None = Field(default=None, description="calls a minute of that pool")
    tokens_per_day: PerTime | None = Field(default=None, description="quota tokens a day of that pool")


class Quota(PoolQuota):
    """What every pool has unless `pools` names it."""

    tokens_per_minute: PerTime | None = Field(
        default=None,
        description="quota tokens a minute of every pool; 0: blocked; unset: Service Quotas', else the card's",
    )
    requests_per_minute: PerTime | None = Field(
        default=None, description="calls a minute of every pool; 0: blocked; unset: Service Quotas', else not limited"
    )
    tokens_per_day: PerTime | None = Field(
        default=None, description="quota tokens a day of every pool; 0: blocked; unset: Service Quotas', else no limit"
    )
    pools: Mapping[Annotated[str, AfterValidator(a_pool_name)], PoolQuota] = Field(
        default={}, description='quota of one pool: quota.pools."us-east-1/geo".tokens_per_minute'
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="never more than this share of a pool's quota in any 60 s"
    )
    global_pool: Literal["per_region", "shared"] = Field(
        default="per_region", description='"shared": the global inference IDs of all source Regions draw on one pool'
    )
    discover: bool = Field(
        default=True, description="read quotas, profiles and the model's lifecycle from AWS before the start"
    )


class Retry(Table):
    """When a row is sent again."""

    max_attempts: Count = Field(
        default=6,
        description="calls of a row that may fail by its own faults; throttles and lack of capacity do not count",
    )
    budget: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="extra calls as a share of calls over 5 minutes; above it admission slows, no row fails",
    )


class Limits(Table):
    """What the run must not exceed."""

    max_in_flight: Annotated[int | Literal["auto"], PlainValidator(a_bound_in_flight)] = Field(
        default="auto",
        description='calls at the same time, or "auto": quota rate × latency, within memory and open files',
    )
    max_cost_usd: float | None = Field(
        default=None, gt=0, description="most dollars over the output's whole life, never exceeded; unset: no bound"
    )
    deadline: LastingDuration | None = Field(
        default=None, description='longest run: "2h", "1h30m", "1d" or a number of seconds; unset: none'
    )
    drain: Duration = Field(
        default=20.0, description='time for calls in flight to end after a signal: "20s" or seconds'
    )
    max_failed: Annotated[int | float, PlainValidator(a_share_or_rows)] = Field(
        default=0,
        description="rows that may end not ok: 5 is five rows, 0.05 is five in a hundred, 1.0 is all; above it exit 1",
    )
    rows: Count | None = Field(
        default=None, description="first rows of the input that are sent, as --limit; unset: all"
    )


class Aws(Table):
    """Which account, reached how; credentials themselves come from the SDK's chain and are in no job file."""

    profile: Name | None = Field(default=None, description="profile of the shared AWS files; unset: the SDK's chain")
    role_arn: Annotated[str, AfterValidator(a_role_arn)] | None = Field(
        default=None, description="ARN of a role to assume; unset: none"
    )
    endpoint_url: Annotated[str, AfterValidator(checked_endpoint)] | None = Field(
        default=None, description='"emulator", or a URL on loopback that may hold {region}; unset: AWS'
    )
    control_url: Annotated[str, AfterValidator(checked_endpoint)] | None = Field(
        default=None,
        description='where quotas and profiles are read: "emulator", or a URL on loopback that may hold {region};'
        " unset: AWS, and nowhere if endpoint_url is set",
    )
