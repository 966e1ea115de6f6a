"""What AWS said of an account: records, kept for a day as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CREDENTIALS = "credentials"  # in the place of an operation
NO_ANSWER = "NoAnswer"  # reasons of ours why something could not be read, beside AWS's error codes
NO_CREDENTIALS = "NoCredentials"
KEY_ONLY = "BedrockKeyOnly"
APPLIED = "applied value"
DEFAULT = "AWS default"


@dataclass(frozen=True, slots=True)
class Profile:
    """An inference profile as seen from one source Region; a destination "" is any commercial Region."""

    inference_id: str
    arn: str
    status: str
    destinations: tuple[str, ...]
    model_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How long the model lives; `end_of_life` is a time as AWS writes it."""

    status: str
    end_of_life: str | None = None


@dataclass(frozen=True, slots=True)
class QuotaValue:
    """One number of Service Quotas, and whether it is the account's applied value or AWS's default."""

    value: float
    kind: str
    code: str

    @property
    def source(self) -> str:
        """Say where the number came from."""
        return f"Service Quotas: {self.kind} ({self.code})"


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What was read of one Region; None was not read. Quotas are named as `geo_tokens_per_minute`."""

    profiles: Mapping[str, Profile] | None = None
    lifecycle: Lifecycle | None = None
    quotas: Mapping[str, QuotaValue] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "RegionFacts":
        """Read what `to_json` wrote; raises KeyError, TypeError or AttributeError if it is something else."""
        profiles, lifecycle, quotas = told["profiles"], told["lifecycle"], told["quotas"]
        return cls(
            None if profiles is None else {name: _profile(one) for name, one in profiles.items()},
            None if lifecycle is None else Lifecycle(**lifecycle),
            None if quotas is None else {name: QuotaValue(**one) for name, one in quotas.items()},
        )


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read, where, and why."""

    operation: str
    region: str
    code: str
    message: str
    access: str = ""

    @property
    def of_everything(self) -> bool:
        """Tell whether nothing at all could be asked."""
        return self.operation == CREDENTIALS


@dataclass(frozen=True, slots=True)
class Found:
    """What discovery brought, by access (see lanes/own.py) and source Region; `why_not` says why it was not tried."""

    by_region: Mapping[tuple[str, str], RegionFacts] = field(default_factory=dict)
    unread: Sequence[Unread] = ()
    why_not: str | None = None

    @property
    def nothing_read(self) -> str | None:
        """Say why nothing was read as the job itself, None if something was, or could have been."""
        return self.why_not or next((one.message for one in self.unread if one.of_everything and not one.access), None)

    def profile(self, access: str, region: str, inference_id: str) -> Profile | None:
        """Return a profile by its ID or ARN, None if nothing is known of it."""
        return (self._facts(access, region).profiles or {}).get(inference_id)

    def account(self, access: str) -> str | None:
        """Return an account's number, which stands in the ARNs of its profiles; None if they were not read."""
        regions = [facts.profiles or {} for (name, _), facts in self.by_region.items() if name == access]
        numbers = {profile.arn.split(":")[4] for profiles in regions for profile in profiles.values()}
        return numbers.pop() if len(numbers) == 1 else None

    def quota(self, access: str, region: str, name: str) -> QuotaValue | None:
        """Return a number such as `geo_tokens_per_minute`, None if it was not read or does not exist."""
        return (self._facts(access, region).quotas or {}).get(name)

    def lifecycles(self) -> Iterator[tuple[str, Lifecycle]]:
        """Yield each Region's lifecycle of the model."""
        for (_, region), facts in self.by_region.items():
            if facts.lifecycle is not None:
                yield region, facts.lifecycle

    def _facts(self, access: str, region: str) -> RegionFacts:
        return self.by_region.get((access, region), _NOTHING)


_NOTHING = RegionFacts()


def _profile(told: Mapping[str, Any]) -> Profile:
    return Profile(
        told["inference_id"], told["arn"], told["status"], tuple(told["destinations"]), tuple(told["model_ids"])
    )
