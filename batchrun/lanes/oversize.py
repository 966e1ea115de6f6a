"""Oversize: whether a row is refused for its own size, and when that is certain enough to give it up."""

from math import inf

from batchrun.lanes.router import Router
from batchrun.lanes.trial import BUSY_THROTTLES, HOPELESS_THROTTLES, RESTED_THROTTLES, Trial


class Oversize:
    """Judges a row by what the pools of a router, and earlier starts, let through."""

    def __init__(self, router: Router, far_larger: float = inf) -> None:
        """Take the pools, and the hold above which a row is of another size than those of earlier starts."""
        self._router = router
        self._far_larger = far_larger

    def is_likely(self, trial: Trial) -> bool:
        """Tell whether a row was refused often and is larger than all that was let through: it asks rested pools."""
        return trial.throttles >= BUSY_THROTTLES and trial.request.hold > self._router.largest_admitted()

    def is_certain(self, trial: Trial, now_s: float) -> bool:
        """Tell whether a row is to be given up: all pools refused it at rest, in enough minutes that are apart."""
        if trial.rested_throttles < RESTED_THROTTLES or self._router.untried(trial.tried_rested, now_s):
            return False
        if trial.request.hold > self._far_larger or not self._router.may_fit(trial.request.hold):
            return True
        if not self._router.largest_admitted():  # others may hold all of the quota; a run in which nothing ends stops
            return False
        return trial.rested_throttles >= HOPELESS_THROTTLES or self.is_likely(trial)
