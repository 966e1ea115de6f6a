"""A trial: what one row has been through so far on its way to an outcome."""

from typing import TYPE_CHECKING

from batchrun.records import NOTHING_SPENT, Completion, Request, Spent

if TYPE_CHECKING:
    from batchrun.lanes.lane import Lane
    from batchrun.lanes.lengths import Measured
    from batchrun.lanes.max_tokens import Call

BUSY_THROTTLES = 5  # refusals by busy pools, before a row larger than all that was admitted asks for a rested one
RESTED_THROTTLES = 5  # refusals by rested pools, before a row is taken never to fit; a choice
# The same for a row that looks no larger than what was admitted: estimates err. Eleven minutes, since a run in which no
# row ends stops after fifteen, and the next start counts anew. A guess.
HOPELESS_THROTTLES = 12
REST_APART_S = 60.0  # between two of them: somebody else's full minute explains one refusal, and not five


class Trial:
    """Counts of one row; throttles are the pool's doing and are kept apart from the row's own attempts."""

    __slots__ = (
        "attempts", "call", "cost_usd", "cut", "cuts", "earlier_attempts", "failures", "kept",
        "least_max_tokens", "misfit", "misfits", "request", "rested_throttles", "rests_until_s", "throttles",
        "tried_rested",
    )  # fmt: skip

    def __init__(self, request: Request, earlier: Spent = NOTHING_SPENT) -> None:
        """Take the row's request, and what earlier starts sent and paid for it for certain."""
        self.request = request
        self.earlier_attempts = earlier.attempts
        self.attempts = 0  # calls that were not throttled
        self.failures = 0  # those of them that failed by the row's own doing, or may have
        self.throttles = 0  # for its tokens
        self.rested_throttles = 0
        self.tried_rested: frozenset[str] = frozenset()
        self.rests_until_s = 0.0
        self.cost_usd = earlier.usd
        # Of max_tokens = "auto": answers that were cut and are not the row's last, and what was learnt from them.
        self.cuts = 0
        self.least_max_tokens = 0
        self.call: Call | None = None
        self.cut: Measured | None = None
        # Of answers that do not fit the schema: how many, and what is wrong with the last.
        self.misfits = 0
        self.misfit: str | None = None
        self.kept: tuple[Lane, Completion] | None = None  # the last answer of either kind, should there be no better

    def __repr__(self) -> str:
        return f"Trial(row={self.request.row}, attempts={self.attempts}, throttles={self.throttles})"

    def throttled(self, pool: str, now_s: float, *, rested: bool) -> None:
        """Note a refusal for too many tokens; one by a rested pool speaks against the row's size."""
        self.throttles += 1
        if rested:
            self.tried_rested |= {pool}
            if now_s >= self.rests_until_s:  # a minute that others used up refuses a row many times, and is one minute
                self.rested_throttles += 1
                self.rests_until_s = now_s + REST_APART_S
