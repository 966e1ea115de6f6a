"""The fault table: what each error of Bedrock means for the row, its lane, its pool and the run.

The rule: the first row of TABLE that fits the error's code, HTTP status and message decides; where a gateway sends no
code, the status alone does. What is done about an `Action` is decided in one place, lanes/admission.py.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What a runner does about a fault."""

    TOKENS = "tokens"  # the pool's tokens per minute are used up: close it a while, the row goes elsewhere
    REQUESTS = "requests"  # the pool's requests per minute are
    DAY = "day"  # the pool's tokens per day are: park it until the day turns
    PARK = "park"  # another quota of the account: park the pool
    COOL = "cool"  # capacity or a cold model: slow the lane; says nothing about quota or the row
    RETRY = "retry"  # try the row again, up to retry.max_attempts
    RETRY_FEW = "retry few"  # the same, at most FEW_ATTEMPTS
    ROW = "row"  # the row can never be sent
    LANE = "lane"  # this lane never works: close it
    REGION = "region"  # this source Region never works: close its lanes; one that did work wants new credentials
    REFRESH = "refresh"  # credentials: read them again once, then stop the run
    RUN = "run"  # nothing in this account works: stop the run


# Refused by a quota: the pool's affair, and no fault of the row.
THROTTLES = frozenset({Action.TOKENS, Action.REQUESTS, Action.DAY, Action.PARK})
FEW_ATTEMPTS = 3  # a model time-out or model error is likely the row's own doing; a guess


@dataclass(frozen=True, slots=True)
class Fault:
    """A call that brought no answer.

    `code` is the error's type as Bedrock or the network names it, `maybe_billed` whether an answer may have been paid.
    `retry_after_s` is the header of that name, where one came [s].
    """

    code: str
    status: int | None
    message: str
    action: Action
    maybe_billed: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; an empty `code` fits an answer without an error type, a None `status` any status."""

    code: str
    status: int | None
    action: Action
    saying: str = ""
    maybe_billed: bool = False
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.saying, re.IGNORECASE))

    def fits(self, code: str, status: int | None, message: str) -> bool:
        """Tell whether an error is this row's."""
        if self.code != code or self.status not in {None, status}:
            return False
        return self.pattern.search(message) is not None


# Source: botocore's service model of bedrock-runtime, the Bedrock user guide's error pages and users' reports, 2026-11.
TABLE = (
    Rule("ThrottlingException", None, Action.DAY, "per day"),
    Rule("ThrottlingException", None, Action.REQUESTS, "too many requests|request rate"),
    Rule("ThrottlingException", None, Action.TOKENS),
    Rule("TooManyRequestsException", None, Action.REQUESTS),
    Rule("ModelNotReadyException", None, Action.COOL),
    Rule("ModelTimeoutException", None, Action.RETRY_FEW, maybe_billed=True),
    Rule("ModelErrorException", None, Action.RETRY_FEW, maybe_billed=True),
    Rule("InternalServerException", None, Action.RETRY),
    Rule("ServiceUnavailableException", None, Action.COOL),
    Rule("ValidationException", None, Action.LANE, "model identifier is invalid|on-demand throughput"),
    Rule("ValidationException", None, Action.ROW),
    Rule("ServiceQuotaExceededException", None, Action.PARK),
    # Of a Bedrock key: expired, or of another Region; a short-term key works in the one that it was made in.
    Rule("AccessDeniedException", None, Action.REGION, "api key|bearer token"),
    Rule("AccessDeniedException", None, Action.LANE),
    Rule("ResourceNotFoundException", None, Action.RUN, "use case details|FTUFormNotFilled"),
    Rule("ResourceNotFoundException", None, Action.LANE),
    Rule("FTUFormNotFilled", None, Action.RUN),
    Rule("ExpiredTokenException", None, Action.REFRESH),
    Rule("ExpiredToken", None, Action.REFRESH),
    Rule("InvalidSignatureException", None, Action.REFRESH),
    Rule("IncompleteSignatureException", None, Action.REFRESH),
    Rule("MissingAuthenticationTokenException", None, Action.REFRESH),
    Rule("RequestExpired", None, Action.REFRESH),
    Rule("UnrecognizedClientException", None, Action.REGION),
    Rule("InvalidClientTokenId", None, Action.REGION),
    # Anthropic's own error types, as the Messages API and some gateways send them.
    Rule("rate_limit_error", None, Action.DAY, "per day"),
    Rule("rate_limit_error", None, Action.REQUESTS, "too many requests|request rate"),
    Rule("rate_limit_error", None, Action.PARK, "service quota"),
    Rule("rate_limit_error", None, Action.TOKENS),
    Rule("overloaded_error", None, Action.COOL),
    Rule("api_error", None, Action.RETRY),
    Rule("timeout_error", None, Action.RETRY_FEW, maybe_billed=True),
    Rule("invalid_request_error", None, Action.LANE, "model identifier is invalid|on-demand throughput"),
    Rule("invalid_request_error", None, Action.ROW),
    Rule("request_too_large", None, Action.ROW),
    # A key of another Region, or a Region that is not enabled; AWS's own words, as Anthropic's types leave it no other.
    Rule("authentication_error", None, Action.REGION, "api key|bearer token|token included in the request is invalid"),
    Rule("authentication_error", None, Action.REFRESH),
    Rule("permission_error", None, Action.REGION, "api key|bearer token"),
    Rule("permission_error", None, Action.LANE),
    Rule("not_found_error", None, Action.RUN, "use case details|FTUFormNotFilled"),
    Rule("not_found_error", None, Action.LANE),
    # What the network and the SDK report; the call may have reached the model, except when nothing was connected.
    Rule("ConnectError", None, Action.COOL),
    Rule("ConnectionLost", None, Action.RETRY, maybe_billed=True),
    Rule("ReadTimeout", None, Action.RETRY_FEW, maybe_billed=True),
    Rule("MalformedAnswer", None, Action.RETRY, maybe_billed=True),
    Rule("CredentialsOutOfReach", None, Action.COOL),
    Rule("NoCredentials", None, Action.RUN),
)

# A gateway or a fake that sends no error type: the status decides.
STATUS = {
    400: Action.ROW,
    401: Action.REFRESH,
    403: Action.LANE,
    404: Action.LANE,
    408: Action.RETRY_FEW,
    413: Action.ROW,
    424: Action.RETRY_FEW,
    429: Action.TOKENS,
    503: Action.COOL,
    529: Action.COOL,
}
A_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")  # what an error's type may look like; it ends in tables
MAYBE_BILLED = frozenset({408, 424, 500, 502, 504})  # the model may have answered behind the gateway


def classify(code: str, status: int | None, message: str, retry_after_s: float | None = None) -> Fault:
    """Return the fault that an error is, by its type [cut at the colon], HTTP status and message."""
    code = code.partition(":")[0]
    for rule in TABLE:
        if rule.fits(code, status, message):
            return Fault(code, status, message, rule.action, rule.maybe_billed, retry_after_s)
    action = STATUS.get(status or 0, Action.RETRY)
    named = code if A_CODE.fullmatch(code) else f"HTTP {status}"
    return Fault(named, status, message, action, maybe_billed=status in MAYBE_BILLED, retry_after_s=retry_after_s)
