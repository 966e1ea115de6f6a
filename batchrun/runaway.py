"""When to stop a run that cannot succeed, so that a dead job does not look alive for days."""

from batchrun.records import Outcome, Status

ALIKE = 100  # first rows that all fail alike; a choice
PATIENCE_S = 900.0  # without any row ending, while lanes are open
LOOK_EVERY_S = PATIENCE_S / 10


class MaxFailed:
    """How many rows may end not ok: a share of all rows, or a whole number of them."""

    def __init__(self, setting: float) -> None:
        self.setting = setting

    def allows(self, failed: int, rows: int) -> bool:
        """Tell whether `failed` of `rows` rows are few enough."""
        return failed <= (self.setting if isinstance(self.setting, int) else self.setting * rows)

    @property
    def tolerates_none(self) -> bool:
        """Tell whether not one row may end not ok."""
        return self.setting == 0


class RunAway:
    """Watches the ends of rows; pure but for the time it is told."""

    def __init__(self, max_failed: MaxFailed, rows: int, now_s: float, *, any_ok: bool = False) -> None:
        """Take how many of `rows` rows may end not ok, the time, and whether an earlier start brought an answer."""
        self._max_failed = max_failed
        self._rows = rows
        self._last_end_s = now_s
        self._looked_s = now_s
        self._first: tuple[str, str | None] | None = None
        self._alike = 0
        self._all_alike = not any_ok

    def judge(self, outcome: Outcome, failed: int, now_s: float) -> str | None:
        """Take a row's end and how many rows are not ok so far; return why the run should stop, or None."""
        self._last_end_s = now_s
        if self._runs_of_one_kind(outcome):
            return f"the first {ALIKE} rows all ended {outcome.status.value}: {_example(outcome)}"
        if outcome.status is Status.OK:
            return None
        exceeded = self.exceeded(failed)
        return f"{exceeded}; the last is {_example(outcome)}" if exceeded else None

    def exceeded(self, failed: int) -> str | None:
        """Return that too many rows are not ok for the run to end well, whatever comes, or None."""
        if self._max_failed.allows(failed, self._rows):
            return None
        # Where no failure is allowed, a few would stop nearly every run; it ends with exit 1 instead.
        if self._max_failed.tolerates_none and failed < ALIKE:
            return None
        return (
            f"{failed} of {self._rows} rows are not ok already, above limits.max_failed = "
            f"{self._max_failed.setting:g}; raise it to go on, or change the job and start anew with --fresh"
        )

    def stalled(self, now_s: float) -> str | None:
        """Return why to stop if no row has ended for long; to be asked every LOOK_EVERY_S.

        Where that was not done the machine slept or the process was stopped, and that time does not count.
        """
        missed_s = now_s - self._looked_s - LOOK_EVERY_S
        if missed_s > LOOK_EVERY_S:
            self._last_end_s = min(now_s, self._last_end_s + missed_s)
        self._looked_s = now_s
        if now_s - self._last_end_s < PATIENCE_S:
            return None
        return f"no row has ended for {PATIENCE_S / 60:.0f} minutes"

    def _runs_of_one_kind(self, outcome: Outcome) -> bool:
        if not self._all_alike or self._alike >= ALIKE:
            return False
        kind = (outcome.status.value, outcome.error_code or outcome.stop_reason)
        self._first = self._first or kind
        if outcome.status is Status.OK or kind != self._first:
            self._all_alike = False
            return False
        self._alike += 1
        return self._alike == ALIKE


def _example(outcome: Outcome) -> str:
    if outcome.error_code is None:
        return f"row {outcome.row}, stop reason {outcome.stop_reason}"
    return f"row {outcome.row}, {outcome.error_code}: {outcome.error_message}"
