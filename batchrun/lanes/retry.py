"""How long a row waits between its own failures: tenacity with full jitter, on the run's clock and chance."""

from collections.abc import Awaitable, Callable
from random import Random

import tenacity

FIRST_WAIT_S = 1.0  # AWS: start at about 1 s, with jitter and a cap
LONGEST_WAIT_S = 30.0
MOST_DOUBLINGS = 10  # a lane short of capacity may be asked for hours, and 2**1024 is no float


def retrying(sleep: Callable[[float], Awaitable[None]], chance: Random) -> tenacity.AsyncRetrying:
    """Return tenacity's loop, to be called with a function that returns None until the row has its outcome.

    It never stops by itself: whether another attempt is worth it is the fault table's word.
    """

    def full_jitter(state: tenacity.RetryCallState) -> float:
        doublings = min(state.attempt_number - 1, MOST_DOUBLINGS)
        ceiling_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**doublings)
        return chance.uniform(0, ceiling_s)

    return tenacity.AsyncRetrying(
        stop=tenacity.stop_never,
        wait=full_jitter,
        sleep=sleep,
        retry=tenacity.retry_if_result(lambda outcome: outcome is None),
    )
