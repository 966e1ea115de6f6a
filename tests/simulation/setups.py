"""What the runs of each case are given: rows, what the job is told of the quotas, and what the emulator really does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.simulation.load import Load

TPM = 50_000
MAX_TOKENS = 256
CEILING = 64_000
MEAN_CHARGE = 530  # quota tokens a row settles at in the mean: 170 + 5 × 72
POOL = "us-east-1/geo"
UNLIMITED = 50_000_000  # tokens a minute where requests are to be what is scarce
# Source Regions of the global ID, so that 25 lanes are 25 pools of one price class.
REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1", "sa-east-1", "mx-central-1"),
    *("eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("il-central-1", "me-central-1", "me-south-1", "af-south-1", "ap-east-2"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1"),
)
US_REGIONS = REGIONS[:5]

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Setup:
    """One run: its rows, tables of the job, the emulator's keys, and the Regions that do not answer as others do."""

    rows: int
    job: Tables = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)
    slow: str = ""  # takes ten times as long
    dead: str = ""  # never answers
    oracle: bool = True  # False where the sum alone has to do
    rivals: Tables = field(default_factory=dict)  # other `generation` tables to compare with: "fixed" and "best"


def work(minutes: float, tokens_per_minute: float = TPM) -> int:
    """Return how many rows settle at so many minutes of quota."""
    return round(minutes * tokens_per_minute / MEAN_CHARGE)


def one_lane(minutes: float, told: float = 1.0) -> Callable[[int], Setup]:
    """Return a setup of one lane whose quota is configured `told` times as large as it is."""

    def setup(seed: int) -> Setup:
        del seed
        return Setup(work(minutes), {"quota": {"tokens_per_minute": round(told * TPM)}}, {"tpm": TPM})

    return setup


def large_holds(minutes: float, told: float) -> Callable[[int], Setup]:
    """Return a setup of one lane whose calls hold 2,218 and settle at a quarter of that, told too large a quota."""
    tpm = 2 * TPM  # so that there are 60 calls out where a minute's burst ends

    def setup(seed: int) -> Setup:
        del seed
        job = {"quota": {"tokens_per_minute": round(told * tpm)}, "generation": {"max_tokens": 2_048}}
        return Setup(work(minutes, tpm), job, {"tpm": tpm})

    return setup


def tenant(seed: int) -> Setup:
    """Return a lane of which somebody else takes half from minute 2 to 4."""
    del seed
    tenants = [{"pool": POOL, "share": 0.5, "from_s": 120, "to_s": 240}]
    return Setup(work(11), {"quota": {"tokens_per_minute": TPM}}, {"tpm": TPM, "tenants": tenants})


def requests(per_minute: int, minutes: float) -> Callable[[int], Setup]:
    """Return a setup of one lane where requests are scarce and tokens are not."""

    def setup(seed: int) -> Setup:
        del seed
        quota = {"tokens_per_minute": UNLIMITED, "requests_per_minute": per_minute}
        return Setup(round(per_minute * minutes), {"quota": quota}, {"tpm": UNLIMITED, "rpm": per_minute})

    return setup


def lanes(largest: int, minutes: float) -> Callable[[int], Setup]:
    """Return a setup of 25 lanes whose quotas differ a hundred-fold: one has most of the tokens, most are small.

    One is dead: access is denied with even seeds, 503 for ever with odd ones. One takes ten times as long. One has a
    tenth of what is configured.
    """
    smallest = largest // 100

    def setup(seed: int) -> Setup:
        chance = Random(f"lanes {seed}")
        huge, tiny, tenth, dead, slow, *others = chance.sample(REGIONS, len(REGIONS))
        quotas = {huge: largest, tiny: smallest, tenth: smallest, dead: 4 * smallest, slow: 6 * smallest}
        quotas |= {region: round(smallest * 6 ** chance.random()) for region in others}
        told = {**quotas, tenth: 10 * smallest}
        kind = "ServiceUnavailableException" if seed % 2 else "AccessDeniedException"
        outages = [{"region": dead, "kind": kind}, {"region": slow, "kind": "slow"}]
        return Setup(
            work(minutes, sum(quotas.values()) - quotas[dead]),
            _everywhere({"pools": {f"{region}/global": {"tokens_per_minute": tpm} for region, tpm in told.items()}}),
            {"pools": {f"{region}/global": {"tpm": tpm} for region, tpm in quotas.items()}, "outages": outages},
            slow=slow,
            dead=dead,
        )

    return setup


def day(seed: int) -> Setup:
    """Return 5,000,000 rows for 25 lanes, half a day of their quota; the oracle would take minutes over them."""
    rows, minutes = 5_000_000, 720
    scale = rows / minutes / lanes(600_000, 1)(seed).rows  # of rows a minute
    return replace(lanes(round(600_000 * scale), minutes)(seed), rows=rows, oracle=False)


def one_global_pool(seed: int) -> Setup:
    """Return 25 lanes on one pool of the account, which the job takes for 25."""
    del seed
    tpm = 4 * TPM
    return Setup(work(11, tpm), _everywhere({"tokens_per_minute": tpm}), {"tpm": tpm, "global_pool": "shared"})


def shared_with_a_tenant(seed: int) -> Setup:
    """Return the same, of which somebody else takes half from minute 2 to 4."""
    alone = one_global_pool(seed)
    tenants = [{"pool": "global", "share": 0.5, "from_s": 120, "to_s": 240}]
    return replace(alone, emulator={**alone.emulator, "tenants": tenants})


def own_pools(minutes: float, told: int, *tokens_per_minute: int) -> Callable[[int], Setup]:
    """Return a setup of a global pool for each of `tokens_per_minute`, in some order, all told to take `told`."""

    def setup(seed: int) -> Setup:
        regions = Random(f"own pools {seed}").sample(REGIONS, len(tokens_per_minute))
        pools = {f"{region}/global": {"tpm": tpm} for region, tpm in zip(regions, tokens_per_minute, strict=True)}
        routing = {"scopes": ["global"], "source_regions": regions}
        job = {"routing": routing, "quota": {"tokens_per_minute": told}}
        return Setup(work(minutes, sum(tokens_per_minute)), job, {"pools": pools})

    return setup


def auto_max_tokens(seed: int) -> Setup:
    """Return a lane whose job leaves max_tokens to be learnt."""
    # At 80,000 a minute a hold of 64,170 goes in while less than 15,830 were settled in the last minute: a fifth.
    tpm, rows = 80_000, work(11, 80_000)
    load = Load(rows, seed)
    best = max(load.size(row).output_tokens for row in range(rows))  # cuts no answer, and holds no more than that needs
    return Setup(
        rows,
        {"quota": {"tokens_per_minute": tpm}, "generation": {"max_tokens": "auto", "max_tokens_ceiling": CEILING}},
        {"tpm": tpm},
        rivals={"fixed": {"max_tokens": CEILING}, "best": {"max_tokens": best}},
    )


def errors_everywhere(seed: int) -> Setup:
    """Return five lanes on which one call of five fails for a minute."""
    del seed
    # One in ten fails by an error that counts as the row's attempt, one in nine of the rest by 503, which does not.
    outages = [
        {"region": "*", "kind": "InternalServerException", "share": 0.1, "from_s": 10, "to_s": 70},
        {"region": "*", "kind": "ServiceUnavailableException", "share": 1 / 9, "from_s": 10, "to_s": 70},
    ]
    return Setup(
        work(3, len(US_REGIONS) * TPM),
        {"routing": {"scopes": ["us"], "source_regions": list(US_REGIONS)}, "quota": {"tokens_per_minute": TPM}},
        {"tpm": TPM, "outages": outages},
    )


def _everywhere(quota: Mapping[str, Any]) -> Tables:
    routing = {"scopes": ["global"], "source_regions": list(REGIONS)}
    return {"routing": routing, "quota": {"tokens_per_minute": None, **quota}}
