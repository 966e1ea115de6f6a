"""Doubt: when the minute's no is put to the test by a call that the level alone would let go."""

from math import ceil, inf

FIRST_WAIT_S = 10.0  # after the minute's first no: a bucket has by then refilled by a sixth
AGAIN_S = 0.5  # after a refusal that the minute did not foresee, or of calls that it forbade and that had gone well
SECOND_WAIT_S = 30.0  # after a first test that failed
LONGEST_WAIT_S = 240.0
ALIGNED_ABOVE_S = 20.0  # waits longer than this end at a full minute of the clock: where windows are likeliest to turn
BEHIND_S = 0.05  # the full minute: our clock may be a little fast


class Doubt:
    """Tests of the minute reading, twice as far apart each time that it was right."""

    def __init__(self, full_minute_at_s: float) -> None:
        """Take the time [s] of any full minute of the calendar; inf if unknown."""
        self._full_minute_at_s = full_minute_at_s
        self._at_s = inf
        self._begun = False
        self._wait_s = SECOND_WAIT_S
        self.edge_s: float | None = None  # the full minute at which the next test is to be

    def __repr__(self) -> str:
        return f"Doubt(at_s={self._at_s:.1f}, wait_s={self._wait_s:.0f})"

    def at(self, now_s: float) -> float:
        """Return when a call may go that the minute forbids [s]; the first time it forbids one, tests are planned."""
        if not self._begun:
            self._begin(now_s + FIRST_WAIT_S)
        return self._at_s

    def went_well(self, now_s: float, *, enough: bool) -> None:
        """Take that calls which the minute forbade were let through; `enough` of them in a row halve the next wait."""
        self._begin(min(self._at_s, now_s))
        if enough:
            self._wait_s = max(AGAIN_S, self._wait_s / 2)

    def found_edge(self, now_s: float) -> None:
        """Take that a window turned at the full minute: the minute goes by it from now on, and needs few tests."""
        self._wait_s = LONGEST_WAIT_S
        self._begin(now_s + self._wait_s)

    def failed(self, now_s: float) -> None:
        """Take that the minute was right."""
        at_s = now_s + self._wait_s
        edge_s = self._full_minute(at_s)
        self._begin(at_s if edge_s is None else edge_s + BEHIND_S)
        self.edge_s = edge_s
        self._wait_s = min(LONGEST_WAIT_S, 2 * self._wait_s)

    def again(self, now_s: float) -> None:
        """Test soon: a refusal came that neither reading foresaw, or after tests that had gone well."""
        self._begin(now_s + AGAIN_S)

    def postpone(self, now_s: float) -> None:
        """Do not test at once: the minute was nearly right."""
        self._begin(max(self._at_s if self._begun else 0.0, now_s + AGAIN_S))

    def start_again(self, now_s: float) -> None:
        """Test soon and often: the number that the minute goes by was wrong, its no is worth little."""
        self._wait_s = AGAIN_S
        self.again(now_s)

    def _begin(self, at_s: float) -> None:
        self._begun = True
        self._at_s = at_s
        self.edge_s = None

    def _full_minute(self, at_s: float) -> float | None:
        """Return the full minute nearest to `at_s`, None for a short wait or without a calendar."""
        if self._wait_s <= ALIGNED_ABOVE_S or self._full_minute_at_s == inf:
            return None
        return self._full_minute_at_s + 60 * ceil((at_s - 30 - self._full_minute_at_s) / 60)
