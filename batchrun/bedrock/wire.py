"""How requests travel, whatever carries them: which API, how many connections, and how long anything may take."""

from dataclasses import dataclass
from importlib.metadata import version

from batchrun.bedrock.body import Sampling
from batchrun.bedrock.service import NOTHING_ASKED, Service

USER_AGENT = f"batchrun/{version('batchrun')} aiobotocore/{version('aiobotocore')}"
CONNECT_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 300.0  # below the 350 s after which AWS's balancers drop an idle flow
LEAST_READ_TIMEOUT_S = 60.0
SLOWEST_TOKENS_PER_S = 25.0  # a quarter of what Haiku 4.5 usually writes; a guess on the safe side


@dataclass(frozen=True, slots=True)
class Wire:
    """How requests travel; `sampling` has the largest max_tokens of any of them.

    `connections` is how many each source Region may have; where `api` is spoken, `doors.py` knows.
    """

    api: str
    sampling: Sampling
    connections: int
    keep_alive_s: float = KEEP_ALIVE_S  # of a connection that is not in use
    service: Service = NOTHING_ASKED


def read_timeout_s(max_tokens: int) -> float:
    """Return how long an answer of `max_tokens` may take [s] before the call is given up."""
    return LEAST_READ_TIMEOUT_S + max_tokens / SLOWEST_TOKENS_PER_S
