"""Lanes, pools and books at hand: small ones, with round numbers."""

from batchrun.bedrock.card import Prices
from batchrun.bedrock.faults import Fault, classify
from batchrun.lanes.admission import Admission, Admissions, Budgets
from batchrun.lanes.budget import DollarBudget, RetryBudget
from batchrun.lanes.flight import InFlightLimit
from batchrun.lanes.lane import Lane
from batchrun.lanes.metering import Metering
from batchrun.lanes.pool import Pool, Quota
from batchrun.lanes.router import Router
from batchrun.lanes.trial import Trial
from batchrun.records import Message, Prompt, Request

PRICES = {"global": Prices(1.0, 5.0, 1.25, 2.0, 0.1), "geo": Prices(1.1, 5.5, 1.375, 2.2, 0.11)}
MIDNIGHT_S = 86_400.0
# Refusals that come back at once, so that calls at one instant are none too many.
AT_ONCE = Metering(day_ends_at_s=MIDNIGHT_S, round_trip_s=0.0)

TOKENS = classify("ThrottlingException", 429, "Too many tokens, please wait before trying again.")
REQUESTS = classify("ThrottlingException", 429, "Too many requests, please wait before trying again.")
DAY = classify("ThrottlingException", 429, "Too many tokens per day, please wait before trying again.")
PARK = classify("ServiceQuotaExceededException", 400, "You have exceeded a quota.")
CAPACITY = classify("ServiceUnavailableException", 503, "Bedrock is unable to process your request.")
SERVER = classify("InternalServerException", 500, "The system encountered an unexpected error.")
MODEL = classify("ModelErrorException", 424, "The model failed.")
LOST = classify("ConnectionLost", None, "reset by peer")
INVALID = classify("ValidationException", 400, "Input is too long for requested model.")
NO_LANE = classify("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.")
NO_REGION = classify("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
EXPIRED = classify("ExpiredTokenException", 403, "The security token included in the request is expired")
NO_FORM = classify("ResourceNotFoundException", 404, "Model use case details have not been submitted.")
FAULTS: tuple[Fault, ...] = (
    TOKENS, REQUESTS, DAY, PARK, CAPACITY, SERVER, MODEL, LOST, INVALID, NO_LANE, NO_REGION, EXPIRED, NO_FORM,
)  # fmt: skip


def lane(name: str, *, pool: str | None = None) -> Lane:
    """Return a lane by its name, such as us from us-east-1; `global` ones are of the cheaper class."""
    scope, region = name.split(" from ")
    kind = "global" if scope == "global" else "geo"
    return Lane(scope, f"{scope}.model", region, (region,), pool or f"{region}/{kind}", kind)


def trial(row: int = 0, hold: int = 1_000, max_tokens: int = 100) -> Trial:
    """Return a row that holds `hold` quota tokens; its body has 100 bytes."""
    prompt = Prompt(None, (Message("user", "?"),))
    return Trial(Request(row, prompt, b"x" * 100, hold - max_tokens, max_tokens))


def admissions(
    quotas: dict[str, Quota],
    *,
    in_flight: int | None = 100,
    cap_usd: float | None = None,
    max_attempts: int = 6,
    retry_share: float = 0.2,
) -> Admissions:
    """Return the books over one lane per name in `quotas`, each with a pool of its own."""
    lanes = [lane(name) for name in quotas]
    pools = {one.pool: Pool(one.pool, quota, AT_ONCE) for one, quota in zip(lanes, quotas.values(), strict=True)}
    price = {name: prices.input for name, prices in PRICES.items()}
    budgets = Budgets(
        InFlightLimit(in_flight, connections=1_000, first_cost=1_000.0),
        DollarBudget(cap_usd),
        RetryBudget(retry_share),
        max_attempts,
    )
    return Admissions(Router(lanes, pools, price), budgets, PRICES, 5, lambda: 3_600.0)


def admitted(books: Admissions, row: Trial, now_s: float) -> Admission:
    """Admit a row that must fit."""
    admission = books.admit(row, now_s)
    assert isinstance(admission, Admission), admission
    return admission


def tpm(tokens: float | None, **more: float) -> Quota:
    """Return a quota of `tokens` per minute."""
    return Quota(tokens_per_minute=tokens, **more)
